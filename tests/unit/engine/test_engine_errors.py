import subprocess
import sys

import numpy as np
import pytest

from lydite.cli import options
from lydite.engine import (
    LIMIT_PS,
    Interference,
    LinkNetwork,
    NetworkBuilder,
    Servers,
    TaskBuilder,
    Tasks,
    compiled,
    max_min_rates,
    simulate,
)
from lydite.errors import InputError

ONE = Servers.of(1)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Tasks.of([5, -5]), "task 1: duration_ps out of range"),
        (lambda: Tasks.of([1.5]), "duration_ps: not a column"),
        (lambda: Tasks.of([1], release_ps=LIMIT_PS + 1), "task 0: release_ps out of range"),
        (lambda: Tasks.of([1], resource=-2), "task 0: negative resource"),
        (lambda: Tasks.of([1], resource=2**40), "resource: does not fit int32"),
        (lambda: Tasks.of([1, 2], [0]), "resource: has 1 entries; allowed: 2"),
        (lambda: Tasks.of([1], bytes=3.0), "task 0: has bytes but no path"),
        (lambda: Tasks.of([1], path=0, bytes=np.nan), "task 0: invalid bytes"),
        (lambda: Tasks.of([1, 1], dep_start=[0, 0, 1], deps=[1]), "task 1: depends on itself"),
        (lambda: Tasks.of([1], dep_start=[0, 1], deps=[7]), "task 0: depends on task 7"),
        (lambda: Tasks.of([1], dep_start=[0, 2], deps=[0]), "dep_start: is not a list of offsets"),
        (lambda: Tasks.of([1], category=-1), "task 0: negative category"),
        (lambda: Tasks.of([1], names=["a", "b"]), "names: has 2 entries"),
        (lambda: Servers.of(2, slots=[1, 0]), "server 1: no slots"),
        (lambda: LinkNetwork.of([0.0], [0], []), "link 0: bandwidth; allowed: finite, above 0"),
        (lambda: LinkNetwork.of([-1.0, 0.0], [0], []), r"link 0: bandwidth \(and 1 more\)"),
        (lambda: LinkNetwork.of([1.0], [0], [], latency_ps=-1), "link 0: latency out of range"),
        (lambda: LinkNetwork.of([1.0], [0, 1], [3]), "path 0: unknown link"),
        (lambda: LinkNetwork.of([1.0], [0, 2], [0, 0]), "path 0: uses a link twice"),
        (lambda: LinkNetwork.of([1.0], [0, 0], []), "path 0: has no links"),
        (lambda: LinkNetwork.of([1.0, 1.0], [0, 2], [0, 1], fifo=[True, False]), "path 0: mixes"),
        (lambda: LinkNetwork.of([1.0], [0, 1], [0], path_cap=0.0), "path 0: invalid rate cap"),
        (lambda: Interference.of([[0.0]], 1), "rates: rate out of range"),
        (lambda: Interference.of([1.0], 1), "rates: not a table"),
        (lambda: simulate(Tasks.of([1], 1), ONE), "task 0: unknown resource; allowed: below 1"),
        (lambda: simulate(Tasks.of([1], path=0), ONE), "task 0: unknown path; allowed: below 0"),
        (
            lambda: simulate(Tasks.of([1], category=1), ONE, None, Interference.of([[1.0]], 1)),
            "task 0: unknown category",
        ),
        (lambda: simulate(Tasks.of([LIMIT_PS, 1], 0), ONE), "task 1: ends too late"),
    ],
)
def test_bad_input_is_refused(made, message):
    with pytest.raises(InputError, match=message):
        made()


@pytest.mark.parametrize("fifo", [True, False])
def test_a_flow_that_never_ends_is_refused(fifo):
    network, tasks = NetworkBuilder(), TaskBuilder()
    tasks.flow(network.path([network.link(1e-9, fifo=fifo)]), 1e9, name="slow")
    with pytest.raises(InputError, match=r"task 0 \('slow'\): ends too late"):
        simulate(tasks.build(), ONE, network.build())


@pytest.mark.parametrize("slow", [None, Interference.of([[1.0]], 1)])
def test_a_circle_is_named(slow):
    tasks = TaskBuilder()
    tasks.work(0, 1, name="fine")
    tasks.work(0, 1, [2], name="a")
    tasks.work(0, 1, [3, 0], name="b")
    tasks.work(0, 1, [1], name="c")
    tasks.work(0, 1, [3], name="behind")
    with pytest.raises(InputError) as caught:
        simulate(tasks.build(), ONE, None, slow)
    assert str(caught.value) == (
        "4 tasks cannot begin: tasks wait for each other: task 1 ('a') for task 2 ('b'), "
        "task 2 ('b') for task 3 ('c'), task 3 ('c') for task 1 ('a'); "
        "allowed: dependencies without a cycle"
    )


def test_rates_are_for_fair_links():
    network = NetworkBuilder()
    network.path([network.link(1.0, fifo=True)])
    with pytest.raises(InputError, match="path 0: flows over FIFO links"):
        max_min_rates(network.build(), np.array([1]))


def test_who_asked_for_quiet_is_not_told_of_compiling(monkeypatch):
    said = []
    for quiet, lines in ((False, 1), (True, 1)):
        monkeypatch.setattr(compiled, "_announced", set())
        options._hushed(quiet)
        compiled.load("tables", said.append)
        compiled.announce("lydite.engine.kernels.tables")
        assert len(said) == lines


def test_importing_the_engine_does_not_load_numba():
    code = "import lydite.engine, sys; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
