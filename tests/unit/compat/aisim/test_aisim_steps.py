"""AISim's steps by hand: streams, launches, overlap, exchanges, coverage."""

from __future__ import annotations

import pytest

from lydite.compat.aisim import Curve, Exchange, Execution, GraphNode, Timed, coverage_of, play_step
from lydite.compat.aisim.exchange import read_nccl_log, read_nccl_logs
from lydite.compat.aisim.nodes import in_order, kind_of
from lydite.errors import InputError, UnitError

US = 1e-6
ALONE = Execution(launch_s=0, compute_slowdown=1, exchange_slowdown=1)


def played(nodes, seconds_us, execution=ALONE):
    seconds = {name: None if t is None else t * US for name, t in seconds_us.items()}
    return play_step(nodes, seconds, execution)


def ends(step):
    """Microseconds at which each node ended, by name."""
    timeline = step.timeline
    return {
        name: timeline.end_ps[at] / 1e6
        for at, name in enumerate(timeline.tasks.names)
        if not name.startswith("launch ")
    }


FORK = [
    GraphNode("a", "A"),
    GraphNode("b", "B", ("a",)),
    GraphNode("c", "C", ("a",)),
    GraphNode("d", "D", ("b", "c")),
]


def test_one_stream_runs_what_is_ready_in_turn():
    step = played(FORK, {"a": 10, "b": 20, "c": 30, "d": 5})
    assert ends(step) == {"a": 10, "b": 30, "c": 60, "d": 65}
    assert step.seconds == pytest.approx(65 * US)
    assert step.unknown == ()


@pytest.mark.parametrize(("each_us", "expected"), [(1, 4 * 4 + 1), (10, 4 + 4 * 10)])
def test_short_nodes_wait_for_their_launch_and_long_ones_hide_it(each_us, expected):
    execution = Execution(launch_s=4 * US, compute_slowdown=1, exchange_slowdown=1)
    step = played(FORK, dict.fromkeys("abcd", each_us), execution)
    assert step.seconds == pytest.approx(expected * US)


def test_a_node_that_runs_nothing_is_not_launched():
    execution = Execution(launch_s=4 * US, compute_slowdown=1, exchange_slowdown=1)
    step = played(FORK, {"a": 0, "b": 1, "c": 0, "d": 1}, execution)
    assert step.seconds == pytest.approx((4 + 4 + 1) * US)
    assert step.unknown == ()


def test_what_is_unknown_is_named():
    step = played(FORK, {"a": 10, "b": None, "c": 30, "d": 5})
    assert step.unknown == ("b",)
    assert step.seconds == pytest.approx(45 * US)


BACKWARD = [
    GraphNode("b0", "Backward"),
    GraphNode("b1", "Backward", ("b0",)),
    GraphNode("ddp_Allreduce_0", "ddp_Allreduce", ("b0",), "allreduce"),
    GraphNode("ddp_Allreduce_1", "ddp_Allreduce", ("b1",), "allreduce"),
    GraphNode("optimizer_step", "optimizer_step", ("b1",)),
]
BACKWARD_US = {
    "b0": 10,
    "b1": 10,
    "ddp_Allreduce_0": 15,
    "ddp_Allreduce_1": 5,
    "optimizer_step": 2,
}


def test_a_bucket_is_exchanged_behind_the_backward_pass():
    """Exchange 0 from 10 to 25 beside b1 (10 to 20), exchange 1 after it, the optimiser last."""
    step = played(BACKWARD, BACKWARD_US)
    assert ends(step) == {
        "b0": 10,
        "b1": 20,
        "ddp_Allreduce_0": 25,
        "ddp_Allreduce_1": 30,
        "optimizer_step": 32,
    }
    assert step.exchange_s == pytest.approx(20 * US)
    assert step.exposed_s == pytest.approx(10 * US)
    assert step.compute_s == pytest.approx(22 * US)


def test_both_go_slower_while_they_overlap():
    """b1 at half its speed ends at 30; by then 20 / 4 us of exchange 0 are done, 10 are left."""
    slow = Execution(launch_s=0, compute_slowdown=2, exchange_slowdown=4)
    found = ends(played(BACKWARD, BACKWARD_US, slow))
    assert found == pytest.approx(
        {
            "b0": 10,
            "b1": 30,
            "ddp_Allreduce_0": 40,
            "ddp_Allreduce_1": 45,
            "optimizer_step": 47,
        }
    )


def test_playing_twice_gives_the_same():
    slow = Execution(compute_slowdown=1.3, exchange_slowdown=2.2)
    one, other = (played(BACKWARD, BACKWARD_US, slow) for _ in range(2))
    assert one.seconds == other.seconds


def test_devices_of_a_graph_have_streams_of_their_own():
    nodes = [GraphNode(n, "A", device=d) for n, d in (("a", "/GPU:0"), ("b", "/GPU:1"), ("c", ""))]
    assert ends(played(nodes, {"a": 10, "b": 20, "c": 5})) == {"a": 10, "b": 20, "c": 15}


def test_an_optimiser_that_feeds_an_exchange():
    nodes = [GraphNode("o", "optimizer_step"), GraphNode("r", "ddp_Allreduce", ("o",), "allreduce")]
    with pytest.raises(InputError, match="wait for each other"):
        played(nodes, {"o": 1, "r": 1})


@pytest.mark.parametrize(
    "wrong", [{"launch_s": -1.0}, {"compute_slowdown": 0.9}, {"exchange_slowdown": float("nan")}]
)
def test_impossible_assumptions(wrong):
    with pytest.raises(UnitError):
        Execution(**wrong)


def test_order_keeps_the_files_where_it_can():
    nodes = [
        GraphNode("c", "A", ("a",)),
        GraphNode("b", "A"),
        GraphNode("a", "A", ("b",)),
        GraphNode("d", "A"),
    ]
    assert [node.name for node in in_order(nodes)] == ["b", "a", "c", "d"]


def test_kinds():
    types = ("ddp_Allreduce", "ddp_Allreduce_3", "HorovodAllreduce", "Send", "_Recv", "_HostRecv")
    assert [kind_of(op) for op in types] == [
        "allreduce",
        "allreduce",
        "allreduce",
        "send",
        "recv",
        "compute",
    ]


def test_coverage_of_96_nodes_of_21_types():
    """The manual's alexnet: 6 of 96 nodes miss, of 4 of 21 types; exchanges do not count."""
    missing = ["Conv2D"] * 2 + ["Mul"] + ["Conv2DBackpropInput"] + ["Conv2DBackpropFilter"] * 2
    covered = [f"Type{at % 17}" for at in range(89)] + ["Mul"]
    nodes = [GraphNode(f"n{at}", op) for at, op in enumerate(missing + covered)]
    times = {n.name: Timed(US, "measured") for n in nodes[6:]}
    times |= {n.name: Timed(None, "unknown") for n in nodes[:3]}
    times |= {n.name: Timed(10 * US, "median of its type") for n in nodes[3:6]}
    moved = [GraphNode("s", "Send", kind="send"), GraphNode("r", "Allreduce", kind="allreduce")]
    found = coverage_of("alexnet", nodes + moved, times)
    assert (found.covered_nodes, found.nodes) == (90, 96)
    assert (found.covered_types, found.types) == (17, 21)
    assert round(100 * found.node_share, 1) == 93.8
    assert round(100 * found.type_share, 1) == 81.0
    assert found.uncovered == {
        "Conv2D": 2,
        "Conv2DBackpropFilter": 2,
        "Mul": 1,
        "Conv2DBackpropInput": 1,
    }
    assert found.time_share == pytest.approx(90 / 120)
    assert found.unknown_nodes == 3


LOG = """\
# nThread 1 nGpus 2 minBytes 8 maxBytes 1000
#  Rank  0 Group  0 Pid  17 on  host device  0 [0x00] made up
#  Rank  1 Group  0 Pid  17 on  host device  1 [0x01] made up
#       size         count      type   redop    root     time   algbw   busbw #wrong     time ...
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)
         100            25     float     sum      -1    12.00    0.01    0.01      0    10.00    0.01    0.01      0
         300            75     float     sum      -1    22.00    0.01    0.01      0    30.00    0.01    0.01    N/A
# Avg bus bandwidth    : 0.01
"""  # noqa: E501


def test_a_log_of_nccl_tests(tmp_path):
    path = tmp_path / "all_reduce_2.log"
    path.write_text(LOG)
    ranks, curve = read_nccl_log(path)
    assert ranks == 2
    # In place; halfway between; below the smallest; twice the largest.
    given = [curve.at(size) for size in (100, 200, 300, 8, 600)]
    assert given == pytest.approx([10e-6, 20e-6, 30e-6, 10e-6, 60e-6])
    seconds, source = Exchange({2: curve}).allreduce(2, [200.0, None], {})
    assert seconds == [pytest.approx(20e-6), None]
    assert source == "nccl-tests log"


def test_logs_by_count(tmp_path):
    (tmp_path / "a.log").write_text(LOG)
    without_ranks = "\n".join(line for line in LOG.splitlines() if "Rank" not in line)
    (tmp_path / "gpus_16.txt").write_text(without_ranks.replace("  -1  ", "  "))
    assert sorted(read_nccl_logs(tmp_path)) == [2, 16]
    (tmp_path / "b.log").write_text(LOG)
    with pytest.raises(InputError, match=r"b.log: is a second log of 2 GPUs"):
        read_nccl_logs(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.log", LOG.replace("30.00", "slow"), "x.log, line 7: is not a row"),
        ("x.log", LOG.replace("30.00", "0.00"), "x.log, line 7: is not a row"),
        ("x.log", "# nothing\n", "no rows of nccl-tests"),
        ("x.log", "8 2 float sum -1 1 2 3 0 1 2 3 0\n", "lists no ranks"),
        (".hidden", LOG, "holds no log"),
    ],
)
def test_logs_that_are_none(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_nccl_logs(tmp_path)


def test_exchange_sources(tmp_path):
    rows = {100.0: 1e-3, 300.0: 3e-3}
    assert Exchange().allreduce(4, [200.0], rows) == ([pytest.approx(2e-3)], "database")
    assert Exchange().allreduce(4, [200.0], {}) == ([None], "unknown")
    assert Exchange().allreduce(1, [200.0], {}) == ([0.0], "closed form")
    assert Exchange({4: Curve.of({8: 1.0})}).allreduce(4, [1.0], rows)[1] == "nccl-tests log"
    assert Exchange().send(2, 8.0) is None
