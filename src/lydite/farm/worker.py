"""A worker's loop: take a job, measure it while the lease is renewed, end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lydite.errors import LyditeError, StoreError
from lydite.farm.jobs import Job
from lydite.farm.queue import ConnectionLost, Overtaken, Queue
from lydite.store import Measurement

POLL_S = 1.0
_TRIES = 3


class Changed(LyditeError):
    """The device, its driver or the software is no longer what the worker offered."""


class Stop:
    """A wish to stop after the current job; set by a signal or by `lydite farm drain`."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Ask to stop."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until it is set."""
        self._event.wait(seconds)


def work(
    queue: Queue,
    measure: Callable[[Job], Sequence[Measurement]],
    *,
    stop: Stop,
    interrupt: Callable[[], None] = lambda: None,
    check: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
    idle_s: float | None = None,
    poll_s: float = POLL_S,
) -> int:
    """Take and measure jobs until asked to stop.

    Args:
        queue: Connection of the worker.
        measure: Measures a job; its failure is that of the job.
        stop: Set when the worker is to end after its job.
        interrupt: Ends the current measurement early, from another thread.
        check: Raises `Changed` if the device or the software is not what was offered.
        say: Tells people something.
        idle_s: Seconds without a job after which the worker ends; None for no limit.
        poll_s: Seconds between two looks at an empty queue.

    Returns:
        Number of jobs that were done.

    Raises:
        ConnectionLost: the server closed the connection; the current job is begun again elsewhere.
        Changed: by `check`; the current job is given back.
    """
    done, since = 0, time.monotonic()
    while not stop:
        for run, versions in sorted(set(queue.refuse())):
            say(f"refuses jobs of run {run[:8]}: they are for {versions}")
        job = queue.take()
        if job is None:
            if queue.renew(None) or (idle_s is not None and time.monotonic() - since > idle_s):
                break
            stop.wait(poll_s)
            continue
        try:
            done += _one(queue, job, measure, stop, interrupt, check)
        except Overtaken as error:
            say(str(error))
        since = time.monotonic()
    return done


def _one(
    queue: Queue,
    job: Job,
    measure: Callable[[Job], Sequence[Measurement]],
    stop: Stop,
    interrupt: Callable[[], None],
    check: Callable[[], None],
) -> bool:
    try:
        check()
        with _renewed(queue, job, stop, interrupt):
            rows = measure(job)
        check()
    except Changed as error:
        queue.give_back(job, f"{queue.host} gave it back: {error}")
        raise
    except (Overtaken, ConnectionLost):
        raise
    except LyditeError as error:
        queue.fail(job, str(error))
        return False
    except BaseException:
        queue.give_back(job, f"{queue.host} was stopped")
        raise
    _keep(queue, job, rows)
    return True


def _keep(queue: Queue, job: Job, rows: Sequence[Measurement]) -> None:
    """Complete a job; tries again where others write for longer than the database waits."""
    for _ in range(_TRIES):
        try:
            queue.complete(job, rows)
            return
        except ConnectionLost:
            raise
        except StoreError:
            queue.renew(job)
    queue.complete(job, rows)


@contextmanager
def _renewed(queue: Queue, job: Job, stop: Stop, interrupt: Callable[[], None]) -> Iterator[None]:
    """Renew the lease while the block runs; what goes wrong with it is raised at its end."""
    ended, lost = threading.Event(), list[LyditeError]()

    def renew() -> None:
        while not ended.wait(queue.lease_s / 4):
            try:
                if queue.renew(job):
                    stop.set()
            except (Overtaken, ConnectionLost) as error:
                lost.append(error)
                interrupt()
                return
            except StoreError:
                continue  # the server is busy; the lease outlives several tries

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if lost:
        raise lost[0]
