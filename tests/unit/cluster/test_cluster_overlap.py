"""Tensor-parallel messages behind products: closed form, limits, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.cluster import Group, Plan, simulate_step
from lydite.cluster.blocks import Block
from lydite.cluster.costs import BlockCost, Message, Part
from lydite.cluster.rank import rank_step
from lydite.cluster.stages import units_of
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

SIZE = Decoder(
    layers=4,
    hidden=1024,
    heads=16,
    feed_forward=4096,
    vocabulary=32000,
    positions=512,
    norm="rms",
    activation="silu",
    gated=True,
    dense_bias=False,
)


def net(plan: Plan, sequence: int = 512):
    return decoder(
        SIZE, batch=plan.micro_batch, sequence=sequence, phase="forward", dtype="bfloat16"
    )


def step(unfolded: bool = False, sequence: int = 512, **given: object):
    plan = Plan(**{"sequence_parallel": True, **given})
    cluster = read_cluster("dgx-a100 x 2", plan.ranks)
    return simulate_step(net(plan, sequence), cluster, plan, Roofline(), unfolded=unfolded)


def phase(products: list[float], sizes: list[float], beside: list[int], overlap: bool):
    """A forward phase of products, with a message beside each of some of them."""
    messages = [
        Message("AllGather", size, "tp", at, (at,)) for size, at in zip(sizes, beside, strict=True)
    ]
    cost = BlockCost(Block("layer", 2, ()))
    cost.parts["forward"] = Part(kernels=products, messages=messages)
    plan = Plan(tp=4, sequence_parallel=True, overlap_tensor=overlap)
    groups = {"tp": Group(4, 1e9, 0.0)}
    return units_of([cost], plan, groups, dispatch_s=0.0)[0].forward


@pytest.mark.parametrize("size", [1e6, 1e7, 1e8])
def test_the_smaller_of_both_is_hidden_but_for_the_first_part(size):
    """M / n + (n - 1) / n max(M, P) + P / n, for n = 4 parts."""
    product = 0.01
    message = Group(4, 1e9, 0.0).seconds("AllGather", size)
    found = phase([product], [size], [0], overlap=True)
    expected = message / 4 + 3 / 4 * max(message, product) + product / 4
    assert found.seconds == pytest.approx(expected, rel=1e-9)
    assert found.hidden_ps + found.sent_ps == pytest.approx(message * 1e12, abs=1)


@given(
    st.lists(st.floats(1e-6, 1e-1), min_size=1, max_size=5),
    st.lists(st.floats(1e3, 1e9), max_size=8),
)
def test_never_slower_than_without_nor_faster_than_products_or_messages_alone(products, sizes):
    beside = [at % len(products) for at in range(len(sizes))]
    plain, hidden = (phase(products, sizes, beside, overlap) for overlap in (False, True))
    messages = plain.sent_ps * 1e-12
    assert hidden.seconds <= plain.seconds
    rounding_s = (len(products) + len(sizes)) * 1e-12  # times are whole picoseconds
    assert hidden.seconds >= max(sum(products), messages) * (1 - 1e-9) - rounding_s
    assert hidden.hidden_ps <= min(plain.sent_ps, sum(products) * 1e12) + len(sizes)
    assert hidden.hidden_ps + hidden.sent_ps == plain.sent_ps


def test_messages_stand_beside_their_products():
    """Query, key and value; attention's; gate and up; down; and the same backward, twice each."""
    plan = Plan(tp=4, sequence_parallel=True)
    layer = rank_step(net(plan), plan).shape.costs[1]
    forward = [(m.kind, len(m.beside)) for m in layer.parts["forward"].messages]
    gather, scatter = "AllGather", "ReduceScatter"
    assert forward == [(gather, 3), (scatter, 1), (gather, 2), (scatter, 1)]
    backward = [(m.kind, len(m.beside)) for m in layer.parts["data"].messages]
    feeding, attending = ([(gather, 1), (gather, count), (scatter, count)] for count in (2, 3))
    assert backward == feeding + attending


@pytest.mark.parametrize("sequence", [64, 512])
@pytest.mark.parametrize("tp", [2, 8])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_a_step_hides_messages_and_keeps_its_products(tp, sequence, recompute):
    plain, hidden = (
        step(tp=tp, sequence=sequence, recompute=recompute, overlap_tensor=overlap)
        for overlap in (False, True)
    )
    assert plain.seconds - plain.breakdown_s["tensor"] <= hidden.seconds <= plain.seconds
    assert hidden.hidden_s > 0 == plain.hidden_s
    all_of_them = hidden.hidden_s + hidden.breakdown_s["tensor"]
    assert all_of_them == pytest.approx(plain.breakdown_s["tensor"], rel=1e-6)
    assert hidden.memory == plain.memory


@pytest.mark.parametrize("plan", [{"tp": 4, "pp": 2, "batch": 8}, {"tp": 2, "dp": 4, "batch": 8}])
def test_folded_steps_equal_unfolded_ones(plan):
    one, every = (step(unfolded, overlap_tensor=True, **plan) for unfolded in (False, True))
    assert one.timeline.makespan_ps == every.timeline.makespan_ps


def test_what_overlap_needs():
    with pytest.raises(InputError, match="add --tp RANKS --sequence-parallel"):
        Plan(overlap_tensor=True)
    with pytest.raises(InputError, match="add --sequence-parallel"):
        Plan(tp=2, overlap_tensor=True)
    plan = Plan(tp=2, sequence_parallel=True, overlap_tensor=True)
    with pytest.raises(InputError, match="leave one of them out"):
        simulate_step(net(plan), read_cluster("dgx-a100", 2), plan, Roofline(), network="links")
