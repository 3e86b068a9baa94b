"""Programs that ranks repeat: the same times as of all their tasks one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lydite.engine import Repeated, Servers, Tasks, simulate, simulate_ranks


@st.composite
def programs(draw):
    """Some programs of random tasks, each repeated by as many ranks, that wait for each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, wide, streams = (draw(st.integers(1, most)) for most in (3, 5, 3))
    sizes = rng.integers(1, 13, count)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    program = np.repeat(np.arange(count), wide)
    # A kind leads from each program to another, and there from each rank to one of its own.
    targets = np.array([rng.permutation(count) for _ in range(4)])
    neighbours = np.array(
        [
            np.concatenate([wide * to[source] + rng.permutation(wide) for source in range(count)])
            for to in targets
        ],
        np.int32,
    )
    edges = []
    for source, kind in rng.integers(0, [starts[-1], 4], (draw(st.integers(0, 40)), 2)):
        of = np.searchsorted(starts, source, "right") - 1
        to = targets[kind, of]
        place = source - starts[of] + 1 + rng.integers(0, 4)
        if place < sizes[to]:
            edges.append((source, kind, starts[to] + place))
    edges = np.array(sorted(edges), np.int32).reshape(-1, 3)
    rows = starts[-1]
    return Repeated(
        starts,
        program,
        streams,
        rng.choice([0, 1, 1, 2, 10**6], rows),
        rng.integers(0, streams, rows).astype(np.int32),
        rng.integers(0, 3, rows).astype(np.int16),
        np.bincount(edges[:, 2], minlength=rows).astype(np.int16),
        np.searchsorted(edges[:, 0], np.arange(rows + 1)).astype(np.int32),
        np.ascontiguousarray(edges[:, 1]),
        np.ascontiguousarray(edges[:, 2]),
        neighbours,
        rng.choice([1.0, 1.0, 1 / 0.7], program.size),
        (0,),
    )


def one_by_one(tasks: Repeated) -> Tasks:
    ranks = range(tasks.program.size)
    needs = [[] for _ in range(len(tasks))]
    for rank in ranks:
        first = tasks.starts[tasks.program[rank]]
        for row in range(tasks.rows(rank).start, tasks.rows(rank).stop):
            for edge in range(tasks.begins[row], tasks.begins[row + 1]):
                to = tasks.neighbours[tasks.whom[edge], rank]
                place = tasks.target[edge] - tasks.starts[tasks.program[to]]
                needs[tasks.base[to] + place].append(tasks.base[rank] + row - first)
    return Tasks.of(
        tasks.duration_ps,
        tasks.resource,
        dep_start=np.concatenate(([0], np.cumsum([len(each) for each in needs]))),
        deps=[task for each in needs for task in each],
        category=tasks.category,
    )


@given(programs())
def test_as_one_by_one(tasks):
    servers, apart = Servers.of(tasks.program.size * tasks.streams), one_by_one(tasks)
    made, reference = simulate_ranks(tasks, servers), simulate(apart, servers)
    assert made.start_ps.tolist() == reference.start_ps.tolist()
    assert made.end_ps.tolist() == reference.end_ps.tolist()
    assert made.makespan_ps == reference.makespan_ps
    assert made.critical_path().tolist() == reference.critical_path().tolist()
    for task in range(len(tasks)):
        assert sorted(tasks.needs(task).tolist()) == sorted(apart.needs(task).tolist())
