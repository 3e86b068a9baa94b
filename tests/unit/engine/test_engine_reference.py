"""The compiled engine and a plain one agree, event for event, on random systems."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_engine import Reference

from lydite.engine import Interference, NetworkBuilder, Servers, TaskBuilder, simulate

DURATIONS = st.sampled_from([0, 0, 1, 2, 3, 5, 7, 10, 1000, 12345])
CATEGORIES = 3


@st.composite
def systems(draw, flows, fifo, slow):
    count = draw(st.integers(1, 4))
    servers = Servers.of(
        count,
        slots=draw(st.lists(st.integers(1, 3), min_size=count, max_size=count)),
        by_priority=draw(st.lists(st.booleans(), min_size=count, max_size=count)),
        group=draw(st.lists(st.integers(-1, 1), min_size=count, max_size=count)) if slow else -1,
    )
    network = NetworkBuilder()
    paths = []
    if flows:
        rates = st.sampled_from([1e9, 2e9, 3e9, 1e10, 7.3e9])
        links = [
            network.link(draw(rates), draw(st.sampled_from([0, 0, 5, 100])), fifo=fifo)
            for _ in range(draw(st.integers(1, 5)))
        ]
        for _ in range(draw(st.integers(1, 6))):
            hops = draw(st.lists(st.sampled_from(links), min_size=1, max_size=4, unique=True))
            cap = np.inf if fifo else draw(st.sampled_from([np.inf, np.inf, 5e8, 1e9]))
            paths.append(network.path(hops, cap=cap))
    table = None
    if slow:
        rate = st.sampled_from([1.0, 0.5, 1 / 1.3, 1 / 2.2, 1.25])
        size = 2 * CATEGORIES**2
        values = draw(st.lists(rate, min_size=size, max_size=size))
        table = Interference.of(np.reshape(values, (2, CATEGORIES, CATEGORIES)), 2)
    tasks = TaskBuilder()
    for number in range(draw(st.integers(1, 25))):
        after = draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else []
        options = {
            "priority": draw(st.integers(-1, 2)),
            "category": draw(st.integers(0, CATEGORIES - 1)),
            "release_ps": draw(st.sampled_from([0, 0, 0, 4, 1000])),
        }
        server = draw(st.integers(-1, count - 1))
        if paths and draw(st.booleans()):
            amount = draw(st.sampled_from([0.0, 1.0, 3.5, 10.0, 1000.0]))
            wait = draw(st.sampled_from([0, 0, 3]))
            path = draw(st.sampled_from(paths))
            tasks.flow(path, amount, after, resource=server, overhead_ps=wait, **options)
        else:
            tasks.work(server, draw(DURATIONS), after, **options)
    return tasks.build(), servers, network.build() if flows else None, table


def agree(system):
    made = simulate(*system)
    start, end = Reference(*system).run()
    assert made.start_ps.tolist() == start
    assert made.end_ps.tolist() == end


@given(systems(flows=False, fifo=False, slow=False))
def test_queueing(system):
    agree(system)


@st.composite
def busy_servers(draw):
    """Hundreds of tasks on servers of one slot, some with many successors, some with joins."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, size = draw(st.integers(1, 9)), 150
    longest, most_needs = draw(st.sampled_from([2, 10, 10**6])), draw(st.sampled_from([1, 3, 7]))
    joins = draw(st.sampled_from([0.0, 0.0, 0.1, 0.6]))
    tasks = TaskBuilder()
    for number in range(size):
        after = rng.integers(0, number, rng.integers(0, most_needs + 1)) if number else []
        server = -1 if rng.random() < joins else int(rng.integers(count))
        release = int(rng.integers(1000)) if rng.random() < 0.1 else 0
        tasks.work(server, int(rng.integers(longest)), after, release_ps=release)
    return tasks.build(), Servers.of(count), None, None


@settings(max_examples=50)
@given(busy_servers())
def test_busy_servers(system):
    agree(system)


@given(systems(flows=True, fifo=False, slow=False))
def test_fair_links(system):
    agree(system)


@given(systems(flows=True, fifo=True, slow=False))
def test_fifo_links(system):
    agree(system)


@given(systems(flows=False, fifo=False, slow=True))
def test_interference(system):
    agree(system)


@settings(max_examples=200)
@given(systems(flows=True, fifo=False, slow=True))
def test_everything(system):
    agree(system)


@given(systems(flows=False, fifo=False, slow=False))
def test_both_kernels_agree(system):
    tasks, servers, *_ = system
    neutral = Interference.of(np.ones((CATEGORIES, CATEGORIES)), 1)
    fast, general = simulate(tasks, servers), simulate(tasks, servers, None, neutral)
    assert fast.start_ps.tolist() == general.start_ps.tolist()
    assert fast.end_ps.tolist() == general.end_ps.tolist()
