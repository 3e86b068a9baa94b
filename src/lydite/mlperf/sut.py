"""The system under test inside the child process: engines, workers and their batches.

Nothing raised here may reach LoadGen, where it would end the process: every query is completed,
the first cause is kept, and all that follows is completed at once.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from lydite.mlperf.batching import Batching


class Engine(Protocol):
    """Runs batches of samples."""

    def run(self, indices: Sequence[int]) -> np.ndarray | None:
        """Outputs by sample, along the first axis of one contiguous array; None where nothing is to
        be said.
        """
        ...


Complete = Callable[[Sequence[int], np.ndarray | None], None]
"""Tells LoadGen that the queries of these ids are done, with their outputs."""


class SystemUnderTest:
    """Gathers queries, runs them in batches, and completes each of them.

    Args:
        engines: One engine for each worker.
        batching: How samples are gathered.
        complete: Called when a batch is done.
        inline: Whether batches run in the thread that issues them. SingleStream, MultiStream and
            Offline wait for it in any case, and a thread less saves two switches a query.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        batching: Batching,
        complete: Complete,
        *,
        inline: bool,
    ) -> None:
        self._engines, self._batching, self._complete = engines, batching, complete
        self._inline = inline and len(engines) == 1
        self.failure = ""
        self.completed = 0
        self.slowest_ns = 0
        self.batches = array("q")  # three a batch: a run makes millions, and tuples take much
        self.issued: list[int] = []
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._flushed = self._ended = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=(engine,), daemon=True)
            for engine in ([] if self._inline else engines)
        ]
        for thread in self._threads:
            thread.start()

    def issue(self, queries: Sequence[Any]) -> None:
        """LoadGen's callback: queries with `id` and `index`."""
        try:
            if self._inline:
                self._run_all(queries)
                return
            now = time.perf_counter_ns()
            with self._changed:
                self._waiting.extend((query.id, query.index, now) for query in queries)
                self.issued.append(now)
                self._changed.notify_all()
        except BaseException as error:  # LoadGen dies of any exception
            self._fail(error, [query.id for query in queries])

    def flush(self) -> None:
        """LoadGen's callback: no more queries will come."""
        if not self._inline:
            with self._changed:
                self._flushed = True
                self._changed.notify_all()

    def close(self) -> None:
        """End the workers."""
        with self._changed:
            self._ended = self._flushed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _run_all(self, queries: Sequence[Any]) -> None:
        """Run the samples of one query here, in batches."""
        most, engine = self._batching.batch, self._engines[0]
        for first in range(0, len(queries), most):
            part = queries if len(queries) <= most else queries[first : first + most]
            self._run(engine, [query.id for query in part], [query.index for query in part])

    def _run(
        self, engine: Engine, ids: Sequence[int], indices: Sequence[int], ready_ns: int = 0
    ) -> int:
        """Run a batch; when it was done.

        `ready_ns` is when it could have begun, 0 for at once.
        """
        if self.failure:
            self._complete(ids, None)
            return 0
        try:
            start = time.perf_counter_ns()
            outputs = engine.run(indices)
            spent = time.perf_counter_ns() - start
        except BaseException as error:  # see the module's docstring
            self._fail(error, ids)
            return 0
        self._complete(ids, outputs)
        late_ns = max(0, start - ready_ns) if ready_ns else 0
        self.batches.extend((len(ids), spent, late_ns))
        self.completed += len(ids)
        self.slowest_ns = max(self.slowest_ns, spent)
        return start + spent

    def _work(self, engine: Engine) -> None:
        free_ns = 0
        while True:
            batch = self._next()
            if not batch:
                return
            is_full = len(batch) == self._batching.batch
            ready = batch[-1][2] if is_full else self._batching.wake_ns(batch[0][2])
            ids, indices = [entry[0] for entry in batch], [entry[1] for entry in batch]
            free_ns = self._run(engine, ids, indices, max(ready, free_ns))

    def _next(self) -> list[tuple[int, int, int]]:
        """Samples of the next batch; none when the run has ended."""
        with self._changed:
            while True:
                now = time.perf_counter_ns()
                oldest = self._waiting[0][2] if self._waiting else now
                count = self._batching.ready(len(self._waiting), oldest, now, self._flushed)
                if count:
                    return [self._waiting.popleft() for _ in range(count)]
                if self._ended:
                    return []
                wake = self._batching.wake_ns(oldest) - now if self._waiting else None
                self._changed.wait(None if wake is None else max(0.0, wake * 1e-9))

    def _fail(self, error: BaseException, ids: Sequence[int]) -> None:
        """Keep the first cause, and complete what was issued."""
        if not self.failure:
            name, text = type(error).__name__, str(error).strip().splitlines()
            self.failure = f"{name}: {text[0][:300]}" if text else name
        self._complete(ids, None)
