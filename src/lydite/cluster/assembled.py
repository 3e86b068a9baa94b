"""Tasks of the simulated ranks, assembled from the programs of their stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from lydite.cluster.plan import Plan
from lydite.cluster.program import (
    BEFORE,
    BEHIND,
    GROUPS,
    OWN,
    PLACES,
    STREAMS,
    Program,
)
from lydite.engine import LinkNetwork, Repeated, Servers, Tasks
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import OneLine

BYTES_A_TASK = 140
"""Memory of a task while all ranks are played: 119 to 171 bytes over 0.9 to 13.6 million tasks."""


@dataclass(frozen=True)
class Names(Sequence[str]):
    """Names of all tasks, composed on demand from the programs' task names and the ranks' names."""

    programs: Sequence[Program]
    first: np.ndarray
    ranks_per_stage: int

    def __len__(self) -> int:
        return int(self.first[-1])

    @overload
    def __getitem__(self, task: int) -> str: ...
    @overload
    def __getitem__(self, task: slice) -> list[str]: ...
    def __getitem__(self, task: int | slice) -> str | list[str]:
        if isinstance(task, slice):
            return [self[one] for one in range(*task.indices(len(self)))]
        if not 0 <= task < len(self):
            raise IndexError(task)
        stage = int(np.searchsorted(self.first, task, "right")) - 1
        rank, place = divmod(task - int(self.first[stage]), len(self.programs[stage]))
        name = self.programs[stage].name(place)
        whole = stage * self.ranks_per_stage + rank
        return name if self.ranks_per_stage == 1 else f"rank {whole}: {name}"


@dataclass(frozen=True, repr=False)
class Played(OneLine):
    """Tasks of the simulated ranks, with their servers and links.

    Attributes:
        tasks: Tasks of all simulated ranks.
        servers: Streams of those ranks; the streams of a rank are adjacent.
        server_names: Names of the servers.
        ranks: Number of simulated ranks.
        network: Links that messages share; None where collectives take their closed-form times.
        bytes_a_task: Forecast of the memory of each task while it is played.
    """

    tasks: Tasks | Repeated
    servers: Servers
    server_names: tuple[str, ...]
    ranks: int
    network: LinkNetwork | None = None
    bytes_a_task: int = BYTES_A_TASK

    def headline(self) -> str:
        """Number of tasks and ranks, in one line."""
        return f"{len(self.tasks)} tasks on {len(self.server_names)} servers, {self.ranks} ranks"


@dataclass(frozen=True)
class Wiring:
    """Paths of the messages that the simulated ranks send.

    Attributes:
        network: Links and paths, each path with a cap on its rate.
        path: int32[stages][ranks of a stage, routes of its program]: Path of each rank's messages;
            -1 where a rank sends none.
    """

    network: LinkNetwork
    path: Sequence[np.ndarray]


def folded(programs: Sequence[Program], wiring: Wiring | None = None) -> Played:
    """Tasks of one rank per stage, which represents all ranks of the stage.

    Args:
        programs: Program of each stage.
        wiring: Paths of each stage's messages, each representing all ranks of the stage; None for
            closed-form times.
    """
    names = tuple(f"stage {s} {stream}" for s in range(len(programs)) for stream in STREAMS)
    return _assembled(programs, Plan(pp=len(programs)), None, names, wiring)


def unfolded(
    programs: Sequence[Program],
    plan: Plan,
    factors: np.ndarray | None = None,
    wiring: Wiring | None = None,
) -> Played:
    """Tasks of every rank.

    Args:
        programs: Program of each stage.
        plan: Plan that defines the ranks of a stage and their neighbours.
        factors: [ranks] Speed of each device relative to the nominal one; None for 1.
        wiring: Paths of each rank's messages; None for closed-form times.
    """
    check_memory(programs, plan, BYTES_A_TASK)
    return _assembled(programs, plan, factors, names_of_servers(plan), wiring)


def names_of_servers(plan: Plan) -> tuple[str, ...]:
    """Names of the streams of all ranks."""
    return tuple(f"rank {r} {stream}" for r in range(plan.ranks) for stream in STREAMS)


def check_memory(programs: Sequence[Program], plan: Plan, bytes_a_task: float) -> None:
    """Refuse to play all ranks where that needs more memory than is free.

    Raises:
        InputError: it does.
    """
    import psutil  # slow, and often not needed

    needed = unfolded_bytes(programs, plan, bytes_a_task)
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"--unfolded needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            hint="leave --unfolded out, or use fewer devices or micro-batches",
        )


def unfolded_bytes(programs: Sequence[Program], plan: Plan, bytes_a_task: float) -> float:
    """Forecast of the memory in which all ranks are played, in bytes."""
    wide = plan.tp * plan.replicas
    return bytes_a_task * wide * sum(len(program) for program in programs)


def _assembled(
    programs: Sequence[Program],
    plan: Plan,
    factors: np.ndarray | None,
    names: tuple[str, ...],
    wiring: Wiring | None,
) -> Played:
    wide = plan.tp * plan.replicas
    lengths = np.array([len(p) for p in programs])
    first = np.concatenate(([0], np.cumsum(lengths * wide)))
    base = np.concatenate([f + n * np.arange(wide) for f, n in zip(first, lengths, strict=False)])
    columns: list[tuple[np.ndarray, ...]] = []
    for stage, program in enumerate(programs):
        ranks = stage * wide + np.arange(wide)
        duration = np.frombuffer(program.duration_ps, np.int64)
        stream = np.frombuffer(program.stream, np.int8)
        durations = np.tile(duration, wide)
        if factors is not None:
            durations = _slowed(duration, stream, factors[ranks])
        resource = (ranks[:, None] * len(STREAMS) + stream).astype(np.int32).ravel()
        counts, deps = _dependencies(program, plan, ranks, base)
        category = np.tile(np.frombuffer(program.category, np.int8).astype(np.int16), wide)
        path, wire = _messages(program, wiring, stage, wide)
        columns.append((durations, resource, category, np.tile(counts, wide), deps, path, wire))
    duration, resource, category, counts, deps, path, wire = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    flows: dict[str, np.ndarray] = {}
    if wiring is not None:
        duration -= wire
        sending = path >= 0
        sent = np.zeros(len(path))
        sent[sending] = wire[sending] * (wiring.network.path_cap[path[sending]] * 1e-12)
        flows = {"path": path, "bytes": sent}
    starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    tasks = Tasks.of(
        duration,
        resource,
        dep_start=starts,
        deps=deps,
        category=category,
        names=Names(programs, first, wide),
        **flows,
    )
    group = np.repeat(np.arange(plan.ranks, dtype=np.int32), len(STREAMS))
    network = None if wiring is None else wiring.network
    return Played(tasks, Servers.of(len(names), group=group), names, plan.ranks, network)


def _messages(
    program: Program, wiring: Wiring | None, stage: int, wide: int
) -> tuple[np.ndarray, np.ndarray]:
    """Path of each task of a stage's ranks, and the picoseconds in which its links are busy."""
    if wiring is None:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    route = np.frombuffer(program.route, np.int16)
    table = np.concatenate([wiring.path[stage], np.full((wide, 1), -1)], axis=1)
    wire = np.tile(np.frombuffer(program.wire_ps, np.int64), wide)
    path = np.where(wire > 0, table[:, route].ravel(), -1).astype(np.int32)
    return path, np.where(path >= 0, wire, 0)


def _slowed(duration: np.ndarray, stream: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Kernels take longer on slow devices; messages do not."""
    pace = np.where(stream == STREAMS.index("compute"), 1 / factors[:, None], 1.0)
    return np.rint(duration * pace).astype(np.int64).ravel()


def _dependencies(
    program: Program, plan: Plan, ranks: np.ndarray, base: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Number of dependencies of each task of the program, and the dependencies on all ranks."""
    whom = np.frombuffer(program.whom, np.int8).astype(np.int64)
    place = program.place
    groups = plan.groups
    sizes = np.array([groups[group][1] if group in groups else 1 for group in GROUPS])
    many = (whom >= 3) & (whom % 2 == 0)
    times = np.where(many, sizes[np.where(many, (whom - 4) // 2, 0)], 1)
    start = program.dep_start
    reach = np.concatenate(([0], np.cumsum(times)))
    counts = np.diff(reach[start])
    member = np.arange(reach[-1]) - np.repeat(reach[:-1], times)
    code = np.repeat(whom, times) * (int(sizes.max()) + 1) + member
    kinds, index = np.unique(code, return_inverse=True)
    table = np.array(
        [
            _neighbours(
                int(c) // (int(sizes.max()) + 1), int(c) % (int(sizes.max()) + 1), plan, ranks
            )
            for c in kinds
        ],
        np.int64,
    ).reshape(len(kinds), len(ranks))
    dependencies = base[table].astype(np.int32)[index] + np.repeat(place, times)[:, None]
    return counts, np.ascontiguousarray(dependencies.T).ravel()


def _neighbours(whom: int, member: int, plan: Plan, ranks: np.ndarray) -> np.ndarray:
    """The rank that a reference stands for, for each rank of the stage."""
    wide = plan.tp * plan.replicas
    if whom == OWN:
        return ranks
    if whom in (BEFORE, BEHIND):
        return (ranks + (wide if whom == BEHIND else -wide)) % (wide * plan.pp)
    stride, size = plan.groups.get(PLACES[(whom - 3) // 2], (1, 1))
    position = ranks // stride % size
    wanted = (position - 1) % size if whom % 2 else member
    return ranks + (wanted - position) * stride
