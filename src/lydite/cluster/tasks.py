"""The tasks of a step: one rank of each pipeline stage, its streams, and what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lydite.cluster.collectives import Group
from lydite.cluster.plan import Plan
from lydite.cluster.schedules import Step, steps_of
from lydite.cluster.stages import Unit
from lydite.engine import Servers, TaskBuilder, Tasks
from lydite.errors import InputError

CATEGORIES = (
    "forward", "backward", "weights", "recompute", "tensor", "data", "pipeline", "optimizer",
)  # fmt: skip
"""What a task belongs to; "tensor", "data" and "pipeline" are communication."""

_STREAMS = ("compute", "data", "onward", "back")
_PS = 1e12


@dataclass(frozen=True)
class Played:
    """Tasks with the names of their servers."""

    tasks: Tasks
    servers: Servers
    server_names: tuple[str, ...]


@dataclass
class _Rank:
    """A stage's program and how far it has come."""

    steps: list[Step]
    place: int = 0
    last: int | None = None
    worked: list[int | None] = field(default_factory=list)


def step_tasks(
    stages: Sequence[Sequence[Unit]], plan: Plan, data: Group, pipe: Group, *, training: bool = True
) -> Played:
    """All tasks of a step.

    Args:
        stages: units of each virtual stage.
        plan: the schedule, micro-batches, what is sent when.
        data: the data-parallel group.
        pipe: from a stage to the next.
        training: without, forward passes only.

    Raises:
        InputError: the schedule waits for itself (names who waits for what).
    """
    return _Writer(stages, plan, data, pipe, training).write()


class _Writer:
    def __init__(
        self, stages: Sequence[Sequence[Unit]], plan: Plan, data: Group, pipe: Group, training: bool
    ) -> None:
        self.stages, self.plan, self.data, self.pipe = stages, plan, data, pipe
        self.tasks = TaskBuilder()
        self.ranks = [_Rank(self._program(rank, training)) for rank in range(plan.pp)]
        self.arrived: dict[tuple[str, int, int], int] = {}
        self.gathered: dict[int, int] = {}
        self.training = training

    def _program(self, rank: int, training: bool) -> list[Step]:
        plan = self.plan
        steps = steps_of(plan.schedule, rank, plan.pp, plan.micro_batches, plan.chunks)
        return steps if training else [step for step in steps if step[0] == "F"]

    def write(self) -> Played:
        """Rounds over the ranks; each goes on as long as what it waits for has been written."""
        left = sum(len(rank.steps) for rank in self.ranks)
        while left:
            before = left
            for number, rank in enumerate(self.ranks):
                while rank.place < len(rank.steps) and self._ready(number, rank):
                    self._step(number, rank)
                    rank.place += 1
                    left -= 1
            if left == before:
                raise self._deadlock()
        if self.training:
            for number, rank in enumerate(self.ranks):
                self._update(number, rank)
        names = [f"stage {rank} {stream}" for rank in range(self.plan.pp) for stream in _STREAMS]
        return Played(self.tasks.build(), Servers.of(len(names)), tuple(names))

    def _virtual(self, rank: int, chunk: int) -> int:
        return chunk * self.plan.pp + rank

    def _needs(self, number: int, rank: _Rank) -> tuple[str, int, int] | None:
        kind, batch, chunk = rank.steps[rank.place]
        stage = self._virtual(number, chunk)
        if kind == "F" and stage > 0:
            return ("F", stage, batch)
        if kind == "B" and stage < len(self.stages) - 1:
            return ("B", stage, batch)
        return None

    def _ready(self, number: int, rank: _Rank) -> bool:
        needed = self._needs(number, rank)
        return needed is None or needed in self.arrived

    def _deadlock(self) -> InputError:
        waits = [
            f"stage {number} at {rank.steps[rank.place]} for {self._needs(number, rank)}"
            for number, rank in enumerate(self.ranks) if rank.place < len(rank.steps)
        ]  # fmt: skip
        return InputError(f"the schedule waits for itself: {'; '.join(waits[:4])}")

    def _server(self, rank: int, stream: str) -> int:
        return rank * len(_STREAMS) + _STREAMS.index(stream)

    def _work(
        self,
        rank: int,
        stream: str,
        duration_ps: int,
        after: Sequence[int | None],
        kind: str,
        name: str,
    ) -> int:
        return self.tasks.work(
            self._server(rank, stream), duration_ps, [a for a in after if a is not None],
            category=CATEGORIES.index(kind), name=name,
        )  # fmt: skip

    def _step(self, number: int, rank: _Rank) -> None:
        kind, batch, chunk = rank.steps[rank.place]
        needed = self._needs(number, rank)
        came = self.arrived[needed] if needed is not None else None
        stage = self._virtual(number, chunk)
        units = self.stages[stage]
        for unit in units if kind == "F" else reversed(units):
            self._unit(number, rank, unit, kind, batch, came)
            came = None
        self._hand_on(number, rank, kind, stage, batch)

    def _unit(
        self, number: int, rank: _Rank, unit: Unit, kind: str, batch: int, came: int | None
    ) -> None:
        label = f"{unit.name} {kind}{batch}"
        if kind == "W":
            rank.last = self._work(
                number, "compute", unit.weights_ps, [rank.last], "weights", label
            )
            self._gradient(number, rank, unit, batch)
            return
        gathered = self._gather(number, unit, rank, label) if self.plan.zero == 3 else None
        work, sent = (
            (unit.forward_ps, unit.forward_tensor_ps) if kind == "F"
            else (unit.data_ps, unit.data_tensor_ps)
        )  # fmt: skip
        phase = "forward" if kind == "F" else "backward"
        rank.last = self._work(number, "compute", work, [rank.last, came, gathered], phase, label)
        if sent:
            rank.last = self._work(number, "compute", sent, [rank.last], "tensor", f"{label} tp")
        if kind == "B" and self.plan.schedule != "zero-bubble":
            rank.last = self._work(
                number, "compute", unit.weights_ps, [rank.last], "weights", f"{label} weights"
            )
            self._gradient(number, rank, unit, batch)

    def _gather(self, number: int, unit: Unit, rank: _Rank, label: str) -> int:
        """ZeRO-3: a unit's weights come from all ranks; they are fetched one unit ahead."""
        seconds = self.data.seconds("AllGather", unit.weight_bytes)
        before = rank.worked[-2] if len(rank.worked) > 1 else None
        rank.worked.append(rank.last)
        return self._work(number, "data", _ps(seconds), [before], "data", f"{label} gather")

    def _gradient(self, number: int, rank: _Rank, unit: Unit, batch: int) -> None:
        """Sent as soon as it is finished: after the last micro-batch (with ZeRO-3 after each)."""
        last = batch == self._last_batch()
        if self.data.ranks < 2 or not (last or self.plan.zero == 3):
            return
        kind = "AllReduce" if self.plan.zero == 0 else "ReduceScatter"
        seconds = self._bucketed(kind, unit.gradient_bytes)
        self._work(number, "data", _ps(seconds), [rank.last], "data", f"{unit.name} gradients")

    def _last_batch(self) -> int:
        return 0 if self.plan.schedule == "gpipe" else self.plan.micro_batches - 1

    def _bucketed(self, kind: str, size: float) -> float:
        """In buckets, each of which starts anew."""
        full, rest = divmod(size, self.plan.bucket_bytes)
        return full * self.data.seconds(kind, self.plan.bucket_bytes) + self.data.seconds(
            kind, rest
        )

    def _hand_on(self, number: int, rank: _Rank, kind: str, stage: int, batch: int) -> None:
        onward = kind == "F"
        target = stage + 1 if onward else stage - 1
        if kind == "W" or not 0 <= target < len(self.stages):
            return
        source = self.stages[stage] if onward else self.stages[target]
        seconds = self.pipe.seconds("Send", source[-1].boundary_bytes)
        if self.plan.pp == 1:
            self.arrived[kind, target, batch] = rank.last or 0
            return
        stream = "onward" if onward else "back"
        sent = self._work(
            number, stream, _ps(seconds), [rank.last], "pipeline", f"send {kind}{batch}"
        )
        self.arrived[kind, target, batch] = sent

    def _update(self, number: int, rank: _Rank) -> None:
        """The optimiser waits for the last gradients; with ZeRO 1 and 2 weights are gathered."""
        units = [u for units in self.stages[number :: self.plan.pp] for u in units]
        share = self.plan.dp if self.plan.zero else 1
        barrier = self._work(number, "data", 0, [rank.last], "data", "gradients ready")
        seconds_ps = sum(unit.optimizer_ps for unit in units) // share
        done = self._work(
            number, "compute", seconds_ps, [rank.last, barrier], "optimizer", "update"
        )
        if self.plan.zero in (1, 2) and self.data.ranks > 1:
            size = sum(unit.weight_bytes for unit in units)
            gather = _ps(self._bucketed("AllGather", size))
            self._work(number, "data", gather, [done], "data", "weights gather")


def _ps(seconds: float) -> int:
    return round(seconds * _PS)
