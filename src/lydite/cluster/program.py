"""Programs of ranks: task lists shared by all ranks with the same work, assembled for a cluster.

A program is a list of tasks on a rank's streams. A dependency names a rank relative to the task's
own (itself, the same rank of the previous or next stage, its left neighbour in a group, or every
member of a group) and a position in *that* rank's program. All ranks of a stage share one program,
so it can be simulated on one rank (folded: every neighbour is the rank itself) or on all of them
(unfolded).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

CATEGORIES = (
    "forward",
    "recompute",
    "backward",
    "weights",
    "optimizer",
    "tensor",
    "context",
    "expert",
    "data",
    "pipeline",
    "host",
)
"""Categories of a task's time: computation, then communication."""

WORK, SENT = CATEGORIES[:5], CATEGORIES[5:]

STREAMS = ("compute", "tensor", "data", "onward", "back", "host", "fetch")
"""Streams of a rank: kernels, collectives they wait for or overlap, both pipeline directions, to
the host (and its update), from the host."""

_STREAM = {name: number for number, name in enumerate(STREAMS)}
_CATEGORY = {name: number for number, name in enumerate(CATEGORIES)}
GROUPS = {"tp": "tensor", "cp": "context", "ep": "expert"} | dict.fromkeys(
    ("dp", "edp", "dp shard", "dp copies", "edp shard", "edp copies"), "data"
)
"""Category of the messages of each group."""
PLACES = list(GROUPS)
OWN, BEFORE, BEHIND = 0, 1, 2
Ref: TypeAlias = tuple[int, int]
"""Rank that a task depends on, and the position in that rank's program."""
Route: TypeAlias = tuple[str, str, str]
"""Group (or "onward" and "back" for the next and previous stage), kind, algorithm of messages."""


def left(group: str, place: int) -> Ref:
    """Reference to a task of the left neighbour in a group's ring."""
    return 3 + 2 * PLACES.index(group), place


def everyone(group: str, place: int) -> Ref:
    """Reference to a task of every member of a group, this rank included."""
    return 4 + 2 * PLACES.index(group), place


class Program:
    """The tasks of a rank, added one at a time, with dependencies on this and other ranks.

    What a task has is kept so that a run of tasks can be repeated by copying columns: dependencies
    by number, those on ranks of the same stage by their distance, and names in parts.
    """

    def __init__(self) -> None:
        self.duration_ps, self.stream = array("q"), array("b")
        self.category, self.needs = array("b"), array("i")
        self.whom, self.distance = array("b"), array("i")
        self.wire_ps, self.route = array("q"), array("h")
        self.routes: dict[Route, int] = {}
        self.ends: list[tuple[str, str]] = []
        self.tokens: list[str] = []

    def __len__(self) -> int:
        return len(self.duration_ps)

    def add(
        self,
        stream: str,
        duration_ps: int,
        after: Iterable[Ref | None],
        category: str,
        name: str,
        wire_ps: int = 0,
        route: Route | None = None,
    ) -> int:
        """Add a task, and return its position in the program.

        Args:
            stream: Name of the stream that runs the task.
            duration_ps: Duration in picoseconds without contention on its links.
            after: Tasks that it depends on; None entries are ignored.
            category: Category that its time counts towards.
            name: Name of the task in reports.
            wire_ps: Part of `duration_ps` in which its links are busy, in picoseconds.
            route: Collective whose links it uses; None if it sends nothing.
        """
        known, place, before = self.routes, len(self), len(self.whom)
        self.wire_ps.append(wire_ps)
        self.route.append(-1 if route is None else known.setdefault(route, len(known)))
        self.duration_ps.append(duration_ps)
        self.stream.append(_STREAM[stream])
        self.category.append(_CATEGORY[category])
        for ref in after:
            if ref is not None:
                self.whom.append(ref[0])
                self.distance.append(_distance(ref, place))
        self.needs.append(len(self.whom) - before)
        self.ends.append((name, ""))
        self.tokens.append("")
        return place

    @property
    def dep_start(self) -> np.ndarray:
        """int64[tasks + 1]: The dependencies of task i are `dep_start[i]` to `dep_start[i + 1]`."""
        return np.concatenate(([0], np.cumsum(np.frombuffer(self.needs, np.int32), dtype=np.int64)))

    @property
    def place(self) -> np.ndarray:
        """int32[dependencies]: Position of each in the program of the rank it refers to."""
        distance = np.frombuffer(self.distance, np.int32)
        whom = np.frombuffer(self.whom, np.int8)
        owner = np.repeat(np.arange(len(self), dtype=np.int32), np.frombuffer(self.needs, np.int32))
        return np.where((whom == BEFORE) | (whom == BEHIND), distance, owner - distance)

    def name(self, place: int) -> str:
        """Name of a task in reports."""
        head, tail = self.ends[place]
        return f"{head}{self.tokens[place]}{tail}"

    @property
    def names(self) -> list[str]:
        """Names of all tasks."""
        return list(map(self.name, range(len(self))))


def _distance(ref: Ref, place: int) -> int:
    """How far back from a task is what it depends on; on another stage, the position there."""
    return ref[1] if ref[0] in (BEFORE, BEHIND) else place - ref[1]


class Passage:
    """A run of tasks at the end of a program that can be repeated in the same program.

    Args:
        program: Program whose last tasks are the run.
        start, first_dep: Index of the first task of the run, and of its first dependency.
        before: Position of the earlier task that the first task waits for; the run's only
            dependency outside itself, except `came`.
        came: Other dependency of the first task; None if it has none.
        token: Part of the task names that differs between repetitions.
    """

    def __init__(
        self,
        program: Program,
        start: int,
        first_dep: int,
        before: int,
        came: Ref | None,
        token: str,
    ) -> None:
        columns = program.duration_ps, program.wire_ps, program.stream, program.category
        numbers = *columns, program.route, program.needs
        self._columns = [(column, column[start:]) for column in numbers]
        dependencies = program.whom, program.distance
        self._columns += [(column, column[first_dep:]) for column in dependencies]
        heads = [program.name(place).partition(token) for place in range(start, len(program))]
        self._ends = [(head, tail) for head, _, tail in heads]
        self._program = program
        references = list(zip(*(column[first_dep:] for column in dependencies), strict=True))
        self._came = None
        if came is not None:
            wanted = came[0], _distance(came, start)
            self._came = references.index(wanted, 1, program.needs[start])
        owners = [at for at, count in enumerate(program.needs[start:]) for _ in range(count)]
        self._outside = [
            (i, owner)
            for i, (owner, (whom, distance)) in enumerate(zip(owners, references, strict=True))
            if i != self._came and whom not in (BEFORE, BEHIND) and distance > owner
        ]
        assert all(references[i][1] == start + owner - before for i, owner in self._outside)

    def again(self, before: int, came: Ref | None, token: str) -> int:
        """Append a repetition of the run to the program, and return its first position."""
        program, start = self._program, len(self._program)
        first = len(program.whom)
        for column, values in self._columns:
            column.extend(values)
        for at, owner in self._outside:
            program.distance[first + at] = start + owner - before
        if came is not None and self._came is not None:
            at = first + self._came
            program.whom[at], program.distance[at] = came[0], _distance(came, start)
        program.ends += self._ends
        program.tokens += [token] * len(self._ends)
        return start
