"""Closed forms of collectives by hand, what they refuse, and plain groups."""

from __future__ import annotations

import pytest

from lydite.cluster.collectives import (
    EFFICIENCY,
    LAUNCH_S,
    Group,
    Wires,
    algorithms,
    closed_form,
)
from lydite.errors import InputError

GB = 1e9
EIGHT = Wires(8, 10 * GB, 1e-6)

BY_HAND = [
    # 14 messages of 1 GB; 7 of them; three rounds of half, a quarter, an eighth, there and back.
    ("AllReduce", "ring", 14 * (1e-6 + 0.1)),
    ("AllGather", "ring", 7 * (1e-6 + 0.1)),
    ("ReduceScatter", "ring", 7 * (1e-6 + 0.1)),
    ("AllToAll", "pairwise", 7 * (1e-6 + 0.1)),
    ("AllReduce", "halving", 2 * (3e-6 + 0.4 + 0.2 + 0.1)),
    ("AllGather", "halving", 3e-6 + 0.1 + 0.2 + 0.4),
    ("ReduceScatter", "halving", 3e-6 + 0.4 + 0.2 + 0.1),
    ("AllReduce", "tree", 2 * (3e-6 + 0.8)),
    ("Broadcast", "tree", 3e-6 + 0.8),
    ("Broadcast", "ring", 7e-6 + 0.8),
    ("Send", "direct", 1e-6 + 0.8),
]


@pytest.mark.parametrize(("kind", "algorithm", "seconds"), BY_HAND)
def test_eight_gigabytes_on_eight_ranks(kind, algorithm, seconds):
    assert closed_form(kind, algorithm, EIGHT, 8 * GB) == pytest.approx(seconds, rel=1e-12)
    assert closed_form(kind, algorithm, Wires(1, 10 * GB, 1e-6), 8 * GB) == 0


def test_two_hosts_of_four():
    """Three shares of 2 GB at 100 GB/s, two of 1 GB at 10 GB/s across, three of 2 GB again."""
    wires = Wires(8, 10 * GB, 5e-6, 4, 100 * GB, 1e-6)
    seconds = 6 * (1e-6 + 0.02) + 2 * (5e-6 + 0.1)
    assert closed_form("AllReduce", "hierarchical", wires, 8 * GB) == pytest.approx(seconds)


@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 16])
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather(ranks):
    wires = Wires(ranks, 10 * GB, 1e-6)
    for algorithm in ("ring", "halving") if ranks in (2, 4, 16) else ("ring",):
        parts = [closed_form(k, algorithm, wires, GB) for k in ("ReduceScatter", "AllGather")]
        assert closed_form("AllReduce", algorithm, wires, GB) == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    ("kind", "algorithm", "wires", "size", "message"),
    [
        ("AllReduse", "ring", EIGHT, 1, "unknown collective 'AllReduse'.*did you mean|AllReduce"),
        ("AllReduce", "rings", EIGHT, 1, "unknown algorithm of AllReduce 'rings'.*'ring'"),
        ("AllGather", "tree", EIGHT, 1, "unknown algorithm of AllGather 'tree'.*halving, ring"),
        ("AllReduce", "ring", EIGHT, -1, "a collective of -1 bytes; allowed: 0 or more"),
        ("AllReduce", "ring", EIGHT, float("nan"), "a collective of nan bytes"),
        ("AllReduce", "ring", Wires(0, GB, 0), 1, "a collective of 0 ranks"),
        ("AllReduce", "halving", Wires(6, GB, 0), 1, "halving of 6 ranks.*such as 4 or 8"),
        ("AllReduce", "hierarchical", Wires(6, GB, 0, 4), 1, "6 ranks in hosts of 4"),
    ],
)
def test_what_is_refused(kind, algorithm, wires, size, message):
    with pytest.raises(InputError, match=message) as raised:
        closed_form(kind, algorithm, wires, size)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["AllReduce", "AllGather", "Broadcast", "AllToAll", "Send"])
def test_a_plain_group_is_the_closed_form(kind):
    group = Group(4, 20 * GB, 2e-6)
    wires = Wires(4, 20 * GB * EFFICIENCY, 2e-6)
    form = closed_form(kind, algorithms(kind)[0], wires, GB)
    assert group.seconds(kind, GB) == LAUNCH_S + form
    assert group.choice(kind, GB).protocol == ""


@pytest.mark.parametrize("model", ["plain", "nccl"])
def test_nothing_to_send_takes_no_time(model):
    assert Group(1, float("inf"), 0.0, model=model).seconds("AllReduce", GB) == 0
    assert Group(4, GB, 0.0, model=model).seconds("AllReduce", 0) == 0
    with pytest.raises(InputError, match="a collective of -8 bytes"):
        Group(4, GB, 0.0, model=model).seconds("AllReduce", -8)
    with pytest.raises(InputError, match="unknown collective 'Reduce'"):
        Group(1, GB, 0.0, model=model).seconds("Reduce", 8)
