"""Routing against a plain search, balance over equal paths, rings, and slow parts."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.hardware import find_device
from lydite.hardware.cluster import (
    LINK_KINDS,
    NODE_KINDS,
    best_ring,
    degraded,
    make_cluster,
    path_cost,
    paths,
    read_cluster,
    shared_bandwidth,
)
from lydite.hardware.cluster.build import build_cluster
from lydite.hardware.cluster.design import Cards, Fabric, Host, Mesh, Pcie, Wire
from lydite.hardware.cluster.elements import Links, Nodes
from lydite.hardware.cluster.route import Router

T4 = find_device("t4")


def shortest(cluster, source, target):
    """Fewest hops by a plain breadth-first search in which devices pass nothing on."""
    onward = {}
    for one, other in zip(
        cluster.links.source.tolist(), cluster.links.target.tolist(), strict=True
    ):
        onward.setdefault(one, set()).add(other)
    hops, todo = {source: 0}, deque([source])
    while todo:
        at = todo.popleft()
        if at == source or cluster.nodes.kind[at] != NODE_KINDS.index("device"):
            for node in sorted(onward.get(at, ())):
                if node not in hops:
                    hops[node] = hops[at] + 1
                    todo.append(node)
    return hops.get(target)


@st.composite
def clusters(draw):
    """A PCIe tree, perhaps a switch, any fabric."""
    per_switch, switches = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 4]))
    devices, hosts = per_switch * switches, draw(st.integers(1, 7))
    wire = Wire("pcie", 16e9, 1e-7)
    groups = tuple(tuple(range(at * per_switch, (at + 1) * per_switch)) for at in range(switches))
    cards = draw(st.sampled_from([1, switches, 2 * switches]))
    host = Host(
        devices,
        switch=draw(st.sampled_from([None, Wire("nvswitch", 100e9, 1e-7)])),
        pcie=Pcie(wire, groups, (tuple(range(switches)),), None),
        cards=Cards(Wire("ib", 12.5e9, 1e-6), tuple(at * switches // cards for at in range(cards))),
    )
    fabric = Fabric(
        draw(st.sampled_from(["switch", "leaf-spine", "rail-optimised"])),
        Wire("ib", draw(st.sampled_from([12.5e9, 25e9])), 1e-7),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1.0, 2.0])),
        radix=48,
    )
    return build_cluster("drawn", "Drawn", T4, hosts, host, fabric)


@settings(max_examples=30)
@given(clusters(), st.integers(0, 3))
def test_paths_are_paths(cluster, channel):
    rng = np.random.default_rng(cluster.ranks)
    one, other = rng.integers(0, cluster.ranks, (2, 12))
    found = paths(cluster, cluster.device_node[one], cluster.device_node[other], channel)
    again = paths(cluster, cluster.device_node[one], cluster.device_node[other], channel)
    assert (found.links == again.links).all()
    links, kind = cluster.links, cluster.nodes.kind
    for at, (source, target) in enumerate(zip(one, other, strict=True)):
        way = found[at]
        stops = [cluster.rank_node(int(source)), *links.target[way].tolist()]
        assert stops[:-1] == links.source[way].tolist()
        assert stops[-1] == cluster.rank_node(int(target))
        assert len(set(stops)) == len(stops)
        assert not (kind[stops[1:-1]] == NODE_KINDS.index("device")).any()
        fewest = shortest(cluster, stops[0], stops[-1])
        assert len(way) >= fewest
        if cluster.host_of_rank[source] == cluster.host_of_rank[target]:
            assert len(way) == fewest


@settings(max_examples=30)
@given(clusters())
def test_links_have_twins_and_switches_have_ports(cluster):
    links = cluster.links
    assert (links.twin[links.twin] == np.arange(len(links))).all()
    assert (links.source[links.twin] == links.target).all()
    assert (links.target[links.twin] == links.source).all()
    assert (links.bandwidth_bytes_per_s > 0).all()
    assert (links.source != links.target).all()
    leaves = np.isin(cluster.nodes.kind, [NODE_KINDS.index(k) for k in ("leaf", "spine", "core")])
    assert np.bincount(links.source, minlength=len(leaves))[leaves].max(initial=0) <= 48


@settings(max_examples=20)
@given(clusters())
def test_a_ring_visits_every_rank_once_and_fits_its_links(cluster):
    if cluster.ranks < 2:
        return
    ring = best_ring(cluster, range(cluster.ranks))
    for order in ring.orders:
        assert sorted(order.tolist()) == list(range(cluster.ranks))
    bundle, rate = cluster.router.bundle, cluster.links.bandwidth_bytes_per_s
    crossed = np.bincount(bundle, ring.load * ring.bandwidth_bytes_per_s)
    share = (crossed[bundle] / np.bincount(bundle, rate)[bundle]).max()
    assert share <= 1 + 1e-9
    # Something is full: a link, or the one path of each ring.
    narrowest = path_cost(cluster, ring.paths)[0].min()
    assert share == pytest.approx(1) or ring.bandwidth_bytes_per_s == narrowest * len(ring.orders)
    assert len(ring.paths) == ring.orders.size


def test_equal_paths_are_used_equally():
    cluster = read_cluster("h100-superpod x 64")
    one = np.repeat(cluster.device_node[:256], 16)
    found = paths(cluster, one, np.tile(cluster.device_node[256:], 16), np.arange(len(one)))
    links, kind = cluster.links, cluster.nodes.kind
    up = (kind[links.source] == NODE_KINDS.index("leaf")) & (
        kind[links.target] == NODE_KINDS.index("spine")
    )
    used = np.bincount(found.links, minlength=len(links))[up & (links.source < kind.size)]
    used = used[used > 0]
    # 4,096 messages over 8 leaves x 32 cables: 16 each on average, as dice would have it.
    assert len(used) == 256
    assert used.mean() == 16
    assert used.std() < 2 * np.sqrt(16)


def test_channels_spread_over_cables_and_the_same_channel_stays():
    cluster = read_cluster("h100-superpod x 64")
    ends = cluster.device_node[0], cluster.device_node[-8]
    ways = {tuple(paths(cluster, *ends, channel)[0].tolist()) for channel in range(64)}
    assert len(ways) > 16
    assert len({tuple(paths(cluster, *ends, 5)[0].tolist()) for _ in range(3)}) == 1


def graph(kinds, links):
    """Nodes of some kinds, and a two-way link for each (one, other, bandwidth)."""
    one, other, rate = (np.repeat(column, 2) for column in zip(*links, strict=True))
    even = np.arange(len(one)) % 2 == 0
    zeros = np.zeros(len(kinds), np.int32)
    return Nodes(
        np.array([NODE_KINDS.index(kind) for kind in kinds], np.int8), zeros, zeros
    ), Links(
        np.where(even, one, other).astype(np.int32),
        np.where(even, other, one).astype(np.int32),
        rate.astype(float),
        np.zeros(len(one)),
        np.zeros(len(one), np.int8),
        np.zeros(len(one), bool),
        np.arange(len(one), dtype=np.int32) ^ 1,
    )


def test_the_widest_of_the_shortest_paths_is_taken():
    # Two ways of two hops, 5 and 7 at their narrowest; a third of three hops is wider.
    kinds = ["device", "device", "switch", "switch", "switch", "switch"]
    links = [(0, 2, 9), (2, 1, 5), (0, 3, 7), (3, 1, 9), (0, 4, 99), (4, 5, 99), (5, 1, 99)]
    router = Router(*graph(kinds, links))
    ends = np.zeros(50, np.int32), np.ones(50, np.int32)
    found = router.paths(*ends, np.arange(50))
    assert set(found.links.tolist()) == {4, 6}


def test_the_largest_cluster_is_routed():
    cluster = read_cluster("h100-superpod x 1024")
    nodes = cluster.device_node
    found = paths(cluster, nodes, np.roll(nodes, -1))
    assert len(found) == 8192
    same_host = cluster.host_of_rank == np.roll(cluster.host_of_rank, -1)
    assert (found.hops[same_host] == 2).all()
    assert set(found.hops[~same_host]) == {8, 10}  # over spines; over cores


def test_no_path_names_both():
    cluster = read_cluster("dgx-a100 x 2", devices=8)
    lonely = build_cluster("two", "Two", T4, 1, Host(1), None)
    assert len(paths(lonely, [0], [0])[0]) == 0
    with pytest.raises(
        InputError, match="two: no path from /server/host0/GPU/0/ to /server/host0/GPU/1"
    ):
        build_cluster("two", "Two", T4, 1, Host(2), None)
    with pytest.raises(InputError, match="a ring needs two different ranks"):
        best_ring(cluster, [3, 3])
    with pytest.raises(InputError, match="no rank 8 in 'dgx-a100 x 2'; allowed: 0 to 7"):
        best_ring(cluster, [0, 8])


# Bus bandwidth in GB/s that the links allow, by hand.
@pytest.mark.parametrize(
    ("text", "ranks", "expected", "cards"),
    [
        ("dgx-1", range(8), 6 * 25, 0),  # three rings, both ways
        ("dgx-1", [0, 1], 25, 0),
        ("dgx-1", [0, 3], 50, 0),
        ("dgx-1", range(4), 4 * 25, 0),  # 0-3-1-2 and 0-1-2-3 both ways
        ("dgx-1", [0, 5], 15.754, 0),  # no NVLink between: over PCIe
        ("dgx-1 x 2", range(16), 4 * 12.5, 4),
        ("v100-pcie", range(8), 15.754, 0),
        ("dgx-a100", range(8), 300, 0),
        ("dgx-a100 x 2", range(16), 8 * 25, 8),
        ("dgx-a100 x 3", range(24), 8 * 25, 8),
        ("dgx-a100 x 2", range(0, 16, 8), 25, 1),  # a rank has one card of the two it is near to
        ("dgx-a100 x 2", [0, 1, 8, 9], 50, 2),
        ("dgx-h100", range(2), 450, 0),
        ("dgx-h100 x 4", range(32), 8 * 50, 8),
        ("dgx-b200", range(8), 900, 0),
        ("mi250-box", range(8), 6 * 50, 0),
        ("mi250-box x 2", range(16), 8 * 25, 8),
        ("mi100-box", range(4), 2 * 46, 0),
        ("a100-superpod", range(160), 8 * 25, 8),
    ],
)
def test_the_best_ring(text, ranks, expected, cards):
    ring = best_ring(read_cluster(text), ranks)
    assert ring.bandwidth_bytes_per_s == pytest.approx(expected * 1e9)
    assert ring.cards == cards


def test_the_rings_of_a_dgx_1_use_every_link_once_in_each_direction():
    cluster = read_cluster("dgx-1")
    ring = best_ring(cluster, range(8))
    nvlink = cluster.links.kind == LINK_KINDS.index("nvlink")
    load = ring.load[nvlink] * len(ring.orders)
    assert (load == cluster.links.bandwidth_bytes_per_s[nvlink] / 25e9).all()
    assert not ring.load[~nvlink].any()


def test_latencies_of_a_ring():
    cluster = make_cluster("t4", 2, 2, 100e9, 10e9, 2e-6, 5e-6)
    ring = best_ring(cluster, range(4))
    assert ring.inside_latency_s == pytest.approx(2e-6)
    assert ring.across_latency_s == pytest.approx(5e-6)
    alone = best_ring(cluster, [0, 1])
    assert (alone.across_latency_s, alone.hosts) == (None, 1)
    assert best_ring(cluster, [0, 2]).inside_latency_s is None


def test_one_device_uses_all_cards_that_are_its_own():
    cluster = make_cluster("t4", 3, 1, 100e9, 10e9, nics_per_host=4)
    ring = best_ring(cluster, range(3))
    assert (ring.cards, ring.bandwidth_bytes_per_s) == (4, 40e9)


def test_a_full_mesh_holds_three_rings_of_eight():
    links = tuple((a, b, 1) for a in range(8) for b in range(a))
    mesh = Mesh(Wire("xgmi", 50e9, 1e-7), links)
    cluster = build_cluster("full", "Full", T4, 1, Host(8, mesh=mesh), None)
    assert best_ring(cluster, range(8)).bandwidth_bytes_per_s == 6 * 50e9
    # 4 x 4 links join any two halves.
    assert cluster.bisection_bytes_per_s == 16 * 50e9


def test_a_mesh_that_holds_no_ring_still_has_one_over_others():
    star = Mesh(Wire("xgmi", 50e9, 1e-7), tuple((0, b, 1) for b in range(1, 5)))
    cluster = build_cluster("star", "Star", T4, 1, Host(5, mesh=star), None)
    ring = best_ring(cluster, range(5))
    # 1-2, 2-3 and 3-4 go over 0, and so does 4-0-1: no link twice.
    assert ring.bandwidth_bytes_per_s == 50e9


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, 50.0), (2.0, 25.0), (4.0, 12.5)])
def test_an_oversubscribed_fabric_slows_what_crosses_it(ratio, expected):
    host = Host(1, cards=Cards(Wire("ib", 50e9, 1e-6), (0,)))
    fabric = Fabric("leaf-spine", Wire("ib", 50e9, 1e-6), 8, ratio, 32)
    cluster = build_cluster("over", "Over", T4, 16, host, fabric)
    # Eight pairs, each across the spines.
    rings = [best_ring(cluster, [rank, rank + 8]) for rank in range(8)]
    assert shared_bandwidth(cluster, rings).tolist() == [expected * 1e9] * 8
    assert best_ring(cluster, range(16)).bandwidth_bytes_per_s == 50e9


def test_rings_over_three_levels_of_switches_are_not_slowed_by_chance():
    cluster = read_cluster("h100-superpod x 512")
    assert best_ring(cluster, range(4096)).bandwidth_bytes_per_s == 400e9


def test_groups_at_the_same_time_share_the_cards():
    cluster = make_cluster("t4", 2, 4, 100e9, 10e9)
    rings = [best_ring(cluster, [rank, rank + 4]) for rank in range(4)]
    assert [ring.bandwidth_bytes_per_s for ring in rings] == [10e9] * 4
    assert shared_bandwidth(cluster, rings).tolist() == [2.5e9] * 4
    # On rails of their own they do not.
    pod = read_cluster("dgx-h100 x 2")
    rails = [best_ring(pod, [rank, rank + 8]) for rank in range(8)]
    assert shared_bandwidth(pod, rails).tolist() == [50e9] * 8


def test_slow_devices_and_links():
    cluster = read_cluster("dgx-a100 x 2")
    ring = best_ring(cluster, range(16))
    cable = int(ring.paths.links[cluster.links.kind[ring.paths.links] == LINK_KINDS.index("ib")][0])
    slow = degraded(cluster, {3: 0.5}, {cable: 0.25})
    assert slow.device_factor[3] == 0.5
    assert cluster.device_factor[3] == 1
    bandwidth = cluster.links.bandwidth_bytes_per_s[cable]
    assert slow.links.bandwidth_bytes_per_s[cable] == bandwidth / 4
    assert slow.links.bandwidth_bytes_per_s[cluster.links.twin[cable]] == bandwidth
    assert slow.router is cluster.router
    again = best_ring(slow, range(16))
    assert (again.paths.links == ring.paths.links).all()
    assert again.bandwidth_bytes_per_s == pytest.approx(ring.bandwidth_bytes_per_s / 4)
    assert degraded(slow, {3: 0.5}).device_factor[3] == 0.25


@pytest.mark.parametrize(
    ("devices", "links", "words"),
    [
        ({9: 0.5}, {}, "dgx-a100: no rank 9; allowed: 0 to 7"),
        ({}, {-1: 0.5}, "no link -1; allowed: 0 to"),
        ({0: 0.0}, {}, "factor 0 of rank 0; allowed: > 0"),
        ({}, {3: -2.0}, "factor -2 of link 3; allowed: > 0"),
        ({0: float("nan")}, {}, "factor nan of rank 0"),
    ],
)
def test_factors_that_cannot_be(devices, links, words):
    with pytest.raises(InputError, match=words):
        degraded(read_cluster("dgx-a100"), devices, links)


def test_a_fabric_has_as_many_levels_as_its_hosts_need():
    """Switches of 4 ports: 2 hosts a leaf, so 16 hosts need three levels and 32 a fourth."""
    host = Host(1, switch=None, pcie=None, cards=Cards(Wire("ib", 50e9, 1e-6), (0,)))
    fabric = Fabric("leaf-spine", Wire("ib", 50e9, 1e-6), 2, 1.0, 4)
    most = {}
    for hosts in (4, 16, 32):
        cluster = build_cluster("deep", "Deep", T4, hosts, host, fabric)
        ends = np.array([0]), np.array([hosts - 1])
        way = paths(cluster, cluster.device_node[ends[0]], cluster.device_node[ends[1]], 0)[0]
        most[hosts] = len(way)
        switches = np.isin(
            cluster.nodes.kind, [NODE_KINDS.index(k) for k in ("leaf", "spine", "core")]
        )
        ports = np.bincount(cluster.links.source, minlength=len(switches))[switches]
        assert ports.max() <= 4
    assert most[32] == most[16] + 2 == most[4] + 4
