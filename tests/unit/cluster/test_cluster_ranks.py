"""One rank of each stage stands for all: the same step as when all ranks and messages play.

And what ranks with different tokens exchange: experts, long sequences.
"""

from __future__ import annotations

import numpy as np
import pytest

from lydite.cluster import Plan, simulate_step
from lydite.cluster.assembled import unfolded
from lydite.cluster.constants import ASSUMED
from lydite.cluster.groups import groups_of
from lydite.cluster.program import CATEGORIES, OWN, Passage, Program, everyone, left
from lydite.cluster.rank import rank_costs, rank_step
from lydite.cluster.repeated import every_rank
from lydite.cluster.stages import partition_stages, units_of
from lydite.cluster.tasks import step_programs
from lydite.engine import simulate as play
from lydite.engine import simulate_ranks
from lydite.errors import GraphError, InputError
from lydite.estimate.roofline import Roofline
from lydite.graph import total_work
from lydite.graph.passes.attention import written_out
from lydite.graph.training import training_step
from lydite.hardware.cluster import degraded, read_cluster
from lydite.models import build_model
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

DENSE = Decoder(layers=8, hidden=256, heads=8, feed_forward=1024, vocabulary=32000, positions=256)
SPARSE = Decoder(
    layers=4,
    hidden=256,
    heads=8,
    feed_forward=512,
    vocabulary=32000,
    positions=256,
    experts=8,
    experts_per_token=2,
    norm="rms",
    activation="silu",
    gated=True,
    dense_bias=False,
)


def net(size: Decoder, plan: Plan):
    return decoder(
        size, batch=plan.micro_batch, sequence=128 // plan.cp, phase="forward", dtype="bfloat16"
    )


def step(plan: Plan, size: Decoder = DENSE, cluster=None, **rest: object):
    cluster = cluster or read_cluster("dgx-a100 x 2", plan.ranks)
    return simulate_step(net(size, plan), cluster, plan, Roofline(), **rest)


PLANS = [
    (DENSE, {"tp": 2, "pp": 2, "dp": 4, "batch": 32, "micro_batch": 2}),
    (DENSE, {"tp": 4, "dp": 4, "batch": 16, "zero": 1, "recompute": "full"}),
    (
        DENSE,
        {
            "tp": 2,
            "pp": 4,
            "dp": 2,
            "batch": 16,
            "schedule": "interleaved",
            "chunks": 2,
            "sequence_parallel": True,
        },
    ),
    (DENSE, {"pp": 4, "dp": 2, "batch": 16, "schedule": "zero-bubble"}),
    (DENSE, {"dp": 4, "tp": 2, "cp": 2, "batch": 8}),
    (
        DENSE,
        {
            "dp": 4,
            "pp": 2,
            "batch": 16,
            "attention": "written",
            "recompute": "selective",
            "overlap": False,
        },
    ),
    (SPARSE, {"dp": 8, "tp": 2, "ep": 4, "batch": 16}),
    (SPARSE, {"dp": 4, "cp": 2, "ep": 8, "batch": 8, "zero": 2}),
]


@pytest.mark.parametrize(("size", "plan"), PLANS)
def test_all_ranks_take_as_long_as_one_of_each_stage(size, plan):
    one, every = (step(Plan(**plan), size, unfolded=u) for u in (False, True))
    assert every.timeline.makespan_ps == one.timeline.makespan_ps
    assert every.played.ranks == Plan(**plan).ranks
    assert len(every.timeline.start_ps) > 10 * len(one.timeline.start_ps)
    assert every.breakdown_s == pytest.approx(one.breakdown_s, abs=1e-9)


def test_gathered_weights_share_their_stream_differently():
    """ZeRO-3's gathers and sums take turns on one stream; message by message they interleave."""
    one, every = (step(Plan(dp=16, batch=32, zero=3), unfolded=u) for u in (False, True))
    assert every.seconds == pytest.approx(one.seconds, rel=0.05)


def test_a_slow_device_holds_up_all_that_wait_for_it():
    plan = Plan(dp=4, tp=2, batch=8)
    cluster = read_cluster("dgx-a100 x 2", 8)
    one, all_of_them = {3: 0.5}, dict.fromkeys(range(8), 0.5)
    even, uneven, slow = (
        step(plan, cluster=degraded(cluster, factors)).seconds for factors in ({}, one, all_of_them)
    )
    assert even < uneven <= slow
    assert uneven > even + 0.9 * (slow - even)
    detail = step(plan, cluster=degraded(cluster, one), unfolded=True).seconds
    assert detail == pytest.approx(uneven, rel=0.02)


def test_slower_links_never_shorten_a_step():
    plan, cluster = Plan(dp=8, tp=2, batch=16), read_cluster("dgx-a100 x 2")
    slower = degraded(cluster, link_factors={0: 0.25, 1: 0.25})
    assert step(plan, cluster=slower).seconds >= step(plan, cluster=cluster).seconds


def test_names_without_a_string_each():
    every = step(Plan(dp=2, pp=2, batch=4), unfolded=True)
    names = every.played.tasks.names
    assert len(names) == len(every.timeline.start_ps)
    assert names[0].startswith("rank 0: head F0 kernel 0")
    assert names[len(names) - 1].startswith("rank 3: ")
    with pytest.raises(IndexError):
        names[len(names)]


@pytest.mark.parametrize(("group", "stride", "size"), [("tp", 1, 2), ("dp", 2, 4)])
def test_neighbours_are_those_of_the_group(group, stride, size):
    program = Program()
    first = program.add("compute", 5, [], "forward", "")
    program.add("data", 3, [left(group, first)], "data", "")
    program.add("data", 1, [everyone(group, first)], "data", "")
    tasks = unfolded([program], Plan(tp=2, dp=4), np.ones(8)).tasks
    for rank in range(8):
        own = rank // stride % size
        members = [rank + (j - own) * stride for j in range(size)]
        assert tasks.needs(3 * rank + 1).tolist() == [3 * members[(own - 1) % size]]
        assert tasks.needs(3 * rank + 2).tolist() == [3 * m for m in members]


def one_by_one(size: Decoder, plan: Plan, factors=None):
    """Programs of all ranks as they are repeated, and their tasks one by one."""
    cluster = read_cluster("dgx-a100 x 2", plan.ranks)
    folded = step(plan, size)
    programs = step_programs(folded.stages, plan, groups_of(cluster, plan), detail=True)
    return every_rank(programs, plan, factors), unfolded(programs, plan, factors)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(("size", "plan"), PLANS)
def test_repeated_programs_are_their_tasks_one_by_one(size, plan, slow):
    plan = Plan(**plan)
    factors = np.where(np.arange(plan.ranks) % 3 == 1, 0.7, 1.0) if slow else None
    repeated, apart = one_by_one(size, plan, factors)
    tasks, alone = repeated.tasks, apart.tasks
    assert len(tasks) == len(alone)
    for column in ("duration_ps", "resource", "category"):
        assert np.array_equal(getattr(tasks, column), getattr(alone, column)), column
    some = np.random.default_rng(0).integers(0, len(tasks), 50)
    for task in some.tolist():
        assert sorted(tasks.needs(task).tolist()) == sorted(alone.needs(task).tolist())
        assert tasks.label(task) == alone.label(task)
    timeline, reference = simulate_ranks(tasks, repeated.servers), play(alone, apart.servers)
    assert np.array_equal(timeline.start_ps, reference.start_ps)
    assert np.array_equal(timeline.end_ps, reference.end_ps)
    assert timeline.makespan_ps == reference.makespan_ps
    assert np.array_equal(timeline.critical_path(), reference.critical_path())
    assert np.array_equal(timeline.spans_of(some), reference.spans_of(some))
    assert np.array_equal(timeline.categories_of(some), reference.categories_of(some))
    own, other = (each.on_servers(5, 17) for each in (timeline, reference))
    assert np.array_equal(own.start_ps, other.start_ps)
    assert np.array_equal(own.end_ps, other.end_ps)
    assert np.array_equal(own.tasks.resource, other.tasks.resource)


def test_repeated_programs_that_wait_for_each_other_are_refused():
    program = Program()
    program.add("compute", 5, [(OWN, 1)], "forward", "first")
    program.add("compute", 5, [(OWN, 0)], "forward", "second")
    played = every_rank([program], Plan(dp=2))
    with pytest.raises(InputError, match="wait for each other"):
        simulate_ranks(played.tasks, played.servers)


def test_repeated_programs_that_end_too_late_are_refused():
    program = Program()
    first = program.add("compute", 2**61 - 5, [], "forward", "long")
    program.add("compute", 7, [(OWN, first)], "forward", "late")
    played = every_rank([program], Plan(dp=2))
    with pytest.raises(InputError, match="ends too late"):
        simulate_ranks(played.tasks, played.servers)


@pytest.mark.parametrize(("duration", "pace"), [(-1, 1.0), (2**62, 1.0), (2**60, 0.1)])
def test_repeated_durations_out_of_range_are_refused(duration, pace):
    program = Program()
    program.add("compute", duration, [], "forward", "odd")
    played = every_rank([program], Plan(dp=2), np.full(2, pace))
    with pytest.raises(InputError, match="duration_ps out of range"):
        simulate_ranks(played.tasks, played.servers)


def test_nothing_begins_before_what_it_waits_for():
    _, apart = one_by_one(DENSE, Plan(tp=2, pp=2, dp=2, batch=8))
    tasks, timeline = apart.tasks, play(apart.tasks, apart.servers)
    owner = np.repeat(np.arange(len(timeline.start_ps)), np.diff(tasks.dep_start))
    assert (timeline.end_ps[tasks.deps] <= timeline.start_ps[owner]).all()


def messages(size: Decoder, **plan: int):
    chosen = Plan(**plan)
    rank = rank_step(net(size, chosen), chosen)
    costs = rank_costs(rank, Roofline(), read_cluster("dgx-a100").device)
    return [
        (m.kind, m.group, m.bytes * c.block.count)
        for c in costs
        for p in c.parts.values()
        for m in p.messages
    ]


def test_tokens_go_to_their_experts_and_back():
    """Forward twice, backward twice, each of tokens x experts a token x width x 2 bytes."""
    found = [m for m in messages(SPARSE, dp=4, ep=4) if m[0] == "AllToAll"]
    assert len(found) == 4
    assert {size for *_, size in found} == {4 * 128 * 2 * 256 * 2.0}
    assert {group for _, group, _ in found} == {"ep"}


def test_ranks_that_share_the_tokens_send_a_part_each():
    """With tensor parallelism each sends all, with sequence parallelism half."""
    all_of_them, parts = (
        {
            m[2]
            for m in messages(SPARSE, tp=2, dp=4, ep=4, sequence_parallel=sequence)
            if m[0] == "AllToAll"
        }
        for sequence in (False, True)
    )
    assert all_of_them == {4 * 128 * 2 * 256 * 2.0}
    assert parts == {4 * 128 * 2 * 256 * 2.0 / 2}


def test_keys_and_values_are_gathered_and_their_gradients_summed():
    found = [m for m in messages(DENSE, cp=4) if m[1] == "cp"]
    assert [kind for kind, *_ in found].count("AllGather") == 2
    assert [kind for kind, *_ in found].count("ReduceScatter") == 2
    assert {size for *_, size in found} == {8 * 128 * 256 * 2.0}


def test_experts_are_held_by_fewer():
    wide, shared = (step(Plan(dp=8, ep=ep, batch=8), SPARSE) for ep in (1, 8))
    experts = 4 * 8 * 3 * 256 * 512 * 2
    assert wide.memory[0]["weights"] - shared.memory[0]["weights"] == experts * 7 / 8


def test_a_step_over_the_context_does_all_of_its_work():
    whole, parts = (step(Plan(cp=cp, batch=1)) for cp in (1, 4))
    assert parts.flops == pytest.approx(whole.flops, rel=5e-3)  # the table's gradient
    assert parts.memory[0]["activations"] < whole.memory[0]["activations"] / 2


def test_gradients_of_experts_take_twice_the_forward_products():
    graph = decoder(SPARSE, batch=2, sequence=64, phase="forward")
    step = training_step(graph)
    work = total_work(step.graph)
    assert work.unknown == ()
    routed = 2 * 64 * 2 * 4
    products = 2 * 3 * SPARSE.hidden * SPARSE.feed_forward * routed
    found = {k: w.flops for k, w in work.by_type.items() if "MoE" in k}
    assert found["lydite:MoEInputGrad"] == found["lydite:MoEWeightGrad"] == products
    assert found["lydite:MoETraining"] == pytest.approx(products, rel=0.05)


def test_attention_written_out_keeps_scores_and_selective_recomputation_drops_them():
    written, selective, full = (
        step(Plan(batch=1, attention="written", recompute=r)) for r in ("none", "selective", "full")
    )
    memory = [r.memory[0]["activations"] for r in (written, selective, full)]
    assert memory == sorted(memory, reverse=True)
    scores = 3 * 8 * 128 * 128 * 2  # scores, masked scores and shares of eight heads
    assert memory[0] - memory[1] <= 8 * scores
    assert written.seconds < selective.seconds < full.seconds
    assert selective.breakdown_s["recompute"] < full.breakdown_s["recompute"] / 2
    assert step(Plan(batch=1)).memory[0]["activations"] < memory[0]


def test_experts_that_do_not_divide():
    with pytest.raises(InputError, match=r"--ep 4 does not divide dp 6 x cp 1; allowed: divisors"):
        Plan(dp=6, ep=4)
    with pytest.raises(
        InputError, match=r"8 experts cannot be distributed over 3 ranks.*nearest is 2"
    ):
        step(Plan(dp=3, ep=3), SPARSE)
    with pytest.raises(InputError, match="has no experts to distribute"):
        step(Plan(dp=2, ep=2))
    with pytest.raises(InputError, match="context parallelism needs attention as one operator"):
        rank_step(build_model("resnet50"), Plan(cp=2))
    with pytest.raises(GraphError, match="with a cache"):
        written_out(build_model("gpt2", phase="decode"))


def test_every_category_is_one_of_a_kind():
    assert len(set(CATEGORIES)) == len(CATEGORIES)


@pytest.mark.parametrize("detail", [False, True])
@pytest.mark.parametrize(
    ("degrees", "rest"),
    [
        ({"pp": 4, "batch": 16}, {}),
        ({"pp": 4, "batch": 16}, {"schedule": "gpipe"}),
        ({"pp": 4, "batch": 16}, {"schedule": "zero-bubble"}),
        ({"pp": 4, "batch": 16, "chunks": 2}, {"schedule": "interleaved"}),
        ({"tp": 2, "dp": 2, "batch": 16}, {"recompute": "full", "zero": 1}),
        ({"dp": 4, "batch": 32}, {"zero": 3}),
    ],
)
def test_a_micro_batch_is_written_as_the_one_before(monkeypatch, degrees, rest, detail):
    """Byte for byte what writing each of them anew gives."""

    def programs():
        plan = Plan(**degrees, **rest)
        rank = rank_step(net(DENSE, plan), plan)
        cluster = read_cluster("dgx-a100", plan.ranks)
        costs = rank_costs(rank, Roofline(), cluster.device)
        groups = groups_of(cluster, plan, ASSUMED)
        stages = partition_stages(
            units_of(costs, plan, groups, dispatch_s=4e-6), plan.pp * plan.chunks
        )
        return [
            (
                *(
                    bytes(column)
                    for column in (
                        p.duration_ps,
                        p.stream,
                        p.category,
                        p.dep_start,
                        p.whom,
                        p.place,
                    )
                ),
                p.names,
            )
            for p in step_programs(stages, plan, groups, detail=detail)
        ]

    again = []
    known = Passage.again
    monkeypatch.setattr(Passage, "again", lambda *a: again.append(1) or known(*a))
    quick = programs()
    assert bool(again) == (rest.get("zero") != 3)
    monkeypatch.setattr("lydite.cluster.tasks._Writer._as_before", lambda *_: None)
    assert quick == programs()
