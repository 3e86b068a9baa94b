"""Virtual time against a plain event loop, closed forms and queueing theory."""

from dataclasses import replace

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.mlperf.batching import Batching
from lydite.mlperf.evidence import Limits, of_record
from lydite.mlperf.play import VirtualSystem, play, play_tokens, serve
from lydite.mlperf.round import find_round
from lydite.mlperf.schedule import Plan
from lydite.mlperf.service import drawn, of_sizes
from lydite.mlperf.tokens import stated
from lydite.mlperf.verdict import judge

SEEDS = find_round().seeds_of()


def plain(arrivals, batching, times_of):
    """The same rule played second by second: `Batching.ready`, asked at every event."""
    done = {}
    free = [0] * batching.workers
    waiting, coming = [], list(enumerate(arrivals))
    used = {}
    events = sorted({int(a) for a in arrivals})
    while coming or waiting:
        now = events.pop(0)
        while coming and coming[0][1] <= now:
            waiting.append(coming.pop(0))
        flushed = not coming
        while waiting:
            worker = min(range(len(free)), key=lambda w: free[w])
            count = batching.ready(len(waiting), int(waiting[0][1]), now, flushed)
            if free[worker] > now or not count:
                break
            turn = used.setdefault(count, 0)
            used[count] += 1
            end = now + int(times_of[count][turn % len(times_of[count])])
            for sample, _ in waiting[:count]:
                done[sample] = end
            del waiting[:count]
            free[worker] = end
            events.append(end)
        if waiting:
            events.append(batching.wake_ns(int(waiting[0][1])))
        events = sorted(
            {e for e in events if e > now} | ({min(free)} if min(free) > now else set())
        )
    return np.array([done[i] for i in range(len(arrivals))])


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("delay_ns", [0, 500, 5000])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_kernel_plays_the_rule_of_batching(batch, delay_ns, workers):
    draw = np.random.default_rng(batch * 100 + workers)
    arrivals = np.cumsum(draw.integers(1, 2000, 300)).astype(np.int64)
    service = of_sizes({n: draw.integers(500, 4000, 7) for n in range(1, batch + 1)}, batch, "x")
    times, starts = service.table()
    batching = Batching(batch, delay_ns, workers)
    found = serve(arrivals, np.zeros(workers, np.int64), times, starts, batch, delay_ns)
    by_size = {n: service.times_ns[n - 1] for n in range(1, batch + 1)}
    assert found.tolist() == plain(arrivals, batching, by_size).tolist()


def test_one_worker_with_constant_times_waits_as_theory_says():
    """Pollaczek and Khinchine: an M/D/1 queue at 60 % waits rho / (2 (1 - rho)) services."""
    plan = Plan("Server", SEEDS, 600.0, 600_000, 1)
    record = play(plan, VirtualSystem(Batching(), drawn({1: 1e-3}, 0.0, 1, 0)))
    waited = record.latencies_ns.mean() * 1e-6 - 1.0
    assert waited == pytest.approx(0.6 / (2 * 0.4), rel=0.02)


def test_offline_takes_as_long_as_its_batches():
    plan = Plan("Offline", SEEDS, 100.0, 1000, 1, 64, 64, min_samples=1)
    record = play(plan, VirtualSystem(Batching(4, 0, 2), drawn({1: 1e-3, 4: 3e-3}, 0.0, 4, 0)))
    assert record.samples == 110
    assert record.duration_ns == 14 * 3_000_000  # 28 batches on two workers, the last of two
    # the last batch holds two samples and is shorter
    assert of_record(record, Limits(1, 1, 0.99)).metric[1] == pytest.approx(110 / 42e-3)


def test_streams_end_with_the_first_query_after_the_time():
    plan = Plan("SingleStream", SEEDS, 2000.0, 100, 10, 64, 64)
    record = play(plan, VirtualSystem(Batching(), drawn({1: 1e-3}, 0.0, 1, 0)))
    assert record.queries == 101
    assert record.issued_ns[-1] == 100_000_000
    assert judge(of_record(record, Limits(100, 10, 0.9))).word == "VALID"


def test_a_slower_hint_than_the_system_runs_out_of_queries():
    plan = Plan("SingleStream", SEEDS, 100.0, 1000, 10, 64, 64)
    record = play(plan, VirtualSystem(Batching(), drawn({1: 1e-3}, 0.0, 1, 0)))
    verdict = judge(of_record(record, Limits(1000, 10, 0.9)))
    assert verdict.word == "INVALID"
    assert "ran out" in verdict.headline()


@pytest.mark.parametrize("faster", [0.5, 0.9])
def test_a_faster_system_is_never_later(faster):
    plan = Plan("Server", SEEDS, 900.0, 5_000, 1)
    slow = play(plan, VirtualSystem(Batching(), drawn({1: 1e-3}, 0.2, 1, 0)))
    fast = play(plan, VirtualSystem(Batching(), drawn({1: faster * 1e-3}, 0.2, 1, 0)))
    assert np.all(fast.done_ns <= slow.done_ns)


def test_tokens_wait_for_a_place():
    plan = Plan("Server", SEEDS, 10.0, 20_000, 1)
    record = play_tokens(plan, 64, stated(50_000_000, 10_000_000, 101))
    assert record.tokens is not None
    assert record.tokens.first_ns.min() == 50_000_000
    limits = Limits(20_000, 1, 0.99, ttft_ns=2_000_000_000, tpot_ns=200_000_000)
    rules = judge(of_record(record, limits)).rules
    assert {"early stopping, time to first token", "early stopping, time per output token"} <= {
        rule.name for rule in rules
    }


def test_a_batch_without_a_time_is_refused():
    with pytest.raises(InputError, match="batch of 8"):
        of_sizes({1: [5], 4: [9]}, 8, "stated")
    assert of_sizes({1: [5], 4: [11]}, 4, "stated").between == (2, 3)


def test_a_replay_of_server_issues_as_late_as_the_run_did():
    plan = Plan("Server", SEEDS, 100.0, 1_000, 50)
    service = of_sizes({1: [1_000_000]}, 1, "recorded")
    plain_run = play(plan, VirtualSystem(Batching(workers=64), service))
    late = np.zeros(plain_run.queries, np.int64)
    late[::7] = 400_000
    issued = 10**12 + plain_run.scheduled_ns + late  # a clock of its own
    replayed = play(plan, VirtualSystem(Batching(workers=64), replace(service, issued_ns=issued)))
    assert (replayed.latencies_ns - plain_run.latencies_ns == late).all()
    other = replace(service, issued_ns=issued[:-1])  # another run's
    again = play(plan, VirtualSystem(Batching(workers=64), other))
    assert (again.done_ns == plain_run.done_ns).all()
