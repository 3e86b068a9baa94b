"""Processes that take chunks of calls, and end with the one that started them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Any

from lydite.children import die_with_parent
from lydite.errors import LyditeError
from lydite.pool.base import MOST_TRIES, Work

_SPAWN = get_context("spawn")
"""A fork would copy the threads' locks."""


class Processes:
    """Spawned processes; if one is killed, all are replaced and do again what was not done.

    Args:
        work: What they do.
        count: Number of processes.
    """

    def __init__(self, work: Work, count: int) -> None:
        self._work, self._count, self._tries = work, count, 0
        self._began = _SPAWN.Event()
        self._flying: dict[Future[Any], tuple[int, Sequence[Any]]] = {}
        self._executor = self._started()

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._count, mp_context=_SPAWN, initializer=_begin, initargs=(self._work, self._began)
        )

    def room(self) -> int:
        """Twice as many chunks as processes."""
        return 2 * self._count

    def send(self, place: int, arguments: Sequence[Any]) -> None:
        """Start a chunk; see `Lane.send`."""
        try:
            future = self._executor.submit(_next, arguments)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self._flying[future] = place, arguments

    def receive(self) -> list[tuple[int, list[Any] | LyditeError]]:
        """Answers of chunks that have ended; see `Lane.receive`."""
        ended = wait(self._flying, return_when=FIRST_COMPLETED).done
        if any(map(_is_lost, ended)):
            self._again()
            return []
        return [(self._flying.pop(future)[0], future.result()) for future in ended]

    def _again(self) -> None:
        self._tries += 1
        if not self._began.is_set():
            raise LyditeError(
                "processes end before they begin, as where each of them runs a script that starts "
                "others",
                hint="put what the script does under: if __name__ == '__main__':",
            )
        if self._tries > MOST_TRIES:
            raise LyditeError(
                f"processes were killed {self._tries} times, as happens when memory runs out",
                hint="what is finished is kept; use fewer cores or more memory",
            )
        self._executor.shutdown(wait=True)  # now every future has ended
        lost = [self._flying.pop(future) for future in list(self._flying) if _is_lost(future)]
        self._executor = self._started()
        for place, arguments in lost:
            self.send(place, arguments)

    def close(self) -> None:
        """End the processes once their present chunks are done."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _is_lost(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


_WORK: list[Work] = []


def _begin(work: Work, began: Event) -> None:
    die_with_parent()
    _WORK[:] = [work]
    began.set()


def _next(arguments: Sequence[Any]) -> list[Any] | LyditeError:
    return _WORK[0].answers(arguments)
