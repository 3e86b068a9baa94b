"""Steps on clusters: closed forms, conservation, what folding keeps, what plans refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lydite.cluster import Group, Plan, checked, filled, fitting, simulate_step, tensor_parallel
from lydite.cluster.assembled import folded
from lydite.cluster.blocks import Block, in_blocks, repetition
from lydite.cluster.costs import BlockCost, outline, timed
from lydite.cluster.rank import rank_step
from lydite.cluster.schedules import in_flight, steps_of
from lydite.cluster.search import search
from lydite.cluster.sensitivity import _INSIDE, sensitivity
from lydite.cluster.stages import Phase, Unit
from lydite.cluster.tasks import step_programs
from lydite.engine import simulate as play
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.graph import total_work
from lydite.graph.training import training_step
from lydite.graph.training.step import with_loss
from lydite.hardware.cluster import LINK_KINDS, read_cluster
from lydite.models import build_model
from lydite.models.counts import multiply_adds
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

ALONE = Group(1, float("inf"), 0.0)
UNIT = Unit(
    "layer", Phase(10), Phase(12), Phase(8), BlockCost(Block("layer", 2, ())), saved_bytes=1
)


def makespan(plan: Plan, units: int = 1) -> int:
    stages = [[UNIT] * units for _ in range(plan.pp * plan.chunks)]
    played = folded(step_programs(stages, plan, dict.fromkeys(("dp", "edp", "pp"), ALONE)))
    return play(played.tasks, played.servers).makespan_ps


@pytest.mark.parametrize("attention", ["written", "fused"])
@pytest.mark.parametrize("ranks", [2, 8])
def test_what_a_layer_keeps_for_the_backward_pass(ranks, attention):
    """s b h (10 + 24/t + 5 a s/(h t)), with sequence parallelism s b h/t (34 + 5 a s/h).

    arXiv:2205.05198, equations 2 and 4, less the masks of dropout (2 s b h and 3 a s^2 b), which
    these nets have not; scores are not kept where attention is fused, but 4 bytes a row and head.
    """
    s, b, h, a = 1024, 2, 4096, 32
    size = Decoder(
        layers=8, hidden=h, heads=a, feed_forward=4 * h, packed=True, vocabulary=51200, positions=s
    )
    net = decoder(size, batch=b, sequence=s, phase="forward", dtype="float16")
    scores = 2 * a * s / h if attention == "written" else 4 * a / h
    for sequence, expected in (
        (False, s * b * h * (8 + (24 + scores) / ranks)),
        (True, s * b * h / ranks * (32 + scores)),
    ):
        plan = Plan(tp=ranks, sequence_parallel=sequence, attention=attention)
        costs = rank_step(net, plan).shape.costs
        layer = max(costs, key=lambda cost: cost.block.count)
        assert layer.saved_bytes == pytest.approx(expected, rel=1e-3)
        again = [m for m in layer.parts["data"].messages if m.kind == "AllGather"]
        assert len(again) == (4 if sequence else 0)  # two of gradients, two of what was not kept


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize(("stages", "batches"), [(1, 1), (1, 5), (4, 4), (4, 9), (8, 3)])
def test_the_bubble_of_gpipe_and_1f1b(schedule, stages, batches):
    """(m + p - 1) (F + B): arXiv:1811.06965 and 2006.09503."""
    plan = Plan(pp=stages, batch=batches, schedule=schedule)
    assert makespan(plan) == (batches + stages - 1) * 30


@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_the_bubble_of_the_interleaved_schedule(chunks):
    """m (F + B) v + (p - 1) (F + B), of chunks: arXiv:2104.04473, section 2.2.2."""
    plan = Plan(pp=4, batch=8, schedule="interleaved" if chunks > 1 else "1f1b", chunks=chunks)
    assert makespan(plan) == 8 * 30 * chunks + 3 * 30


def test_weights_gradients_fill_the_bubble():
    plain, filling = (makespan(Plan(pp=4, batch=8, schedule=s)) for s in ("1f1b", "zero-bubble"))
    assert 8 * 30 < filling < plain


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zero-bubble"])
@pytest.mark.parametrize("stage", range(4))
def test_every_micro_batch_goes_forward_before_it_comes_back(schedule, stage):
    steps = steps_of(schedule, stage, 4, 6)
    kinds = ("F", "B", "W") if schedule == "zero-bubble" else ("F", "B")
    for batch in range(6):
        places = [steps.index((kind, batch, 0)) for kind in kinds]
        assert places == sorted(places)
    assert len(steps) == 6 * len(kinds)


def test_micro_batches_in_flight():
    assert [in_flight("gpipe", stage, 4, 8) for stage in range(4)] == [8, 8, 8, 8]
    assert [in_flight("1f1b", stage, 4, 8) for stage in range(4)] == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("kind", "rounds"), [("AllReduce", 2), ("AllGather", 1), ("ReduceScatter", 1), ("AllToAll", 1)]
)
@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_rings_send_so_many_shares(kind, rounds, ranks):
    """Bandwidth term rounds (n - 1) / n of the bytes; latency term rounds (n - 1)."""
    slow, late = Group(ranks, 1e9, 0.0), Group(ranks, 1e30, 1e-6)
    start = Group(ranks, 1e30, 0.0).seconds(kind, 1e9)
    sent = (slow.seconds(kind, 2e9) - slow.seconds(kind, 1e9)) * 0.85
    assert sent == pytest.approx(rounds * (ranks - 1) / ranks)
    assert late.seconds(kind, 1e9) - start == pytest.approx(rounds * (ranks - 1) * 1e-6)
    assert Group(1, 1e9, 0.0).seconds(kind, 1e9) == 0


LAYERS = {"gpt2": 12, "llama3-8b": 32, "bert-base": 12, "mixtral-8x7b": 32, "vit": 12}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_found(name):
    blocks = in_blocks(build_model(name))
    assert [b.name for b in blocks.blocks] == ["head", "layer", "tail"]
    assert blocks.blocks[1].count == LAYERS[name]
    assert sum(len(b.ops) * b.count for b in blocks.blocks) == len(build_model(name).ops)


def test_what_does_not_repeat_is_left_whole():
    assert repetition(build_model("vgg16"))[2] == 1
    assert {b.name[:4] for b in in_blocks(build_model("resnet50")).blocks} == {"part"}


@pytest.mark.parametrize("name", ["gpt2", "resnet50"])
def test_folding_keeps_time_work_and_weights(name):
    """A short graph's blocks, counted, are the whole graph."""
    graph = build_model(name, **({"phase": "forward"} if name == "gpt2" else {}))
    device = read_cluster("dgx-a100").device
    whole = training_step(graph, optimizer="adam")
    blocks = in_blocks(graph)
    short = training_step(with_loss(blocks.graph, "cross_entropy"), loss="given", optimizer="adam")
    costs = timed(outline(blocks, short, short.graph), Roofline(), device)
    parts = [(p, c.block.count) for c in costs for p in c.parts.values()]
    flops = sum(p.flops * n for p, n in parts)
    assert flops == pytest.approx(total_work(whole.graph).total.flops, rel=1e-6)
    held = sum(h.parameters * c.block.count for c in costs for h in c.held.values())
    assert held == graph.parameter_count


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize(("name", "ranks"), [("gpt2", 4), ("llama3-8b", 8), ("bert-base", 4)])
def test_ranks_share_work_and_weights_evenly(name, ranks, sequence):
    phase = {} if name == "bert-base" else {"phase": "forward"}
    graph = build_model(name, **phase)
    share = tensor_parallel(graph, ranks, sequence=sequence)
    assert multiply_adds(share) * ranks == pytest.approx(multiply_adds(graph), rel=1e-3)
    assert share.parameter_count * ranks == pytest.approx(graph.parameter_count, rel=0.03)
    assert total_work(share).unknown == ()


def test_megatron_sends_four_all_reduces_a_layer():
    """Two forward and two backward (arXiv:1909.08053, section 3); three are the loss's rows."""
    graph = with_loss(build_model("llama3-8b", phase="forward"), "cross_entropy")
    step = training_step(tensor_parallel(graph, 4), loss="given")
    sums = [op for op in step.graph.ops if op.op_type == "AllReduce"]
    assert len(sums) == 4 * 32 + 1 + 1 + 3
    shared = training_step(tensor_parallel(graph, 4, sequence=True), loss="given")
    kinds = [op.op_type for op in shared.graph.ops]
    assert kinds.count("ReduceScatter") == kinds.count("AllGather") == 4 * 32 + 2


REFUSED = [
    (
        {"tp": 3},
        "tp 3 x pp 1 = 3 does not divide 8 ranks; allowed: divisors of 8; the nearest is 2",
    ),
    ({"tp": 2, "pp": 2, "dp": 4}, "= 16 ranks are more than the cluster's 8"),
    ({"batch": 30, "micro_batch": 4}, "does not divide into dp 8 x micro-batch 4; allowed: multip"),
    ({"pp": 8, "dp": 1, "schedule": "interleaved", "chunks": 2}, "16 layers, and the model has 12"),
    ({"schedule": "1f1c"}, "unknown schedule '1f1c'"),
    ({"recompute": "ful"}, "unknown recomputation 'ful'"),
    ({"chunks": 2}, "2 chunks with the schedule 1f1b; add --schedule interleaved"),
    ({"pp": 2, "schedule": "interleaved", "chunks": 2, "batch": 12}, "multiples of pp 2, not 3"),
]


@pytest.mark.parametrize(("plan", "text"), REFUSED)
def test_plans_that_do_not_divide(plan, text):
    with pytest.raises(InputError) as caught:
        checked(filled(8, **plan), 8, 12)
    assert text in str(caught.value)


def test_heads_that_do_not_divide():
    with pytest.raises(InputError, match=r"2304 cannot be split among 5 ranks.*nearest is 4"):
        tensor_parallel(build_model("gpt2"), 5)
    with pytest.raises(InputError, match="no product of weights can be split among 2 ranks"):
        tensor_parallel(build_model("cifar100-elu"), 2)


def run(cluster: str, devices: int | None = None, name: str = "gpt2", **plan: object):
    found = read_cluster(cluster, devices)
    chosen = filled(found.ranks, **plan)
    phase = {"phase": "forward"} if name == "gpt2" else {}
    return simulate_step(
        build_model(name, batch=chosen.micro_batch, **phase), found, chosen, Roofline()
    )


def test_time_is_accounted_for():
    result = run("dgx-a100", tp=2, pp=2, batch=16, micro_batch=2)
    spent = [v for k, v in result.breakdown_s.items() if k != "of it launches"]
    assert sum(spent) == pytest.approx(result.seconds, rel=1e-9)
    assert min(spent) >= 0
    assert 0 < result.mfu < 1
    assert sum(result.critical_s.values()) == pytest.approx(result.seconds, rel=1e-9)
    assert sum(result.by_source.values()) == pytest.approx(1)


@pytest.mark.parametrize("model", ["resnet50", "vgg16", "alexnet"])
@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_a_step_without_a_pipeline_has_no_bubble(model, gpus):
    """Not even one of rounding: times are whole picoseconds until they are added up."""
    assert run("dgx-a100", gpus, model, batch=32).breakdown_s["bubble"] == 0


def test_more_copies_take_as_long_and_do_more():
    one, eight = (run("dgx-a100", n, dp=n, batch=4 * n, micro_batch=4) for n in (1, 8))
    assert one.seconds < eight.seconds < 1.2 * one.seconds
    assert eight.samples == 8 * one.samples
    assert eight.hidden_s > 0


def test_states_shared_out_take_less_memory():
    memory = [run("dgx-a100", dp=8, zero=z).peak_memory_bytes for z in range(4)]
    assert memory[0] > memory[1] > memory[2] > memory[3]
    full = run("dgx-a100", dp=8, zero=0, recompute="full")
    assert full.memory[0]["activations"] < run("dgx-a100", dp=8).memory[0]["activations"]
    assert full.seconds > run("dgx-a100", dp=8).seconds


def test_what_does_not_fit_says_by_how_much_and_what_helps():
    result = run("dgx-a100", dp=8)
    assert fitting(result) == ""
    assert "mostly for optimiser states; try --zero 1" in fitting(
        replace(result, capacity_bytes=1e9)
    )


def test_what_bounds_a_step_is_what_buys_time():
    """Two hosts that share each product are bound by what lies between them; one copy is not."""
    pair, one = read_cluster("dgx-a100 x 2"), read_cluster("dgx-a100", 1)
    graph = build_model("gpt2", batch=1, phase="forward")
    apart = sensitivity(graph, pair, filled(pair.ranks, tp=4, batch=4), Roofline())
    alone = sensitivity(graph, one, filled(1), Roofline())
    assert all(-1e-9 < share < 0.1 for share in (*apart.values(), *alone.values()))
    assert apart["links within a host"] > 0
    assert alone["links within a host"] == alone["links between hosts"] == 0
    assert alone["compute"] + alone["memory bandwidth"] + alone["launch"] > 0.08


def test_what_buys_time_over_shared_links_is_what_the_played_step_saves():
    """By brute force: the step again, over links that are ten per cent faster."""
    cluster = read_cluster("dgx-a100 x 2")
    plan = filled(cluster.ranks, tp=4, batch=4, zero=3)
    graph = build_model("gpt2", batch=1, phase="forward")
    better = 1.1 * cluster.links.bandwidth_bytes_per_s
    inside = np.isin(cluster.links.kind, [LINK_KINDS.index(kind) for kind in _INSIDE])
    rate = np.where(inside, cluster.links.bandwidth_bytes_per_s, better)
    faster = replace(cluster, links=replace(cluster.links, bandwidth_bytes_per_s=rate))
    one, other = (
        simulate_step(graph, where, plan, Roofline(), network="links").seconds
        for where in (cluster, faster)
    )
    saved = sensitivity(graph, cluster, plan, Roofline(), network="links")
    assert saved["links between hosts"] == pytest.approx(1 - other / one, abs=1e-12)
    closed = sensitivity(graph, cluster, plan, Roofline())
    assert saved["links between hosts"] != pytest.approx(closed["links between hosts"], rel=1e-3)


def test_the_closed_form_of_a_search_ranks_as_the_played_steps_do():
    cluster = read_cluster("dgx-a100")
    found = search(
        lambda batch, *_: build_model("gpt2", batch=batch, phase="forward"),
        cluster,
        32,
        Roofline(),
        keep=60,
    )
    assert found.considered >= found.fitting >= len(found.best) > 20
    assert all(result.fits and result.samples == 32 for result in found.best)
    ratios = [result.seconds / found.guessed[result.plan] for result in found.best]
    assert max(ratios) / min(ratios) < 1.5
    few = search(
        lambda batch, *_: build_model("gpt2", batch=batch, phase="forward"),
        cluster,
        32,
        Roofline(),
        keep=5,
    )
    assert few.best[0].seconds == found.best[0].seconds


def test_flops_are_those_of_the_model_however_it_is_shared():
    """Convolutions that every rank repeats count once; MFU is of the arithmetic's dtype."""
    alone, shared = (
        run("dgx-a100", 8, "resnet50", tp=tp, batch=64, micro_batch=8) for tp in (1, 8)
    )
    assert alone.flops / alone.samples == pytest.approx(shared.flops / shared.samples, rel=1e-4)
    one, four = (run("dgx-a100", 4, tp=tp, batch=8, micro_batch=2) for tp in (1, 4))
    assert one.flops == pytest.approx(four.flops, rel=1e-2)


def test_nets_that_are_chains_go_through_a_pipeline():
    assert run("dgx-a100", 8, "vgg16", pp=4, batch=32).breakdown_s["bubble"] > 0


def test_gathered_layers_go_whole():
    """ZeRO-3 on twice as many ranks gathers the same bytes: no slower by a multiple."""
    few, many = (run("dgx-a100 x 16", n, dp=n, zero=3, batch=n).seconds for n in (16, 128))
    assert many < 2.5 * few


def test_prefill_keeps_keys_and_values():
    """Twelve layers, two tensors, 64 tokens, 768 numbers of four bytes."""
    cluster = read_cluster("dgx-a100", 1)
    graph = build_model("gpt2", phase="prefill", sequence=64)
    result = simulate_step(graph, cluster, filled(1), Roofline(), optimizer=None)
    assert result.memory[0]["cache"] == 12 * 2 * 64 * 768 * 4
    assert result.memory[0]["activations"] > 64 * 3072 * 4
