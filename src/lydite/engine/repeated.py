"""Tasks of many ranks that repeat few programs, without a row for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lydite.records import dataclass

Array = np.ndarray[Any, Any]

MOST_AWAITED = 2**15 - 1
"""Most dependencies of a task."""


@dataclass(frozen=True, eq=False)
class Repeated:
    """Tasks numbered rank by rank, each rank's in the order of its program.

    A row is a task of a program; it stands for one task of each rank that has the program. Each
    task is on a server of its rank, and takes its duration there.

    Attributes:
        starts: int64[programs + 1], where the rows of each program begin, and the end of the last.
        program: int32[ranks], program of each rank.
        streams: Number of servers of each rank, which are adjacent.
        row_duration_ps, row_stream, row_category: int64, int32 and int16, one for each row.
        row_awaited: int16, number of tasks that a row's task waits for.
        begins: int32[rows + 1], where the successors of a row begin in `whom` and `target`.
        whom: int32, of each successor its rank, as a row of `neighbours`.
        target: int32, the successor's row.
        neighbours: int32[kinds, ranks], for each rank the one that a kind of neighbour stands for.
        pace: float64[ranks], factor of durations, and `paced` the streams that have it.
        paced: Streams whose durations are multiplied by `pace`.
        names: Name of each task.
    """

    starts: Array
    program: Array
    streams: int
    row_duration_ps: Array
    row_stream: Array
    row_category: Array
    row_awaited: Array
    begins: Array
    whom: Array
    target: Array
    neighbours: Array
    pace: Array
    paced: tuple[int, ...] = ()
    names: Sequence[str] = ()

    @cached_property
    def base(self) -> Array:
        """int64[ranks + 1], number of each rank's first task, then that of tasks."""
        return np.concatenate(([0], np.cumsum(np.diff(self.starts)[self.program])))

    @cached_property
    def server_pace(self) -> Array:
        """float64[ranks, streams], factor of the durations on each server."""
        factors = np.ones((len(self.program), self.streams))
        factors[:, list(self.paced)] = self.pace[:, None]
        return factors

    def __len__(self) -> int:
        return int(self.base[-1])

    def rows(self, rank: int) -> slice:
        """The rows of a rank's program."""
        start, end = self.starts[self.program[rank]], self.starts[self.program[rank] + 1]
        return slice(int(start), int(end))

    def ranks_of(self, tasks: Array) -> Array:
        """The rank of each of some tasks."""
        return np.searchsorted(self.base, tasks, "right") - 1

    def rows_of(self, tasks: Array) -> Array:
        """The row of each of some tasks."""
        rank = self.ranks_of(tasks)
        return tasks - self.base[rank] + self.starts[self.program[rank]]

    def rank_durations_ps(self, rank: int) -> Array:
        """int64, duration of each task of a rank in picoseconds."""
        rows = self.rows(rank)
        return _paced(self.row_duration_ps[rows], self.server_pace[rank][self.row_stream[rows]])

    def durations_ps(self, tasks: Array) -> Array:
        """int64, duration of each of some tasks in picoseconds."""
        rows = self.rows_of(tasks)
        pace = self.server_pace[self.ranks_of(tasks), self.row_stream[rows]]
        return _paced(self.row_duration_ps[rows], pace)

    @property
    def category(self) -> Array:
        """int16[tasks]."""
        return self._of_ranks(lambda rank: self.row_category[self.rows(rank)], np.int16)

    @property
    def resource(self) -> Array:
        """int32[tasks], server of each task."""
        return self._of_ranks(
            lambda rank: self.row_stream[self.rows(rank)] + rank * self.streams, np.int32
        )

    @property
    def duration_ps(self) -> Array:
        """int64[tasks]."""
        return self._of_ranks(self.rank_durations_ps, np.int64)

    def _of_ranks(self, column: Any, dtype: Any) -> Array:
        made = np.empty(len(self), dtype)
        for rank in range(len(self.program)):
            made[self.base[rank] : self.base[rank + 1]] = column(rank)
        return made

    @cached_property
    def _awaited(self) -> tuple[Array, Array, Array]:
        """Row and kind of what each row awaits, by row, and where each row's begin."""
        source = np.repeat(np.arange(self.starts[-1]), np.diff(self.begins))
        order = np.argsort(self.target, kind="stable")
        begins = np.searchsorted(self.target[order], np.arange(self.starts[-1] + 1))
        return source[order], self.whom[order], begins

    def needs(self, task: int) -> Array:
        """int64, the tasks that `task` waits for."""
        rank = int(self.ranks_of(np.array([task]))[0])
        row = task - int(self.base[rank]) + int(self.starts[self.program[rank]])
        sources, kinds, begins = self._awaited
        found = []
        for at in range(begins[row], begins[row + 1]):
            source = int(sources[at])
            program = int(np.searchsorted(self.starts, source, "right")) - 1
            others = np.flatnonzero(self.neighbours[kinds[at]] == rank)
            others = others[self.program[others] == program]
            found.append(self.base[others] + source - self.starts[program])
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def label(self, task: int) -> str:
        """The task's number, with its name if it has one."""
        return f"task {task} ('{self.names[task]}')" if self.names else f"task {task}"


def _paced(durations: Array, pace: Array) -> Array:
    """Durations on servers of some pace: those of pace 1 as they are."""
    return np.where(pace == 1, durations, np.rint(durations * pace)).astype(np.int64)
