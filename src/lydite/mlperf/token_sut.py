"""A system under test that answers in tokens: the first one is told as soon as it is there.

As in `lydite.mlperf.sut`, nothing raised here may reach LoadGen: every query is completed, with a
first token and a number of tokens, and the first cause is kept.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lydite.mlperf.tokens import TokenService

Tell = Callable[[int, np.ndarray], None]
"""Tells LoadGen something about the query of an id: its first token, or all its tokens."""
_FIRST_WORD = 1000
"""Lowest number of a word of a sleeping system, above the numbers that mark an end."""


class TokenEngine(Protocol):
    """Answers a sample in tokens."""

    def tokens(self, index: int) -> Iterator[np.ndarray]:
        """The first token, then all others, each part as int64 when it is there."""
        ...


class Sleeping:
    """Sleeps until the times of a table, and says tokens that mean nothing."""

    def __init__(self, times: TokenService) -> None:
        self._times = times

    def tokens(self, index: int) -> Iterator[np.ndarray]:
        """The first token after its time, the others after theirs."""
        start, times = time.perf_counter_ns(), self._times
        row = int(times.rows_of(np.array([index]))[0])
        words = _FIRST_WORD + np.arange(int(times.count[row]), dtype=np.int64) + index
        _sleep_until(start + int(times.first_ns[row]))
        yield words[:1]
        _sleep_until(start + int(times.whole_ns[row]))
        yield words[1:]


class Generating:
    """A function of the user's that says one token after the other."""

    def __init__(
        self,
        generate: Callable[[Mapping[str, np.ndarray]], Iterable[int]],
        inputs: Mapping[str, np.ndarray],
    ) -> None:
        self._generate, self._inputs = generate, inputs

    def tokens(self, index: int) -> Iterator[np.ndarray]:
        """Each token as it is said."""
        for token in self._generate({name: array[index] for name, array in self._inputs.items()}):
            yield np.array([token], np.int64)


class Piloted:
    """Runs samples for a pilot, telling nobody."""

    def __init__(self, engine: TokenEngine) -> None:
        self._engine = engine

    def run(self, indices: Sequence[int]) -> None:
        """Answer the samples, one after the other."""
        for index in indices:
            for _ in self._engine.tokens(index):
                pass


def _sleep_until(when_ns: int) -> None:
    left = when_ns - time.perf_counter_ns()
    if left > 0:
        time.sleep(left * 1e-9)


class TokenSystem:
    """Takes one sample a worker, first come first served.

    Args:
        engines: One engine for each sample that may run at once.
        first: Called with the first token of a query.
        complete: Called with all tokens of a query.
        dtype: Element type in which tokens are told.
    """

    def __init__(
        self, engines: Sequence[TokenEngine], first: Tell, complete: Tell, dtype: str = "int64"
    ) -> None:
        self._first, self._complete = first, complete
        self._nothing = np.zeros(1, dtype)
        self.failure = ""
        self.completed = 0
        self.slowest_ns = 0
        self.told: list[tuple[int, int, int, int, int]] = []
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._ended = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=(engine,), daemon=True) for engine in engines
        ]
        for thread in self._threads:
            thread.start()

    @property
    def record(self) -> np.ndarray:
        """What `TOKENS` holds: int64[samples, 5]."""
        return np.array(self.told, np.int64).reshape(-1, 5)

    def issue(self, queries: Sequence[Any]) -> None:
        """LoadGen's callback: queries with `id` and `index`."""
        now = time.perf_counter_ns()
        with self._changed:
            self._waiting.extend((query.id, query.index, now) for query in queries)
            self._changed.notify(len(queries))

    def flush(self) -> None:
        """LoadGen's callback: no more queries will come."""

    def close(self) -> None:
        """End the workers."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _work(self, engine: TokenEngine) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._ended:
                    self._changed.wait()
                if not self._waiting:
                    return
                number, index, issued = self._waiting.popleft()
            self._answer(engine, number, index, issued)

    def _answer(self, engine: TokenEngine, number: int, index: int, issued_ns: int) -> None:
        said: list[np.ndarray] = []
        start = time.perf_counter_ns()
        first_ns = 0
        try:
            for part in () if self.failure else engine.tokens(index):
                told = part.astype(self._nothing.dtype)
                if not said:
                    self._first(number, told)
                    first_ns = time.perf_counter_ns() - start
                said.append(told)
            if not said and not self.failure:
                raise ValueError(f"sample {index} has no token")
        except BaseException as error:  # LoadGen dies of any exception
            if not self.failure:
                name, text = type(error).__name__, str(error).strip().splitlines()
                self.failure = f"{name}: {text[0][:300]}" if text else name
        if not said:
            self._first(number, self._nothing)
        tokens = np.concatenate(said) if said else self._nothing
        spent = time.perf_counter_ns() - start
        self._complete(number, tokens)
        self.told.append((index, first_ns, spent - first_ns, len(tokens), start - issued_ns))
        self.completed += 1
        self.slowest_ns = max(self.slowest_ns, spent)
