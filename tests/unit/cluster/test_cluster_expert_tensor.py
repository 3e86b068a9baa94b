"""Whole experts spread over tensor-parallel ranks: groups, weights, routes of tokens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lydite.cluster import Plan, simulate_step
from lydite.cluster.rank import rank_step
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder
from lydite.models.huggingface import graph_from_config

B, S, H, F, EXPERTS, CHOSEN = 2, 128, 256, 512, 8, 2
SPARSE = Decoder(
    layers=4,
    hidden=H,
    heads=8,
    feed_forward=F,
    vocabulary=32000,
    positions=256,
    experts=EXPERTS,
    experts_per_token=CHOSEN,
    norm="rms",
    activation="silu",
    gated=True,
    dense_bias=False,
)
SPREAD = {"tp": 4, "dp": 2, "ep": 8, "expert_tensor": 1, "sequence_parallel": True}


def net(plan: Plan):
    return decoder(SPARSE, batch=B, sequence=S // plan.cp, phase="forward", dtype="bfloat16")


def layer(**given: object):
    plan = Plan(**{"micro_batch": B, **given})
    return rank_step(net(plan), plan).shape.costs[1]


def step(unfolded: bool = False, **given: object):
    plan = Plan(**{"micro_batch": B, **given})
    cluster = read_cluster("dgx-a100 x 2", plan.ranks)
    return simulate_step(net(plan), cluster, plan, Roofline(), unfolded=unfolded)


def test_groups_are_neighbouring_ranks():
    """Rank = tp index + tp (cp index + cp dp index), as Megatron-Core places expert groups."""
    plan = Plan(tp=4, dp=4, ep=8, expert_tensor=1, sequence_parallel=True)
    assert plan.groups["ep"] == (1, 8)
    assert plan.groups["edp"] == (8, 2)
    assert replace(plan, ep=2).groups["edp"] == (2, 8)
    assert Plan(tp=4, dp=4, ep=2, expert_tensor=4).groups == Plan(tp=4, dp=4, ep=2).groups


def test_each_rank_sends_its_own_tokens_and_holds_whole_experts():
    """tokens / tp x experts a token x width x 2 bytes, twice forward and twice back."""
    spread = layer(**SPREAD)
    sent = [m for p in spread.parts.values() for m in p.messages if m.group == "ep"]
    tokens = [m.bytes for m in sent if m.kind == "AllToAll"]  # others gather scores of the router
    assert len(tokens) == 4
    assert set(tokens) == {B * S / 4 * CHOSEN * H * 2}
    assert spread.held["edp"].parameters == 3 * H * F * EXPERTS / 8
    split = layer(tp=4, dp=2, ep=2, sequence_parallel=True)
    assert split.held["edp"].parameters == spread.held["edp"].parameters


def test_tokens_are_not_gathered_for_experts():
    """Around attention two messages each way are left of four; so is one gather of what it read."""
    plain = layer(tp=4, dp=2, ep=2, sequence_parallel=True)
    spread = layer(**SPREAD)
    for name, fewer in (("forward", 2), ("data", 3)):
        before, after = (
            sum(m.group == "tp" for m in cost.parts[name].messages) for cost in (plain, spread)
        )
        assert after <= before - fewer


def test_ranks_do_as_many_products_however_experts_are_shared():
    plain = layer(tp=4, dp=2, ep=2, sequence_parallel=True)
    spread = layer(**SPREAD)
    for name in ("forward", "data", "weights"):
        found, expected = spread.parts[name].flops, plain.parts[name].flops
        assert found == pytest.approx(expected, rel=0.02)


def test_the_router_is_whole_and_its_gradient_summed_once_a_step():
    spread = layer(**SPREAD)
    assert spread.held["dp"].summed_bytes == 4 * H * EXPERTS


def test_what_a_step_keeps_of_the_tokens_is_its_part():
    plain = layer(tp=4, dp=2, ep=2, sequence_parallel=True)
    assert layer(**SPREAD).saved_bytes < plain.saved_bytes


@pytest.mark.parametrize(
    "plan",
    [
        {**SPREAD, "batch": 4 * B},
        {**SPREAD, "tp": 2, "pp": 2, "ep": 4, "batch": 8 * B, "zero": 1},
        {**SPREAD, "tp": 2, "cp": 2, "ep": 8, "batch": 4 * B, "recompute": "full"},
        {**SPREAD, "tp": 2, "dp": 4, "ep": 4, "zero": 1, "shard_size": 2, "batch": 8 * B},
        {**SPREAD, "tp": 2, "dp": 4, "ep": 2, "overlap_tensor": True, "batch": 8 * B},
    ],
)
def test_folded_steps_equal_unfolded_ones(plan):
    one, every = (step(unfolded, **plan) for unfolded in (False, True))
    assert one.timeline.makespan_ps == every.timeline.makespan_ps
    assert one.breakdown_s["expert"] > 0


def test_a_dense_part_beside_the_experts_is_split_as_before(tmp_path):
    """GLM 4.5's shared expert: a quarter of its weights on each rank, with its two messages."""
    config = {
        "model_type": "glm4_moe",
        "hidden_size": H,
        "intermediate_size": F,
        "moe_intermediate_size": 128,
        "n_shared_experts": 1,
        "n_routed_experts": EXPERTS,
        "num_experts_per_tok": CHOSEN,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 256,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    graph = graph_from_config(tmp_path / "config.json", phase="forward", sequence=S)
    plan = Plan(tp=4, dp=2, ep=8, expert_tensor=1, sequence_parallel=True)
    costs = rank_step(graph, plan).shape.costs
    layer = max(costs, key=lambda cost: cost.block.count)
    assert layer.held["edp"].parameters == 3 * H * 128
    dense = 4 * H * H / 4 + 3 * H * 128 / 4 + H * EXPERTS + 2 * H
    assert layer.held["dp"].parameters == dense
    around = [m.kind for m in layer.parts["forward"].messages if m.group == "tp"]
    assert around == ["AllGather", "ReduceScatter"] * 2


REFUSED = [
    ({"tp": 2, "dp": 4, "ep": 8}, "nearest is 4; add --expert-tensor 1 to spread experts"),
    ({"tp": 2, "dp": 4, "ep": 3}, "does not divide dp 4 x cp 1; allowed: divisors of 4"),
    ({"tp": 4, "dp": 4, "expert_tensor": 2}, "1 (whole experts) or the degree of --tp, 4"),
    ({"tp": 2, "dp": 4, "ep": 8, "expert_tensor": 1}, "do not share; add --sequence-parallel"),
    (
        {"tp": 2, "dp": 4, "ep": 16, "expert_tensor": 1, "sequence_parallel": True},
        "does not divide dp 4 x cp 1 x tp 2; allowed: divisors of 8; the nearest is 8",
    ),
]


@pytest.mark.parametrize(("plan", "text"), REFUSED)
def test_degrees_that_do_not_fit(plan, text):
    with pytest.raises(InputError) as caught:
        Plan(**plan)
    assert text in str(caught.value)


def test_tokens_that_do_not_divide():
    plan = Plan(tp=8, micro_batch=1, ep=8, expert_tensor=1, sequence_parallel=True)
    graph = decoder(SPARSE, batch=1, sequence=100, phase="forward", dtype="bfloat16")
    with pytest.raises(InputError, match="use a --sequence that is a multiple of 8"):
        rank_step(graph, plan)
