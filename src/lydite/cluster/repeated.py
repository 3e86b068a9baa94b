"""Tasks of every rank as the programs that they repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lydite.cluster.assembled import Names, Played, check_memory, names_of_servers
from lydite.cluster.plan import Plan
from lydite.cluster.program import BEFORE, BEHIND, OWN, PLACES, STREAMS, Program
from lydite.engine import Repeated, Servers
from lydite.engine.repeated import MOST_AWAITED

Array = np.ndarray[Any, Any]
BYTES_A_TASK = 11
"""Memory of a task of a rank while all are played: its start and what it awaits."""
_RIGHT, _MEMBER = 0, 1


def every_rank(programs: Sequence[Program], plan: Plan, factors: Array | None = None) -> Played:
    """Tasks of every rank, as `lydite.cluster.assembled.unfolded` makes them one by one.

    Raises:
        InputError: there is not memory enough.
    """
    check_memory(programs, plan, BYTES_A_TASK)
    group = np.repeat(np.arange(plan.ranks, dtype=np.int32), len(STREAMS))
    names = names_of_servers(plan)
    servers = Servers.of(len(names), group=group)
    tasks = repeated(programs, plan, factors)
    return Played(tasks, servers, names, plan.ranks, bytes_a_task=BYTES_A_TASK)


def repeated(programs: Sequence[Program], plan: Plan, factors: Array | None = None) -> Repeated:
    """Tasks of every rank; collectives take their closed-form times.

    Args:
        programs: Program of each stage.
        plan: Plan that defines the ranks of a stage and their neighbours.
        factors: [ranks] Speed of each device relative to the nominal one; None for 1.
    """
    wide = plan.tp * plan.replicas
    starts = np.concatenate(([0], np.cumsum([len(program) for program in programs])))
    kinds = _Kinds(plan)
    edges = [_edges(program, stage, starts, plan, kinds) for stage, program in enumerate(programs)]
    source, whom, target = (np.concatenate(column) for column in zip(*edges, strict=True))
    order = np.argsort(source, kind="stable")
    return Repeated(
        starts,
        np.repeat(np.arange(plan.pp), wide),
        len(STREAMS),
        np.concatenate([np.frombuffer(program.duration_ps, np.int64) for program in programs]),
        np.concatenate([np.frombuffer(program.stream, np.int8) for program in programs]).astype(
            np.int32
        ),
        np.concatenate([np.frombuffer(program.category, np.int8) for program in programs]).astype(
            np.int16
        ),
        np.bincount(target, minlength=starts[-1]).astype(np.int16),
        np.searchsorted(source[order], np.arange(starts[-1] + 1)).astype(np.int32),
        whom[order].astype(np.int32),
        target[order].astype(np.int32),
        kinds.neighbours(),
        np.ones(plan.ranks) if factors is None else 1 / factors,
        (STREAMS.index("compute"),),
        Names(programs, np.concatenate(([0], np.cumsum(np.diff(starts) * wide))), wide),
    )


def fits(programs: Sequence[Program], plan: Plan) -> bool:
    """Whether no task waits for more tasks than are counted."""
    largest = max((size for _, size in plan.groups.values()), default=1)
    return all(max(program.needs, default=0) * largest <= MOST_AWAITED for program in programs)


class _Kinds:
    """Kinds of neighbours that successors are found at, numbered as they come up."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._numbers: dict[tuple[int, int, int], int] = {}

    def number(self, whom: int, relation: int = 0, member: int = 0) -> int:
        """Number of a kind: OWN, BEFORE or BEHIND, or a place in PLACES above them."""
        return self._numbers.setdefault((whom, relation, member), len(self._numbers))

    def neighbours(self) -> Array:
        """int32[kinds, ranks]."""
        ranks = np.arange(self._plan.ranks)
        return np.array([self._ranks(*kind, ranks) for kind in self._numbers], np.int32)

    def _ranks(self, whom: int, relation: int, member: int, ranks: Array) -> Array:
        plan = self._plan
        wide = plan.tp * plan.replicas
        if whom == OWN:
            return ranks
        if whom in (BEFORE, BEHIND):
            return (ranks + (wide if whom == BEHIND else -wide)) % plan.ranks
        stride, size = self.group(whom)
        position = ranks // stride % size
        wanted = (position + 1) % size if relation == _RIGHT else member
        return ranks + (wanted - position) * stride

    def group(self, whom: int) -> tuple[int, int]:
        """Stride and size of the group of a reference."""
        return self._plan.groups.get(PLACES[(whom - 3) // 2], (1, 1))


def _edges(
    program: Program, stage: int, starts: Array, plan: Plan, kinds: _Kinds
) -> tuple[Array, Array, Array]:
    """What a program's tasks wait for, turned round: source rows, kinds, and rows that wait."""
    whom = np.frombuffer(program.whom, np.int8).astype(np.int64)
    place = program.place.astype(np.int64)
    counts = np.frombuffer(program.needs, np.int32)
    owner = starts[stage] + np.repeat(np.arange(len(program)), counts)
    made = list[tuple[Array, Array, Array]]()
    for reference in np.unique(whom).tolist():
        chosen = whom == reference
        found, back = stage, [kinds.number(OWN)]
        if reference == BEFORE:
            found, back = (stage - 1) % plan.pp, [kinds.number(BEHIND)]
        elif reference == BEHIND:
            found, back = (stage + 1) % plan.pp, [kinds.number(BEFORE)]
        elif reference >= 3 and reference % 2:
            back = [kinds.number(reference, _RIGHT)]
        elif reference >= 3:
            _, size = kinds.group(reference)
            back = [kinds.number(reference, _MEMBER, member) for member in range(size)]
        source = starts[found] + place[chosen]
        made += [(source, np.full(source.size, kind), owner[chosen]) for kind in back]
    empty = np.zeros(0, np.int64)
    columns = zip(*(made or [(empty, empty, empty)]), strict=True)
    source, kind, target = (np.concatenate(column) for column in columns)
    return source, kind, target
