"""Collectives as messages over links: closed forms where nothing is shared, contention where it is.

What is shared is worked out by hand.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.cluster import Plan, simulate_step
from lydite.cluster.assembled import folded, unfolded
from lydite.cluster.collectives import traffic
from lydite.cluster.collectives.expand import expand
from lydite.cluster.constants import ASSUMED
from lydite.cluster.program import Program
from lydite.cluster.wiring import wiring_of
from lydite.engine import simulate as play
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import degraded, make_cluster, read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

DENSE = Decoder(layers=4, hidden=256, heads=8, feed_forward=1024, vocabulary=32000, positions=256)
SPARSE = Decoder(
    layers=2,
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
MS = 10**9
_HOW = ("network", "unfolded", "constants")


def step(size: Decoder, cluster=None, **plan: object):
    chosen = {name: value for name, value in plan.items() if name not in _HOW}
    made = Plan(**chosen)
    net = decoder(
        size, batch=made.micro_batch, sequence=128 // made.cp, phase="forward", dtype="bfloat16"
    )
    cluster = cluster or read_cluster("dgx-a100 x 2", made.ranks)
    how = {name: plan[name] for name in _HOW if name in plan}
    return simulate_step(net, cluster, made, Roofline(), **how)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    ("size", "plan"),
    [
        (DENSE, {"tp": 8, "batch": 4}),
        (DENSE, {"dp": 16, "batch": 16}),
        (DENSE, {"dp": 8, "batch": 16, "zero": 2}),
        (DENSE, {"pp": 4, "batch": 8}),
        (DENSE, {"pp": 4, "dp": 2, "batch": 16, "schedule": "zero-bubble"}),
        (DENSE, {"tp": 2, "pp": 2, "dp": 4, "batch": 32, "micro_batch": 2}),
        (SPARSE, {"dp": 8, "tp": 2, "ep": 4, "batch": 16, "overlap": False}),
        (DENSE, {"cp": 4, "batch": 4, "overlap": False}),
    ],
)
def test_without_shared_links_both_take_the_same_to_the_picosecond(size, plan, every):
    closed, links = (step(size, **plan, network=n, unfolded=every) for n in ("closed", "links"))
    assert links.timeline.makespan_ps == closed.timeline.makespan_ps
    assert links.breakdown_s == closed.breakdown_s
    assert (links.network, closed.network) == ("links", "closed")
    assert links.folded == closed.folded == (not every and links.played.ranks < links.plan.ranks)
    assert links.timeline.link_bytes().sum() > 0


@settings(max_examples=25)
@given(
    st.sampled_from([(2, 1), (4, 1), (1, 2), (2, 2), (1, 4)]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["dgx-a100 x 2", "dgx-1v x 2", "dgx-h100 x 2", "v100-pcie x 4"]),
    st.integers(0, 3),
    st.booleans(),
)
def test_messages_over_links_never_take_less(degrees, dp, name, zero, overlap):
    tp, pp = degrees
    plan = {"tp": tp, "pp": pp, "dp": dp, "batch": 8 * dp, "zero": zero, "overlap": overlap}
    cluster = read_cluster(name, tp * pp * dp)
    closed, links = (step(DENSE, cluster, **plan, network=n) for n in ("closed", "links"))
    assert links.timeline.makespan_ps >= closed.timeline.makespan_ps


def test_a_slow_device_makes_every_rank_play():
    cluster = degraded(read_cluster("dgx-a100", 8), {3: 0.5})
    plan = {"dp": 4, "tp": 2, "batch": 8}
    closed, links = (step(DENSE, cluster, **plan, network=n) for n in ("closed", "links"))
    assert links.played.ranks == 8
    assert not links.folded
    assert links.timeline.makespan_ps >= closed.timeline.makespan_ps


def sending(*calls: tuple[str, str, str, str]) -> Program:
    """Collectives of 1 ms on their links, all at once, each on its own stream."""
    program = Program()
    for stream, *route in calls:
        group, kind, algorithm = route
        program.add(stream, 3 * MS, [], "data", "", 1 * MS, (group, kind, algorithm))
    return program


@pytest.mark.parametrize("every", [False, True])
def test_two_groups_over_one_shared_link_take_twice_the_time(every):
    """Two hosts of two devices and one card: tensor groups of ranks 0 and 1 stay inside, those of
    the data and of the experts both need the card's link out of the host."""
    cluster, plan = make_cluster("h100", 2, 2, 100e9, 10e9), Plan(tp=2, dp=2)

    def ends(*calls: tuple[str, str, str, str]) -> list[int]:
        programs = [sending(*calls)]
        wiring = wiring_of(cluster, plan, programs, folded=not every)
        played = unfolded(programs, plan, None, wiring) if every else folded(programs, wiring)
        return play(played.tasks, played.servers, played.network).end_ps.tolist()

    out, inside = ("dp", "AllReduce", "ring"), ("tp", "AllReduce", "ring")
    ranks = 4 if every else 1
    assert ends(("data", *out)) == [3 * MS] * ranks
    assert ends(("tensor", *inside)) == [3 * MS] * ranks
    # 2 ms of latency, then 1 ms that becomes 2 ms where the link is shared half and half
    assert ends(("data", *out), ("tensor", *out)) == pytest.approx([4 * MS] * 2 * ranks, abs=1)


def test_stages_that_send_at_once_share_the_card_of_their_host():
    """Hosts of two ranks with one card; each stage has two hosts, as its gradients do."""
    cluster, plan = make_cluster("h100", 4, 2, 100e9, 10e9), Plan(dp=4, pp=2)
    calls = [sending(("onward", "onward", "Send", "direct"), ("data", "dp", "AllReduce", "ring"))]
    programs = [*calls, sending(("data", "dp", "AllReduce", "ring"))]
    wiring = wiring_of(cluster, plan, programs, folded=True)
    played = folded(programs, wiring)
    end = play(played.tasks, played.servers, played.network).end_ps
    # Two messages and one ring leave a host by its card: each message gets a third of it until the
    # messages, which take half of it when alone, have needed 1.5 ms; by then half of the ring's
    # bytes are sent, and the rest goes at the whole rate.
    assert end[0] == pytest.approx(3.5 * MS, rel=1e-6)
    assert end[1] == pytest.approx(4 * MS, rel=1e-6)


@pytest.mark.parametrize("kind", ["AllReduce", "AllGather", "ReduceScatter"])
def test_a_rings_traffic_is_that_of_its_messages(kind):
    cluster = read_cluster("dgx-a100 x 2")
    ranks = np.arange(16)
    source, target, lane, share = traffic(cluster, ranks, kind, "ring")
    nodes = cluster.device_node
    made = expand(cluster, [ranks], kind, 1e6, "ring")
    sent = np.bincount(
        made.tasks.path[made.tasks.path >= 0], made.tasks.bytes[made.tasks.path >= 0]
    )
    assert share.sum() * 1e6 == pytest.approx(sent.sum())
    assert len(
        {
            (int(nodes[s]), int(nodes[t]), int(c))
            for s, t, c in zip(source, target, lane, strict=True)
        }
    ) == len(sent)
    assert np.allclose(share * 1e6, sent)


def test_what_links_cannot_show_is_refused():
    with pytest.raises(InputError, match=r"network 'message'"):
        step(DENSE, tp=2, network="message")
    cluster = read_cluster("dgx-a100", 2)
    one_at_a_time = replace(cluster.links, fifo=np.ones(len(cluster.links), bool))
    with pytest.raises(InputError, match="one message at a time"):
        step(DENSE, replace(cluster, links=one_at_a_time), tp=2, network="links")
    slowed = replace(ASSUMED, exchange_slowdown=1.5)
    with pytest.raises(InputError, match=r"exchange_slowdown 1.5"):
        step(DENSE, tp=2, network="links", constants=slowed)
