"""What holds for every schedule, on graphs large enough to be crowded."""

from itertools import pairwise

import numpy as np
import pytest

from lydite.engine import Interference, NetworkBuilder, Servers, TaskBuilder, Tasks, simulate

SERVERS, SLOTS = 6, np.array([1, 1, 2, 3, 1, 1])


def crowd(seed, scale=1.0, flows=True):
    """300 tasks on 6 servers of 2 devices, half of them flows over 8 links."""
    rng = np.random.default_rng(seed)
    network, tasks = NetworkBuilder(), TaskBuilder()
    links = [network.link(float(scale * rng.integers(1, 9)) * 1e9, 100) for _ in range(8)]
    paths = [network.path(rng.permutation(links)[: rng.integers(1, 4)]) for _ in range(12)]
    for number in range(300):
        near = np.arange(max(0, number - 40), number)
        after = rng.choice(near, min(2, near.size), replace=False) if number else []
        if flows and rng.random() < 0.5:
            server = int(rng.integers(-1, SERVERS))
            path = paths[int(rng.integers(len(paths)))]
            tasks.flow(path, float(rng.integers(1, 9000)), after, resource=server, category=1)
        else:
            server, span = int(rng.integers(0, SERVERS)), int(rng.integers(0, 2_000_000))
            tasks.work(server, span, after, priority=int(rng.integers(3)), category=number % 2)
    servers = Servers.of(
        SERVERS, slots=SLOTS, by_priority=[False, True] * 3, group=[0, 0, 0, 1, 1, 1]
    )
    slow = Interference.of([[1.0, 1 / 1.3], [1 / 2.2, 1.0]], 2)
    return tasks.build(), servers, network.build(), slow


@pytest.fixture(params=range(5))
def timeline(request):
    return simulate(*crowd(request.param))


def test_dependencies_end_before(timeline):
    for task in range(len(timeline.tasks)):
        needs = timeline.tasks.needs(task)
        assert (timeline.end_ps[needs] <= timeline.start_ps[task]).all()


def test_no_server_runs_more_than_its_slots(timeline):
    for server in range(SERVERS):
        here = (timeline.tasks.resource == server) & (timeline.span_ps > 0)
        moments = np.concatenate([timeline.end_ps[here], timeline.start_ps[here]])
        step = np.repeat([-1, 1], here.sum())
        running = np.cumsum(step[np.lexsort((step, moments))])
        assert running.max() <= SLOTS[server]
        assert running.max() == SLOTS[server]  # and it is crowded


def test_no_link_carries_more_than_it_can(timeline):
    assert (timeline.link_utilisation() <= 1 + 1e-9).all()
    sent = timeline.tasks.bytes[timeline.tasks.path >= 0]
    hops = np.diff(timeline.network.path_start)[timeline.tasks.path[timeline.tasks.path >= 0]]
    assert timeline.link_bytes().sum() == pytest.approx((sent * hops).sum())


def test_nothing_is_faster_than_alone(timeline):
    tasks, network = timeline.tasks, timeline.network
    narrowest = np.minimum.reduceat(network.bandwidth[network.path_links], network.path_start[:-1])
    flow = tasks.path >= 0
    alone = tasks.duration_ps.astype(float)
    alone[flow] += tasks.bytes[flow] / narrowest[tasks.path[flow]] * 1e12
    assert (timeline.span_ps >= np.floor(alone)).all()


def test_the_critical_path_explains_the_makespan(timeline):
    path = timeline.critical_path()
    assert timeline.end_ps[path[-1]] == timeline.makespan_ps
    assert timeline.start_ps[path[0]] == 0
    assert (timeline.end_ps[path[:-1]] == timeline.start_ps[path[1:]]).all()
    for before, task in pairwise(path):
        same = timeline.tasks.resource[before] == timeline.tasks.resource[task] >= 0
        assert same or before in timeline.tasks.needs(task)


def test_the_same_again_is_the_same_to_the_bit(timeline):
    again = simulate(timeline.tasks, timeline.servers, timeline.network, crowd(0)[3])
    assert again.start_ps.tobytes() == timeline.start_ps.tobytes()
    assert again.end_ps.tobytes() == timeline.end_ps.tobytes()


def test_twice_the_bandwidth_halves_flows_that_start_together():
    # With dependencies or queues more bandwidth can be slower (Graham 1969); without, it cannot.
    spans = []
    for scale in (1.0, 2.0):
        network = NetworkBuilder()
        links = [network.link(scale * (i + 1) * 1e9) for i in range(5)]
        paths = [network.path([links[i], links[(i + 2) % 5]]) for i in range(5)]
        tasks = Tasks.of(np.zeros(40, int), path=np.resize(paths, 40), bytes=np.arange(1, 41) * 1e6)
        spans.append(simulate(tasks, Servers.of(0), network.build()).end_ps)
    assert (np.abs(spans[0] - 2 * spans[1]) <= 40).all()


def test_chains_need_at_least_their_sum_and_work_at_least_its_share():
    tasks, servers, *_ = crowd(3, flows=False)
    made = simulate(tasks, servers)
    longest = np.zeros(len(tasks), np.int64)
    for task in range(len(tasks)):
        longest[task] = tasks.duration_ps[task] + longest[tasks.needs(task)].max(initial=0)
    assert made.makespan_ps >= longest.max()
    assert made.makespan_ps >= (made.busy_ps() / SLOTS).max()
    assert made.busy_ps().sum() == tasks.duration_ps.sum()
