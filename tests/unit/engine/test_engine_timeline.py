import numpy as np
import pytest

from lydite.engine import NetworkBuilder, Servers, TaskBuilder, Tasks, simulate

COMPUTE, COMMUNICATE = 0, 1


@pytest.fixture
def overlap():
    """Computation in [0, 10) and [25, 30), communication in [5, 25) and, elsewhere, [0, 4)."""
    tasks = TaskBuilder()
    first = tasks.work(0, 10, category=COMPUTE)
    sent = tasks.work(1, 20, category=COMMUNICATE, release_ps=5)
    tasks.work(0, 5, [first, sent], category=COMPUTE)
    tasks.work(2, 4, category=COMMUNICATE)
    return simulate(tasks.build(), Servers.of(3, slots=[1, 1, 2], names=["a", "b", "c"]))


def test_sums(overlap):
    assert overlap.makespan_ps == 30
    assert overlap.busy_ps().tolist() == [15, 20, 4]
    assert overlap.utilisation().tolist() == [15 / 30, 20 / 30, 4 / 60]
    assert overlap.busy_by_category_ps().tolist() == [15, 24]


def test_exposed_time(overlap):
    assert overlap.covered_ps(COMMUNICATE) == 24
    assert overlap.covered_ps([COMPUTE, COMMUNICATE]) == 30
    assert overlap.exposed_ps(COMMUNICATE, COMPUTE) == 15
    assert overlap.exposed_ps(COMMUNICATE, COMPUTE, resources=[1, 2]) == 24
    assert overlap.exposed_ps(COMPUTE, COMMUNICATE) == 6


def test_exposed_time_is_counted_instant_by_instant():
    rng = np.random.default_rng(0)
    tasks = Tasks.of(
        rng.integers(0, 9, 60),
        rng.integers(0, 9, 60),
        category=rng.integers(0, 3, 60),
        release_ps=rng.integers(0, 150, 60),
    )
    made = simulate(tasks, Servers.of(9))
    running = np.zeros((3, made.makespan_ps), bool)
    for category, start, end in zip(tasks.category, made.start_ps, made.end_ps, strict=True):
        running[category, start:end] = True
    assert made.exposed_ps(0, [1, 2]) == (running[0] & ~running[1] & ~running[2]).sum()
    assert made.covered_ps([0, 2]) == (running[0] | running[2]).sum()


def test_critical_path_goes_through_the_server(overlap):
    assert overlap.critical_path().tolist() == [1, 2]
    tasks = TaskBuilder()
    long = tasks.work(0, 10)
    waiting = tasks.work(0, 3)
    tasks.work(1, 5)
    after = tasks.work(1, 2, [waiting])
    made = simulate(tasks.build(), Servers.of(2))
    assert made.critical_path().tolist() == [long, waiting, after]


def test_link_use():
    network, tasks = NetworkBuilder(), TaskBuilder()
    near, far = network.link(10.0), network.link(20.0)
    tasks.flow(network.path([near, far]), 30)
    tasks.flow(network.path([far]), 10)
    made = simulate(tasks.build(), Servers.of(0), network.build())
    assert made.link_bytes().tolist() == [30, 40]
    assert made.link_utilisation() == pytest.approx([1.0, 40 / 60])


def test_columns_are_of_one_length(overlap):
    columns = overlap.columns()
    assert {len(values) for values in columns.values()} == {4}
    assert columns["end_ps"].tolist() == [10, 25, 30, 4]


def test_nothing_to_do_takes_no_time():
    made = simulate(TaskBuilder().build(), Servers.of(1))
    assert made.makespan_ps == 0
    assert made.critical_path().size == 0
    assert np.isnan(made.utilisation()).all()
