"""Algorithms and protocols that a file or an option chooses, and schedules by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

import lydite as ly
from lydite.cluster import Plan
from lydite.cluster.collectives import (
    ALGORITHMS,
    Curve,
    algorithms,
    closed_form,
    find_algorithm,
    group_of,
    settings_of,
    with_measured,
)
from lydite.cluster.collectives.algorithm import Algorithm, Wires
from lydite.cluster.schedules import SCHEDULES, Schedule, steps_of
from lydite.errors import InputError
from lydite.hardware.cluster import make_cluster, read_cluster

BACKWARDS = Schedule(
    lambda _stage, _stages, batches, _chunks: [("F", b, 0) for b in range(batches)]
)


def chosen(name: str, **settings: tuple[str | None, str | None]):
    return replace(read_cluster(name), collectives=settings)


@pytest.mark.parametrize("algorithm", ["ring", "tree"])
@pytest.mark.parametrize("protocol", ["LL", "LL128", "Simple"])
def test_nccl_is_told_what_to_take(algorithm, protocol):
    """The least over all choices is what NCCL takes; each is no faster than that."""
    ranks = [range(16)]
    free = group_of(read_cluster("dgx-h100 x 2"), ranks)
    told = group_of(chosen("dgx-h100 x 2", allreduce=(algorithm, protocol)), ranks)
    for size in (1e3, 1e6, 1e9):
        assert told.choice("AllReduce", size)[:2] == (algorithm, protocol)
        assert told.seconds("AllReduce", size) >= free.seconds("AllReduce", size)
        every = free.choices("AllReduce", size)
        assert every[0] == free.choice("AllReduce", size)
        assert told.choice("AllReduce", size) in every
        assert told.seconds("AllGather", size) == free.seconds("AllGather", size)


def test_an_algorithm_that_nccl_lacks_has_its_closed_form():
    """Simple hops of 3.4 us after a start of 8.4 us, 16 of 17 flits of an NVLink, one pass over
    the local tensor in and out."""
    cluster = chosen("dgx-h100", allreduce=("halving", "Simple"))
    group = group_of(cluster, [range(8)])
    rate = 450e9 * 16 / 17
    moved = 8.4e-6 + 6 * 3.4e-6 + 2 * 7 / 8 * 1e9 / rate
    assert group.seconds("AllReduce", 1e9) == pytest.approx(
        moved + 2 * 1e9 / cluster.device.memory_bandwidth
    )


def test_hierarchical_knows_the_rate_inside_hosts():
    """Two hosts of four on 100 GB/s inside; each device has a quarter of the 40 GB/s card."""
    cluster = make_cluster("amd-mi100", 2, 4, 100e9, 40e9)
    plain = replace(
        cluster,
        device=replace(cluster.device, vendor="somebody"),
        collectives={"allreduce": ("hierarchical", None)},
    )
    group = group_of(plain, [range(8)])
    assert group.inside_bandwidth_bytes_per_s == 100e9
    seconds = 2 * 3 * (1e9 / 4) / 85e9 + 2 * (1e9 / 8) / (0.85 * 10e9)
    assert group.seconds("AllReduce", 1e9) == pytest.approx(seconds, rel=1e-3)


def test_what_was_measured_is_not_what_was_chosen():
    curve = Curve.of({1e6: 1.0, 1e9: 2.0})
    free, told = (
        with_measured(group_of(cluster, [range(8)]), curve)
        for cluster in (read_cluster("dgx-h100"), chosen("dgx-h100", allreduce=("tree", None)))
    )
    assert free.source("AllReduce", 1e7) == "measured"
    assert told.source("AllReduce", 1e7) == "modelled"
    assert told.seconds("AllReduce", 1e7) < 0.1


def test_a_clusters_file_chooses(tmp_path):
    entry = {"allreduce": {"algorithm": "ring", "protocol": "Simple"}, "send": {"protocol": "LL"}}
    raw = {
        "name": "mine",
        "title": "mine",
        "device": "h100",
        "devices_per_host": 8,
        "switch": {"bandwidth_each_way": "450 GB/s", "latency": "0.5 us"},
        "collectives": entry,
        "sources": {"": "assumed"},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    cluster = read_cluster(str(path))
    assert settings_of(cluster) == {"AllReduce": ("ring", "Simple"), "Send": (None, "LL")}
    assert group_of(cluster, [range(8)]).choice("AllReduce", 1e3)[:2] == ("ring", "Simple")
    raw["collectives"] = {"allreduce": {"protocol": "LL64"}}
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(InputError, match="LL64"):
        read_cluster(str(path))


def test_the_option_wins_over_the_file_and_reaches_the_step():
    usual, tree = (
        ly.simulate("gpt2", on="dgx-h100", train=True, tp=4, batch=2, **how).step
        for how in ({}, {"algorithm": ["allreduce=ring"], "protocol": ["allreduce=Simple"]})
    )
    assert tree.seconds > usual.seconds
    assert tree.groups["tp"].choice("AllReduce", 1e3)[:2] == ("ring", "Simple")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"allreduce": ("rings", None)}, "unknown algorithm of AllReduce 'rings'.*'ring'"),
        ({"allgather": ("tree", None)}, "unknown algorithm of AllGather 'tree'"),
        ({"reduce": ("ring", None)}, "unknown collective 'reduce'"),
        ({"allreduce": (None, "LL12")}, "unknown protocol 'LL12'"),
        ({"alltoall": (None, "LL128")}, "no LL128 for AllToAll"),
    ],
)
def test_what_cannot_be_chosen(settings, message):
    with pytest.raises(InputError, match=message):
        group_of(chosen("dgx-h100", **settings), [range(8)]).choice("AllToAll", 1e6)


@pytest.mark.parametrize("text", ["allreduce", "=tree", "allreduce="])
def test_an_option_names_kind_and_algorithm(text):
    with pytest.raises(InputError, match="its algorithm; allowed: KIND=NAME"):
        ly.simulate("gpt2", on="dgx-h100", algorithm=[text])


class Instant(Algorithm):
    kinds = ("Broadcast",)

    def seconds(self, kind, wires, size_bytes):
        return 1e-9

    def messages(self, kind, ranks, size_bytes, inside_ranks):
        raise NotImplementedError


INSTANT = Instant()


def test_an_algorithm_from_outside_is_found_by_its_name():
    assert "instant" not in algorithms("Broadcast")
    with ALGORITHMS.added("instant", f"{__name__}:INSTANT"):
        assert algorithms("Broadcast")[0] == "ring"
        assert "instant" in algorithms("Broadcast")
        assert find_algorithm("Broadcast", "instant") is INSTANT
        assert closed_form("Broadcast", "instant", Wires(4, 1e9, 0.0), 1e9) == 1e-9
    with pytest.raises(InputError, match="unknown algorithm"):
        find_algorithm("Broadcast", "instant")


def test_a_schedule_from_outside_is_found_by_its_name():
    assert list(SCHEDULES) == ["1f1b", "gpipe", "interleaved", "zero-bubble"]
    with pytest.raises(InputError, match="unknown schedule '1f1c'"):
        Plan(schedule="1f1c")
    with SCHEDULES.added("backwards", f"{__name__}:BACKWARDS"):
        assert Plan(schedule="backwards").schedule == "backwards"
        assert steps_of("backwards", 0, 2, 2) == [("F", 0, 0), ("F", 1, 0)]
