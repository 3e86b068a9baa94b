"""What NCCL would take, calibrations, and what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lydite.cluster.calibration.collectives import calibrate
from lydite.cluster.collectives import (
    KINDS,
    Calibration,
    Curve,
    Group,
    group_of,
    link_between,
    read_calibration,
    with_measured,
    write_calibration,
)
from lydite.cluster.collectives.nccl import Ranks, candidates
from lydite.errors import InputError
from lydite.hardware import Device
from lydite.hardware.cluster import make_cluster, read_cluster

SIZES = [2.0**k for k in np.arange(3, 34, 0.25)]
GROUPS = {
    "NVSwitch": Group(8, 300e9, 1e-6, model="nccl"),
    "PCIe": Group(4, 15e9, 1e-6, link="pcie", model="nccl"),
    "two hosts": Group(16, 200e9, 2e-6, hosts=2, model="nccl"),
    "a rank a host": Group(32, 25e9, 2e-6, hosts=32, model="nccl"),
    "many hosts": Group(1024, 400e9, 4e-6, hosts=128, model="nccl"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_more_bytes_never_take_less_and_more_bandwidth_never_more(name, kind):
    group = GROUPS[name]
    seconds = np.array([group.seconds(kind, size) for size in SIZES])
    assert (np.diff(seconds) > 0).all()
    for factor in (1.1, 2, 10):
        wider = replace(group, bandwidth_bytes_per_s=factor * group.bandwidth_bytes_per_s)
        assert all(wider.seconds(kind, size) <= s for size, s in zip(SIZES, seconds, strict=True))


@pytest.mark.parametrize("name", GROUPS)
def test_small_messages_go_by_low_latency_and_large_ones_by_simple_rings(name):
    group = GROUPS[name]
    assert group.choice("AllReduce", 64).protocol.startswith("LL")
    assert group.choice("AllReduce", 1e12)[:2] == ("ring", "Simple")


def test_trees_carry_small_messages_across_hosts():
    """Latency grows by log2 of the hosts, not by the ranks: NCCL 2.4's reason for trees."""
    assert GROUPS["many hosts"].choice("AllReduce", 1e6).algorithm == "tree"
    assert GROUPS["many hosts"].choice("AllGather", 1e6).algorithm == "ring"
    times = [
        replace(GROUPS["many hosts"], ranks=8 * h, hosts=h).seconds("AllReduce", 8)
        for h in (64, 128)
    ]
    assert times[1] - times[0] == pytest.approx(2 * 5e-6)  # one level more, LL
    assert times[1] < 1.2 * times[0]  # with twice the ranks


def test_latencies_are_those_of_the_tuning_model():
    """src/graph/tuning.cc: LL on NVLink, 6.6 us and 0.6 us a step; Simple 8.4 and 3.4."""
    fast = replace(GROUPS["NVSwitch"], bandwidth_bytes_per_s=1e30)
    assert fast.seconds("AllReduce", 1) == pytest.approx(6.6e-6 + 14 * 0.6e-6, rel=1e-5)
    assert fast.seconds("AllGather", 1) == pytest.approx(6.6e-6 + 7 * 0.6e-6, rel=1e-5)
    size = 1e12  # LL is capped at 87.7 GB/s
    assert fast.seconds("AllGather", size) == pytest.approx(14.0e-6 + 7 * 1.9e-6, rel=1e-6)


BY_HAND = {  # us before the bytes, bytes/s for every byte of the tensor, on 2 hosts of 8 ranks
    ("ring", "LL"): (6.6 + 2 * (14 * 0.6 * 1.8 + 2.7), 22.5e9 / 1.875),
    ("ring", "LL128"): (14 + 2 * (14 * 1.9 + 4), 0.92 * 160e9 / 1.875),
    ("ring", "Simple"): (1.4 * (8.4 + 2 * (14 * 3.4 + 14)), 160e9 / 1.875),
    ("tree", "LL"): (6.8 + 2 * (7 * 0.6 * 1.8 + 5), 22.5e9 / 2),
    ("tree", "LL128"): (14 + 2 * (7 * 1.25 + 8.5), 0.92 * 160e9 * 120 / 128 / 2),
    ("tree", "Simple"): (8.4 + 2 * (7 * 4 + 14), 0.92 * 160e9 / 2),
}


def test_two_hosts_by_hand():
    found = candidates(Ranks(16, 2, "nvlink", 160e9, 2e-6), "AllReduce")
    made = {(c.algorithm, c.protocol): (1e6 * c.latency_s, 1 / c.s_per_byte) for c in found}
    assert made.keys() == BY_HAND.keys()
    for name, (latency, rate) in BY_HAND.items():
        assert made[name] == pytest.approx((latency, rate))
    simple = next(c for c in found if c[:2] == ("tree", "Simple"))
    # The table halves the rate of a Simple tree at 64 bytes x 2^12.
    assert simple.seconds(2**18) == pytest.approx(simple.latency_s + 2**19 * simple.s_per_byte)


def test_over_pcie_there_is_no_ll128():
    found = candidates(Ranks(4, 1, "pcie", 15e9, 1e-6), "AllGather")
    assert [(c.protocol, round(1e6 * c.latency_s, 9)) for c in found] == [
        ("LL", 6.6 + 3 * 1.0),
        ("Simple", 8.4 + 3 * 5.7),
    ]


def test_a_long_wire_between_hosts_is_waited_for():
    near, far = (
        replace(GROUPS["a rank a host"], latency_s=s).seconds("AllGather", 8) for s in (2e-6, 1e-3)
    )
    assert far - near == pytest.approx(31 * (1e-3 - 2.7e-6))


@pytest.mark.parametrize(("kind", "share"), [("AllReduce", 1), ("AllGather", 0.5)])
def test_the_local_tensor_comes_on_top(kind, share):
    bare = GROUPS["NVSwitch"]
    more = replace(bare, calibration=Calibration(3e-6, 2e-12))
    added = more.seconds(kind, 1e9) - bare.seconds(kind, 1e9)
    assert added == pytest.approx(3e-6 + share * 2e-3)


def test_rates_are_those_of_the_links():
    """Simple rings move 2 (n - 1) / n of the bytes at 16/17 of NVLink's rate."""
    one, other = (GROUPS["NVSwitch"].seconds("AllReduce", size) for size in (32e9, 64e9))
    assert other - one == pytest.approx(32e9 * 14 / 8 / (300e9 * 16 / 17))


def test_groups_know_their_links():
    dgx, boxes = read_cluster("dgx-a100"), read_cluster("dgx-a100 x 4")
    inside = group_of(dgx, [range(8)])
    assert (inside.hosts, inside.link, inside.model) == (1, "nvlink", "nccl")
    rail = group_of(boxes, [range(0, 32, 8)])
    assert (rail.hosts, rail.link, rail.ranks) == (4, "nvlink", 4)
    pcie = read_cluster("v100-pcie")
    assert group_of(pcie, [range(8)]).link == "pcie"
    assert link_between(pcie, [0, 1], [4, 5]).link == "pcie"
    assert link_between(boxes, [0], [8]).hosts == 2
    assert group_of(dgx, [[0]]).seconds("AllReduce", 1e9) == 0


def test_unknown_devices_get_the_plain_form():
    unknown = Device("npu", "an NPU", "gpu", "unknown", {}, 0.0, 0.0)
    cluster = make_cluster(unknown, 2, 4, 100e9, 25e9)
    assert group_of(cluster, [range(8)]).model == "plain"
    assert link_between(cluster, [0], [4]).model == "plain"
    with pytest.raises(InputError, match="devices of unknown do not run NCCL"):
        calibrate({2: Curve.of({8: 1.0})}, cluster)


def test_an_all_to_all_across_hosts_waits_for_the_cards():
    """Each host sends 8 x 8 of 16 parts of a rank's gigabyte through cards of 400 GB/s."""
    cluster = read_cluster("dgx-h100 x 2")
    group = group_of(cluster, [range(16)], Calibration())
    assert group.seconds("AllToAll", 1e9) == pytest.approx(4e9 / 400e9, rel=0.03)


@pytest.mark.parametrize("name", ["dgx-a100", "dgx-1v"])
def test_calibrating_finds_the_constants_it_was_made_with(name):
    cluster, true = read_cluster(name), Calibration(12e-6, 1.5e-12)
    group = group_of(cluster, [range(2)], true)
    curve = Curve.of({size: group.seconds("AllReduce", size) for size in SIZES[40:]})
    found = calibrate({2: curve}, cluster)
    assert (found.launch_s, found.local_s_per_byte) == pytest.approx((12e-6, 1.5e-12), rel=1e-6)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert (found.ranks, found.points) == ((2,), len(curve.sizes_bytes))
    four, same = (group_of(cluster, [range(4)], c) for c in (true, found))
    assert same.seconds("AllReduce", 1e8) == pytest.approx(four.seconds("AllReduce", 1e8))


def test_no_constant_falls_below_zero():
    """Faster than the links allow: the constants are 0 and the error says so."""
    cluster = read_cluster("dgx-a100")
    found = calibrate({2: Curve.of({1e6: 1e-6, 1e9: 1e-3})}, cluster)
    assert (found.launch_s, found.local_s_per_byte) == (0, 0)
    assert found.error is not None
    assert found.error > 1


def test_calibrations_are_kept(tmp_path):
    one = Calibration(1e-6, 2e-12, (2, 4), 30, 0.02)
    assert read_calibration(write_calibration(one, tmp_path / "c.json")) == one
    (tmp_path / "bad.json").write_text('{"launch_s": 1}')
    with pytest.raises(InputError, match=r"bad.json: not a calibration; allowed: an object of"):
        read_calibration(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad.json: is not JSON"):
        read_calibration(tmp_path / "bad.json")
    with pytest.raises(InputError, match=r"none.json: cannot be read"):
        read_calibration(tmp_path / "none.json")
    for wrong in (one.to_json() | {"launch_s": "x"}, one.to_json() | {"launch_s": -1}):
        with pytest.raises(InputError, match="calibration"):
            Calibration.from_json(wrong)


@pytest.mark.parametrize("curves", [{}, {1: Curve.of({8: 1.0})}])
def test_calibrating_needs_two_devices(curves):
    with pytest.raises(InputError, match="each of at least 2 devices"):
        calibrate(curves, read_cluster("dgx-a100"))


def test_what_was_measured_comes_first():
    model = Group(4, 100e9, 1e-6, model="nccl")
    group = with_measured(model, Curve.of({1e6: 1e-3, 1e8: 1e-2}))
    # Log-log: ten times the bytes, the square root of ten times the time.
    assert group.seconds("AllReduce", 1e7) == pytest.approx(10**-2.5)
    assert group.source("AllReduce", 1e7) == "measured"
    for kind, size in (("AllReduce", 1e5), ("AllReduce", 1e9), ("AllGather", 1e7)):
        assert group.source(kind, size) == "modelled"
        assert group.seconds(kind, size) == model.seconds(kind, size)
    with pytest.raises(InputError, match="unknown collective"):
        with_measured(model, Curve.of({1: 1.0}), "AllReduse")
