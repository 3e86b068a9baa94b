"""Processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lydite.errors import LyditeError
from lydite.pool.base import Lane, Pool, Work


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
        from lydite.pool.processes import Processes

        lane = Processes(work, processes)
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
