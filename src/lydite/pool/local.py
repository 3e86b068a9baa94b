"""Processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from lydite.children import die_with_parent
from lydite.errors import LyditeError
from lydite.pool.base import MOST_TRIES, Lane, Pool, Work


class LocalPool(Pool):
    """Processes of this machine; none where there are no two full chunks.

    Args:
        jobs: Most processes; None for the number of cores, 1 to call in this process.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs or os.cpu_count() or 1

    @contextmanager
    def lane(self, work: Work, chunks: int | None) -> Iterator[Lane]:
        """This process, or processes that end with it; see `Pool.lane`."""
        processes = self._jobs if chunks is None else min(self._jobs, chunks)
        if processes < 2:
            yield _Here(work)
            return
        lane = _Processes(work, processes)
        try:
            yield lane
        finally:
            lane.close()


HERE = LocalPool(1)
"""This process."""


class _Here:
    """Calls in this process, one chunk after the other."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._ended: list[tuple[int, list[Any] | LyditeError]] = []

    def room(self) -> int:
        return 1

    def send(self, place: int, arguments: Sequence[Any]) -> None:
        self._ended.append((place, self._work.answers(arguments)))

    def receive(self) -> list[tuple[int, list[Any] | LyditeError]]:
        ended, self._ended = self._ended, []
        return ended


class _Processes:
    """Spawned processes; if one is killed, all are replaced and do again what was not done."""

    def __init__(self, work: Work, count: int) -> None:
        self._work, self._count, self._tries = work, count, 0
        self._flying: dict[Future[Any], tuple[int, Sequence[Any]]] = {}
        self._executor = self._started()

    def _started(self) -> ProcessPoolExecutor:
        spawn = get_context("spawn")  # a fork would copy the threads' locks
        return ProcessPoolExecutor(
            self._count, mp_context=spawn, initializer=_begin, initargs=(self._work,)
        )

    def room(self) -> int:
        return 2 * self._count

    def send(self, place: int, arguments: Sequence[Any]) -> None:
        try:
            future = self._executor.submit(_next, arguments)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self._flying[future] = place, arguments

    def receive(self) -> list[tuple[int, list[Any] | LyditeError]]:
        ended = wait(self._flying, return_when=FIRST_COMPLETED).done
        if any(map(_is_lost, ended)):
            self._again()
            return []
        return [(self._flying.pop(future)[0], future.result()) for future in ended]

    def _again(self) -> None:
        self._tries += 1
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
        self._executor.shutdown(wait=True, cancel_futures=True)


def _is_lost(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


_WORK: list[Work] = []


def _begin(work: Work) -> None:
    die_with_parent()
    _WORK[:] = [work]


def _next(arguments: Sequence[Any]) -> list[Any] | LyditeError:
    return _WORK[0].answers(arguments)
