"""Answers that can be worked out by hand, and another simulator's."""

import numpy as np
import pytest
import simpy

from lydite.engine import (
    Interference,
    LinkNetwork,
    NetworkBuilder,
    Servers,
    TaskBuilder,
    Tasks,
    max_min_rates,
    simulate,
)

S = 10**12
NO_SERVERS = Servers.of(0)


def ends(tasks, servers=NO_SERVERS, network=None, interference=None):
    return simulate(tasks.build(), servers, network, interference).end_ps.tolist()


def test_two_senders_through_a_switch():
    # Links of 10 and 2 units/s into a switch, 6 out of it: 4 and 2, so 30 units take 30/4 and 15 s.
    network, tasks = NetworkBuilder(), TaskBuilder()
    fast, slow, out = network.link(10), network.link(2), network.link(6)
    tasks.flow(network.path([fast, out]), 30)
    tasks.flow(network.path([slow, out]), 30)
    assert ends(tasks, network=network.build()) == [30 * S // 4, 15 * S]


def test_a_flow_takes_latency_and_bytes_over_the_narrowest_link():
    network, tasks = NetworkBuilder(), TaskBuilder()
    links = [network.link(1e9, 300), network.link(25e9, 500), network.link(2e9, 200)]
    tasks.flow(network.path(links), 1e6, overhead_ps=50)
    assert ends(tasks, network=network.build()) == [50 + 1000 + S // 1000]


def test_a_cap_leaves_the_rest_to_the_others():
    network = NetworkBuilder()
    link = network.link(10.0)
    network.path([link], cap=2.0), network.path([link])
    assert max_min_rates(network.build(), np.array([1, 2])).tolist() == [2.0, 4.0]


def test_a_flow_that_comes_later_shares_from_then_on():
    network, tasks = NetworkBuilder(), TaskBuilder()
    path = network.path([network.link(10.0)])
    tasks.flow(path, 20)  # alone 1 s, then half the rate for the other 10 bytes
    tasks.flow(path, 20, release_ps=1 * S)
    assert ends(tasks, network=network.build()) == [3 * S, 4 * S]


def test_fifo_links_forward_whole_messages():
    network, tasks = NetworkBuilder(), TaskBuilder()
    path = network.path([network.link(10.0, 7, fifo=True), network.link(5.0, 9, fifo=True)])
    tasks.flow(path, 10)  # 1 s + 7 ps + 2 s + 9 ps
    tasks.flow(path, 10)  # waits 1 s, then for the second link, which is free at 3 s + 7 ps
    assert ends(tasks, network=network.build()) == [3 * S + 16, 5 * S + 16]


@pytest.mark.parametrize("gpus", [2, 3, 8])
def test_ring_all_reduce(gpus):
    bandwidth, latency, total = 25e9, 700_000, 64e6
    network, tasks = NetworkBuilder(), TaskBuilder()
    paths = [network.path([network.link(bandwidth, latency)]) for _ in range(gpus)]
    before = [[] for _ in range(gpus)]
    for _ in range(2 * (gpus - 1)):
        sent = [tasks.flow(paths[g], total / gpus, before[g]) for g in range(gpus)]
        before = [[tasks.join([sent[g - 1]])] for g in range(gpus)]
    steps = 2 * (gpus - 1)
    alpha_beta = steps * (latency * 1e-12 + total / gpus / bandwidth)
    assert max(ends(tasks, network=network.build())) == pytest.approx(alpha_beta * S, abs=steps)


def test_flows_slow_work_beside_them_while_they_last():
    network, tasks = NetworkBuilder(), TaskBuilder()
    path = network.path([network.link(1.0)])
    tasks.work(0, 10 * S, category=0)
    tasks.flow(path, 2, resource=1, category=1)
    slow = Interference.of([[1.0, 0.5], [1.0, 1.0]], 1)
    # 2 s at half speed do 1 s of work; the other 9 s go at full speed.
    assert ends(tasks, Servers.of(2, group=0), network.build(), slow) == [11 * S, 2 * S]


def test_work_in_another_group_slows_nothing():
    tasks = TaskBuilder()
    tasks.work(0, 10, category=0)
    tasks.work(1, 10, category=0)
    slow = Interference.of([[0.5]], 2)
    assert ends(tasks, Servers.of(2, group=[0, 1]), interference=slow) == [10, 10]
    assert ends(tasks, Servers.of(2, group=[0, 0]), interference=slow) == [20, 20]


def test_priority_goes_first_but_does_not_preempt():
    tasks = TaskBuilder()
    for priority in (5, 5, 1, 3):
        tasks.work(0, 10, priority=priority, release_ps=0 if priority == 5 else 1)
    assert ends(tasks, Servers.of(1, by_priority=True)) == [10, 40, 20, 30]
    assert ends(tasks, Servers.of(1)) == [10, 20, 30, 40]


@pytest.mark.parametrize("slow", [None, Interference.of([[1.0]], 1)])
def test_what_becomes_ready_together_is_queued_by_number(slow):
    tasks = TaskBuilder()
    first, second = tasks.work(0, 10), tasks.work(1, 10)
    for server, before in ((2, [first, second]), (3, [second, first])):
        for task in before:
            tasks.work(server, 1, [task])
    assert ends(tasks, Servers.of(4), interference=slow) == [10, 10, 11, 12, 11, 12]


@pytest.mark.parametrize(("slots", "by_priority"), [(1, False), (3, False), (2, True)])
def test_simpy_agrees_on_a_queue(slots, by_priority):
    rng = np.random.default_rng(1)
    arrive = np.cumsum(rng.exponential(1000, 500).astype(int) + 1)
    service = rng.exponential(900 * slots, 500).astype(int) + 1
    urgency = rng.integers(0, 3, 500)
    found = np.zeros(500, int)
    env = simpy.Environment()
    pool = simpy.PriorityResource(env, slots) if by_priority else simpy.Resource(env, slots)

    def customer(number):
        yield env.timeout(int(arrive[number]))
        wish = {"priority": int(urgency[number])} if by_priority else {}
        with pool.request(**wish) as turn:
            yield turn
            yield env.timeout(int(service[number]))
        found[number] = env.now

    for number in range(500):
        env.process(customer(number))
    env.run()
    tasks = Tasks.of(service, 0, release_ps=arrive, priority=urgency)
    made = simulate(tasks, Servers.of(1, slots=slots, by_priority=by_priority))
    assert made.end_ps.tolist() == found.tolist()


def test_rates_are_max_min_fair():
    # Each flow has a full link on which nothing is faster: Bertsekas and Gallager, 6.5.2.
    rng = np.random.default_rng(2)
    for _ in range(50):
        hops = [np.sort(rng.permutation(12)[: rng.integers(1, 5)]) for _ in range(20)]
        starts = np.cumsum([0, *map(len, hops)])
        capacity = rng.uniform(1, 10, 12)
        flows = rng.integers(0, 4, 20)
        rates = max_min_rates(LinkNetwork.of(capacity, starts, np.concatenate(hops)), flows)
        load, fastest = np.zeros(12), np.zeros(12)
        for path, links in enumerate(hops):
            if flows[path]:
                load[links] += rates[path] * flows[path]
                fastest[links] = np.maximum(fastest[links], rates[path])
        assert (load <= capacity * (1 + 1e-12)).all()
        full = load >= capacity * (1 - 1e-12)
        for path, links in enumerate(hops):
            assert (
                not flows[path]
                or (full[links] & (rates[path] >= fastest[links] * (1 - 1e-12))).any()
            )


def test_each_of_a_chain_of_servers_has_one_task():
    count = 50
    durations = np.arange(1, count + 1)
    chain = Tasks.of(
        durations,
        np.arange(count),
        dep_start=np.concatenate([[0], np.arange(count)]),
        deps=np.arange(count - 1),
    )
    made = simulate(chain, Servers.of(count))
    assert made.end_ps.tolist() == np.cumsum(durations).tolist()
