"""The queue on a real server: whatever dies in mid-job, every row is there exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from farm_process import ROWS, VERSIONS, rows_of

from lydite.errors import BackendError, InputError, StoreError
from lydite.farm import (
    Changed,
    DeviceTaken,
    Job,
    Overtaken,
    Queue,
    Stop,
    drain,
    enqueue,
    progress,
    work,
    worker_rows,
)
from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Database

HERE = Path(__file__).parent
JOBS = 20


def relu(size: int) -> str:
    data = TensorType("float32", (1, size))
    return OpKey("Relu", (Operand(data),), (data,)).text


@pytest.fixture
def database(target) -> Iterator[Database]:
    with Database.open(target) as database:
        database.add_device("chip", {"cores": 2})
        yield database


@pytest.fixture
def jobs(database) -> list[Job]:
    run = database.start_run("profile", {})
    made = [Job(run, "chip", "fake", {"fake": "1"}, relu(size), {"n": 1}) for size in range(JOBS)]
    assert enqueue(database, made) == JOBS
    return made


def queue_of(database: Database, host: str = "a", **changes) -> Queue:
    about = {"devices": ["chip"], "backend": "fake", "versions": VERSIONS, "lease_s": 5.0}
    return Queue(database, host=host, **(about | changes))


@contextmanager
def a_worker(
    target: str, host: str, *, lease_s: float = 1.0, job_s: float = 0.1, off: str = "0"
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HERE / "farm_process.py"), target, host, "chip"]
    process = subprocess.Popen(
        [*command, str(lease_s), str(job_s), off],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        kill_host(process)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def heard(process: subprocess.Popen[str], word: str) -> str:
    """The next line of a process that begins with a word."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise AssertionError(f"the process ended without saying {word!r}")


def until(condition: Callable[[], bool], seconds: float = 25.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(database: Database) -> bool:
    now = progress(database)
    return now.ended == now.total


def check_exactly_once(database: Database) -> None:
    rows = list(database.query())
    assert Counter(row.key for row in rows) == Counter(
        {OpKey.parse(relu(size)): ROWS for size in range(JOBS)}
    )
    tries: dict[OpKey, set[tuple[str, int]]] = {}
    for row in rows:
        tries.setdefault(row.key, set()).add((row.environment["host"], row.environment["attempt"]))
    assert all(len(each) == 1 for each in tries.values())
    assert database.coverage() == database.coverage(recount=True)
    assert progress(database).by_status == {"queued": 0, "running": 0, "done": JOBS, "failed": 0}


def kill_worker(process: subprocess.Popen[str]) -> None:
    process.kill()


def kill_host(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def cut_connections(target: str) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN "
            "(SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        )


@pytest.mark.parametrize("what", ["worker", "host", "connection"])
def test_killed_in_mid_job(target, database, jobs, what):
    killed = Counter()
    for number in range(3):
        with a_worker(target, "a", job_s=0.3) as process:
            heard(process, "start")
            start = heard(process, "start").split()  # the first is done, this one is in progress
            if what == "connection":
                cut_connections(target)
                heard(process, "lost")
            else:
                (kill_worker if what == "worker" else kill_host)(process)
                process.wait()
            killed[start[1]] += 1
            assert progress(database).by_status["done"] >= number + 1
    with a_worker(target, "a"), a_worker(target, "b"):
        until(lambda: ended(database))
    check_exactly_once(database)
    with psycopg.connect(target) as connection:
        attempts = dict(connection.execute("SELECT key, attempt FROM jobs").fetchall())
    assert all(attempts[key] > 1 for key in killed)


def test_a_worker_that_was_overtaken_writes_nothing(target, database, jobs):
    with a_worker(target, "slow", lease_s=0.5, job_s=0.5) as slow:
        _, key, attempt = heard(slow, "start").split()
        os.kill(slow.pid, signal.SIGSTOP)
        with a_worker(target, "quick", job_s=0.02):
            until(lambda: ended(database))
            os.kill(slow.pid, signal.SIGCONT)
            heard(slow, f"job {key[:8]} was begun again")
    check_exactly_once(database)
    assert attempt == "1"
    assert {row.environment["host"] for row in database.query()} == {"quick"}


def test_one_worker_a_device(database, jobs):
    with queue_of(database) as first:
        before = time.monotonic()
        with pytest.raises(DeviceTaken, match=r"chip of a is taken.*farm drain a"):
            queue_of(database)
        assert time.monotonic() - before < 5
        with queue_of(database, "b") as other:
            taken = [queue.take() for queue in (first, other) for _ in range(3)]
            assert len({job.key for job in taken if job}) == 6
    queue_of(database).close()


def test_two_processes_for_one_device(target, database, jobs):
    with a_worker(target, "a") as one, a_worker(target, "a") as two:
        until(lambda: ended(database))
        for process in (one, two):
            kill_host(process)
        told = [process.stdout.read().count("start") for process in (one, two)]
    assert sorted(told) == [0, JOBS]
    check_exactly_once(database)


def test_the_fence(database, jobs):
    with queue_of(database, lease_s=0.0) as slow, queue_of(database, "b") as quick:
        first = slow.take()
        second = quick.take()
        while second.key != first.key:  # new jobs come before those that were tried
            second = quick.take()
        assert (first.attempt, second.attempt) == (1, 2)
        with pytest.raises(Overtaken):
            slow.renew(first)
        for end in (
            lambda: slow.complete(first, rows_of(first, "a")),
            lambda: slow.fail(first, "no"),
            lambda: slow.give_back(first, "no"),
        ):
            with pytest.raises(Overtaken):
                end()
        assert database.stats()["measurements"] == 0
        assert quick.complete(second, rows_of(second, "b")) == ROWS
        with pytest.raises(Overtaken):
            quick.complete(second, rows_of(second, "b"))
        assert database.stats()["measurements"] == ROWS


def test_rows_that_cannot_be_stored_leave_the_job_open(database, jobs):
    with queue_of(database) as queue:
        job = queue.take()
        rows = rows_of(replace(job, run="nowhere"), "a")
        with pytest.raises(StoreError, match="run it does not have"):
            queue.complete(job, rows)
        assert progress(database).by_status["done"] == 0
        assert queue.complete(job, rows_of(job, "a")) == ROWS


def test_no_doubles(database, jobs):
    assert enqueue(database, jobs) == 0
    assert enqueue(database, [*jobs, replace(jobs[0], conditions={"n": 2})]) == 1
    assert progress(database).total == JOBS + 1


def test_a_clock_that_is_off_by_hours(target, database, jobs):
    with a_worker(target, "a", off="7"), a_worker(target, "b", off="-7"):
        until(lambda: ended(database))
    check_exactly_once(database)
    with psycopg.connect(target) as connection:
        attempts = connection.execute("SELECT DISTINCT attempt FROM jobs").fetchall()
        assert attempts == [(1,)]
    assert all(row.seen_s < 60 for row in worker_rows(database))


def test_other_versions_are_refused(database, jobs):
    newer = [replace(job, versions={"fake": "2"}) for job in jobs]
    enqueue(database, newer)
    said: list[str] = []
    with queue_of(database) as queue:
        done = work(
            queue,
            lambda job: rows_of(job, "a"),
            stop=Stop(),
            say=said.append,
            idle_s=0,
            poll_s=0.01,
        )
    assert done == JOBS
    assert said == [f'refuses jobs of run {jobs[0].run[:8]}: they are for {{"fake":"2"}}']
    (note,) = progress(database).notes
    assert note == (
        'a refuses it: it is for fake with {"fake":"2"}, and there is {"fake":"1","python":"3"}'
    )
    with queue_of(database, versions={"fake": "2"}) as queue:
        assert queue.take() is not None


def test_software_that_changes_in_mid_job(database, jobs):
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 4:
            raise Changed("driver was 550 and is 560")

    with queue_of(database) as queue, pytest.raises(Changed, match="550 and is 560"):
        work(queue, lambda job: rows_of(job, "a"), stop=Stop(), check=check)
    now = progress(database)
    assert (now.by_status["done"], now.by_status["queued"]) == (1, JOBS - 1)
    assert now.notes == {"a gave it back: driver was 550 and is 560": 1}
    assert database.stats()["measurements"] == ROWS


def test_what_cannot_be_measured_fails_by_name(database, jobs):
    def measure(job: Job):
        if job.operator == relu(3):
            raise BackendError("no such kernel")
        return rows_of(job, "a")

    with queue_of(database) as queue:
        assert work(queue, measure, stop=Stop(), idle_s=0, poll_s=0.01) == JOBS - 1
    assert progress(database).failed == [(relu(3), "no such kernel")]


def test_a_job_that_ends_its_workers_is_given_up(database, jobs):
    with database.own_connection() as connection, connection.begin():
        connection.exec_driver_sql(
            "UPDATE jobs SET status = 'running', attempt = 10, worker = 'a', "
            "lease_until = now() - interval '1 s' WHERE number = 0"
        )
    with queue_of(database) as queue:
        assert queue.take().operator == relu(1)
    reason = "given up: 10 workers ended while they measured it, at last a"
    assert progress(database).failed == [(relu(0), reason)]


def test_sigterm_finishes_the_current_operator(target, database, jobs):
    with a_worker(target, "a", job_s=0.5) as process:
        heard(process, "start")
        process.terminate()
        assert heard(process, "done").split() == ["done", "1"]
    now = progress(database)
    assert (now.by_status["done"], now.by_status["queued"]) == (1, JOBS - 1)


def test_drain(target, database, jobs):
    with a_worker(target, "far", job_s=0.3) as process:
        heard(process, "start")
        assert [row.draining for row in drain(database, "far")] == [True]
        heard(process, "done")
    assert progress(database).by_status["queued"] > 0
    with pytest.raises(InputError, match="unknown host 'near'; allowed: far"):
        drain(database, "near")


def test_a_farm_needs_a_server(tmp_path, jobs):
    with Database.open(tmp_path / "local.db") as local:
        for action in (
            lambda: enqueue(local, jobs),
            lambda: worker_rows(local),
            lambda: queue_of(local),
        ):
            with pytest.raises(StoreError, match=r"needs a database on a PostgreSQL.*docker run"):
                action()
