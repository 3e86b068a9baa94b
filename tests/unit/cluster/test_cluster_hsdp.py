"""ZeRO in groups of ranks, replicated over the groups (HSDP): memory, messages, refusals."""

from __future__ import annotations

import pytest

from lydite.cluster import Plan, groups_of, simulate_step
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

DENSE = Decoder(layers=4, hidden=256, heads=8, feed_forward=1024, vocabulary=32000, positions=256)
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


def step(plan: Plan, size: Decoder = DENSE, unfolded: bool = False):
    net = decoder(size, batch=1, sequence=128, phase="forward", dtype="bfloat16")
    cluster = read_cluster("dgx-a100 x 2", plan.ranks)
    return simulate_step(net, cluster, plan, Roofline(), unfolded=unfolded)


def messages(result) -> dict[str, tuple[int, int]]:
    """Kinds of gradient and weight messages: their number and picoseconds, by name."""
    tasks, timeline = result.played.tasks, result.timeline
    found: dict[str, tuple[int, int]] = {}
    for at in range(len(timeline.start_ps)):
        name = tasks.names[at]
        for kind in ("gradients copies", "gradients", "gather"):
            if name.endswith(kind):
                count, spent = found.get(kind, (0, 0))
                found[kind] = count + 1, spent + int(timeline.span_ps[at])
                break
    return found


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("shard", [2, 8])
def test_memory_is_that_of_as_many_replicas(zero, shard):
    hybrid = step(Plan(dp=16, batch=16, zero=zero, shard_size=shard))
    small = step(Plan(dp=shard, batch=shard, zero=zero))
    assert hybrid.memory == small.memory


@pytest.mark.parametrize("zero", [1, 3])
def test_a_group_of_all_replicas_is_plain_zero(zero):
    hybrid, plain = (step(Plan(dp=16, batch=32, zero=zero, shard_size=s)) for s in (16, 0))
    assert hybrid.timeline.makespan_ps == plain.timeline.makespan_ps
    assert hybrid.memory == plain.memory


def test_shards_are_gathered_inside_and_summed_across():
    """Inside: gathers and reduce-scatters of all bytes. Across: an all-reduce of 1/8 of them."""
    plan = Plan(dp=16, batch=32, zero=3, shard_size=8, bucket_bytes=1 << 40)
    found = messages(step(plan))
    cluster = read_cluster("dgx-a100 x 2")
    groups = groups_of(cluster, plan)
    assert (groups["dp shard"].ranks, groups["dp shard"].hosts) == (8, 1)
    assert (groups["dp copies"].ranks, groups["dp copies"].hosts) == (2, 2)
    units = [u for stage in step(plan).stages for u in stage]
    sent = [u.held["dp"].gradient_bytes for u in units]
    inside = 2 * sum(groups["dp shard"].seconds("ReduceScatter", size) for size in sent)
    across = sum(groups["dp copies"].seconds("AllReduce", size / 8) for size in sent)
    gathers = sum(groups["dp shard"].seconds("AllGather", u.held["dp"].bytes) for u in units)
    assert found["gradients"] == (2 * len(units), pytest.approx(inside * 1e12, rel=1e-6))
    assert found["gradients copies"] == (len(units), pytest.approx(across * 1e12, rel=1e-6))
    assert found["gather"] == (4 * len(units), pytest.approx(4 * gathers * 1e12, rel=1e-6))


@pytest.mark.parametrize(
    ("plan", "size"),
    [
        ({"dp": 8, "zero": 1, "shard_size": 2, "batch": 16}, DENSE),
        ({"dp": 4, "pp": 2, "zero": 2, "shard_size": 2, "batch": 16}, DENSE),
        ({"dp": 4, "cp": 2, "zero": 1, "shard_size": 4, "overlap": False, "batch": 16}, DENSE),
        ({"dp": 8, "ep": 2, "zero": 1, "shard_size": 4, "batch": 16}, SPARSE),
        ({"dp": 8, "ep": 4, "zero": 1, "shard_size": 4, "batch": 16}, SPARSE),
    ],
)
def test_folded_steps_equal_unfolded_ones(plan, size):
    one, every = (step(Plan(**plan), size, unfolded) for unfolded in (False, True))
    assert one.timeline.makespan_ps == every.timeline.makespan_ps


def test_experts_shard_among_those_of_the_group_that_hold_them():
    """Of 16 ranks, 2 hold the same experts and 8 shard: 4 shard an expert's weights."""
    states = [
        step(Plan(dp=16, ep=2, zero=1, shard_size=s, batch=16), SPARSE).memory[0]["optimizer"]
        for s in (16, 8)
    ]
    assert states[1] == 2 * states[0]


REFUSED = [
    ({"dp": 8, "shard_size": 4}, "shards nothing; add --zero 1, 2 or 3"),
    ({"dp": 8, "zero": 3, "shard_size": 3}, "allowed: 1, 2, 4, 8; the nearest is 2"),
    (
        {"dp": 8, "ep": 4, "zero": 1, "shard_size": 2},
        "hold all of ep 4; allowed: 4, 8;",
    ),
]


@pytest.mark.parametrize(("plan", "text"), REFUSED)
def test_groups_that_do_not_divide(plan, text):
    with pytest.raises(InputError) as caught:
        Plan(**plan)
    assert text in str(caught.value)
