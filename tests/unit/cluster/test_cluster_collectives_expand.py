"""Collectives message by message: closed forms, sharing of links, who contributes to whom."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.cluster.collectives import (
    ALGORITHMS,
    Wires,
    closed_form,
    expand,
    find_algorithm,
    group_of,
)
from lydite.cluster.collectives.messages import two_trees
from lydite.engine import simulate
from lydite.errors import InputError
from lydite.hardware.cluster import (
    NODE_KINDS,
    best_ring,
    make_cluster,
    read_cluster,
    shared_bandwidth,
)

RATE, LATENCY = 100e9, 1e-6
FORMS = [(kind, name) for name in ALGORITHMS for kind in ALGORITHMS.find(name).kinds]
EXACT = [pair for pair in FORMS if pair[1] != "tree" and pair[0] not in ("Broadcast", "Send")]
PIECEWISE = [("AllReduce", "tree"), ("Broadcast", "tree"), ("Broadcast", "ring")]


def messages(kind, algorithm, ranks, size, inside):
    return find_algorithm(kind, algorithm).messages(kind, ranks, size, inside)


def host(ranks):
    """Devices on a switch of their own; a message takes the latency of two links."""
    return make_cluster("h100", 1, ranks, RATE, RATE, LATENCY)


def played(cluster, groups, kind, size, algorithm):
    """The timeline, and when each rank of each group ends, in seconds."""
    made = expand(cluster, groups, kind, size, algorithm)
    timeline = simulate(made.tasks, made.servers, made.network)
    return timeline, [timeline.end_ps[end] * 1e-12 for end in made.ends]


@pytest.mark.parametrize(("kind", "algorithm"), EXACT)
@pytest.mark.parametrize("ranks", [2, 4, 5, 16])
def test_alone_it_takes_what_the_closed_form_says(kind, algorithm, ranks):
    ranks = 8 if algorithm == "halving" and ranks == 5 else ranks
    wires = Wires(ranks, RATE, LATENCY, ranks, RATE, LATENCY)
    form = closed_form(kind, algorithm, wires, 64e6)
    timeline, ends = played(host(ranks), [range(ranks)], kind, 64e6, algorithm)
    steps = 2 * ranks
    assert abs(timeline.makespan_ps - form * 1e12) <= steps  # each step rounds to a picosecond
    assert ends[0].max() == pytest.approx(form)


def test_hierarchical_over_hosts_takes_what_the_closed_form_says():
    """Four devices of a host share its one card, so that each has a quarter of it."""
    cluster = make_cluster("h100", 4, 4, RATE, 40e9, LATENCY, 3e-6)
    form = closed_form("AllReduce", "hierarchical", Wires(16, 10e9, 3e-6, 4, RATE, LATENCY), 16e6)
    _, ends = played(cluster, [range(16)], "AllReduce", 16e6, "hierarchical")
    assert ends[0].max() == pytest.approx(form)


@pytest.mark.parametrize(("kind", "algorithm"), PIECEWISE)
@pytest.mark.parametrize("ranks", [4, 5, 8, 13])
def test_trees_and_chains_come_near_their_form(kind, algorithm, ranks):
    """The form leaves out that pieces wait for each other's latency and fill the tree."""
    form = closed_form(kind, algorithm, Wires(ranks, RATE, LATENCY), 64e6)
    _, ends = played(host(ranks), [range(ranks)], kind, 64e6, algorithm)
    assert 0.9 * form < ends[0].max() < 1.35 * form


@pytest.mark.parametrize("hosts", [2, 4, 5])
def test_trees_across_hosts_use_every_card(hosts):
    """2 S through all cards of a host; two hosts need half, where no rank has two children."""
    cluster = make_cluster("h100", hosts, 4, 10 * RATE, RATE, LATENCY, 3e-6, nics_per_host=4)
    timeline, _ = played(cluster, [range(4 * hosts)], "AllReduce", 1e9, "tree")
    form = (1 if hosts == 2 else 2) * 1e9 / (4 * RATE)
    assert 0.95 * form < timeline.makespan_ps * 1e-12 < 1.4 * form


def test_trees_across_hosts_keep_to_their_rail():
    """All that leaves a host goes over one leaf, as from card to card of a rail."""
    cluster = read_cluster("h100-superpod x 5")
    made = expand(cluster, [range(40)], "AllReduce", 1e6, "tree")
    kinds = {NODE_KINDS[k] for k in cluster.nodes.kind[cluster.links.target]}
    used = cluster.links.target[made.network.path_links]
    assert "spine" in kinds
    assert "leaf" in {NODE_KINDS[k] for k in cluster.nodes.kind[used]}
    assert "spine" not in {NODE_KINDS[k] for k in cluster.nodes.kind[used]}


@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 8, 16, 33])
def test_two_trees(ranks):
    """Both are trees, with two children at most, and but for a few no rank is inside both."""
    inner = []
    for parent in two_trees(ranks):
        assert (parent < 0).sum() == 1
        assert np.bincount(parent[parent >= 0], minlength=ranks).max() <= 2
        at, steps = np.arange(ranks), 0
        while (at >= 0).any():
            at = np.where(at >= 0, parent[at], -1)
            steps += 1
        assert steps <= ranks.bit_length() + 1
        inner.append(set(parent[parent >= 0].tolist()))
    assert len(inner[0] & inner[1]) <= (0 if ranks % 2 == 0 else 1)


@pytest.mark.parametrize(("kind", "algorithm"), [*EXACT, *PIECEWISE, ("Send", "direct")])
@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_no_rank_ends_before_all_have_contributed(kind, algorithm, ranks):
    """What a rank knows travels with its messages; at its end it knows of all that it must."""
    ranks = 2 if kind == "Send" else ranks
    made = find_algorithm(kind, algorithm).messages(
        kind, ranks, 4e6, ranks // 2 if algorithm == "hierarchical" else 1
    )
    count = len(made)
    needs = [made.waited[made.waits == task].tolist() for task in range(count + ranks)]
    # Whose messages arrived at the sender before this one left, itself included.
    known: dict[int, set[int]] = {}

    def knows(task):
        if task not in known:
            known[task] = {int(made.source[task])} if task < count else {task - count}
            for other in needs[task]:
                known[task] |= knows(other)
        return known[task]

    for task in range(count):
        knows(task)
    for rank in range(ranks):
        everyone = {0} if kind in ("Broadcast", "Send") else set(range(ranks))
        assert everyone <= knows(count + rank)


@pytest.mark.parametrize("algorithm", ["ring", "tree"])
@pytest.mark.parametrize("name", ["dgx-1v", "dgx-1v x 3"])
def test_all_contribute_on_every_ring_and_tree_of_a_cluster(name, algorithm):
    """As above, over the links: the first link of a path says who sends."""
    cluster = read_cluster(name)
    ranks = range(cluster.ranks)
    made = expand(cluster, [ranks], "AllReduce", 1e4, algorithm)
    first = made.network.path_links[made.network.path_start[:-1]]
    rank_of = {int(node): rank for rank, node in enumerate(cluster.device_node)}
    knows: list[set[int]] = []
    order = np.argsort(simulate(made.tasks, made.servers, made.network).end_ps, kind="stable")
    place = {int(task): at for at, task in enumerate(order)}
    for task in order:
        path = int(made.tasks.path[task])
        own = {rank_of[int(cluster.links.source[first[path]])]} if path >= 0 else set()
        knows.append(own.union(*(knows[place[int(need)]] for need in made.tasks.needs(task))))
    for rank, end in zip(ranks, made.ends[0], strict=True):
        assert knows[place[int(end)]] | {rank} == set(ranks)


@pytest.mark.parametrize(("kind", "algorithm"), EXACT)
def test_each_rank_sends_what_the_volume_says(kind, algorithm):
    """2 (n - 1) / n of the tensor in an all-reduce, half of that in its halves."""
    made = find_algorithm(kind, algorithm).messages(
        kind, 8, 800.0, 4 if algorithm == "hierarchical" else 1
    )
    sent = np.bincount(made.source, made.bytes)
    assert sent == pytest.approx((2 if kind == "AllReduce" else 1) * 700)


def test_groups_share_links_fairly():
    """Four rings across two hosts over one card each: a quarter of it for each ring."""
    cluster = make_cluster("h100", 2, 4, RATE, 20e9, 0, 0)
    groups = [[rank, rank + 4] for rank in range(4)]
    _, alone = played(cluster, groups[:1], "AllReduce", 1e8, "ring")
    _, together = played(cluster, groups, "AllReduce", 1e8, "ring")
    assert alone[0].max() == pytest.approx(1e8 / 20e9)
    assert [end.max() for end in together] == pytest.approx([4e8 / 20e9] * 4)


def test_a_small_group_leaves_its_share_to_a_large_one():
    """Half the card each for 0.1 s; then the larger has all of it for what is left."""
    cluster = make_cluster("h100", 2, 2, RATE, 20e9, 0, 0)
    made = expand(cluster, [[0, 2], [1, 3]], "AllReduce", 1e9, "ring")
    nbytes = np.where(np.isin(made.tasks.path, made.tasks.path[:2]), 3e9, 1e9)
    made.tasks.bytes[: len(nbytes)] = np.where(made.tasks.bytes > 0, nbytes, 0)
    timeline = simulate(made.tasks, made.servers, made.network)
    first, second = (timeline.end_ps[end].max() * 1e-12 for end in made.ends)
    # Two steps each: 1 GB at 10 GB/s, twice; the other's 6 GB had 2 by then, 4 are left.
    assert (first, second) == pytest.approx((0.4, 0.2))


@pytest.mark.parametrize("name", ["dgx-1v", "dgx-a100 x 2", "mi250-box"])
def test_rings_of_real_clusters_reach_their_bandwidth(name):
    """Without latency, all rings together pass on what `best_ring` says."""
    cluster = read_cluster(name)
    cluster.links.latency_s[:] = 0
    ranks = range(cluster.ranks)
    _, ends = played(cluster, [ranks], "AllReduce", 1e9, "ring")
    rate = shared_bandwidth(cluster, [best_ring(cluster, ranks)])[0]
    volume = 2 * (cluster.ranks - 1) / cluster.ranks * 1e9
    assert ends[0].max() == pytest.approx(volume / rate, rel=1e-6)


def test_all_reduces_on_a_mesh_end_for_the_ranks_that_were_asked_for():
    cluster = read_cluster("dgx-1v")
    made = expand(cluster, [[3, 1, 0], [5], [7, 4]], "AllReduce", 1e6, "ring")
    assert [len(end) for end in made.ends] == [3, 1, 2]
    timeline = simulate(made.tasks, made.servers, made.network)
    assert timeline.end_ps[made.ends[1]].max() == 0
    last = np.concatenate([made.ends[0], made.ends[2]])
    assert (timeline.end_ps[last] > 0).all()
    assert group_of(cluster, [[5]]).seconds("AllReduce", 1e6) == 0


@pytest.mark.parametrize(
    ("groups", "kind", "size", "algorithm", "message"),
    [
        ([], "AllReduce", 1, "ring", "no groups to expand"),
        ([range(4)], "AllReduce", 1, "rings", "unknown algorithm of AllReduce 'rings'"),
        ([range(4)], "AllReduce", -1, "ring", "-1 bytes"),
        ([range(3)], "AllReduce", 1, "halving", "halving of 3 ranks"),
        ([range(3)], "AllReduce", 1, "hierarchical", "hosts hold 2, 1 ranks of a group"),
        ([[0, 0]], "AllReduce", 1, "ring", "two different ranks"),
    ],
)
def test_what_is_refused(groups, kind, size, algorithm, message):
    cluster = make_cluster("h100", 2, 2, RATE, RATE)
    with pytest.raises(InputError, match=message):
        expand(cluster, groups, kind, size, algorithm)
