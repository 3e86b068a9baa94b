"""The tasks of a step: the program of one rank per pipeline stage, with its dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from lydite.cluster.collectives import Group
from lydite.cluster.exchanges import Exchanges, RankProgram, picoseconds
from lydite.cluster.offload import Host
from lydite.cluster.plan import Plan
from lydite.cluster.program import BEFORE, BEHIND, OWN, Passage, Program, Ref, everyone
from lydite.cluster.schedules import SCHEDULES, Step, steps_of
from lydite.cluster.stages import CollectiveCall, Phase, Unit
from lydite.errors import InputError


def step_programs(
    stages: Sequence[Sequence[Unit]],
    plan: Plan,
    groups: Mapping[str, Group],
    *,
    training: bool = True,
    detail: bool = False,
    constant_s: float = 0.0,
    host: Host | None = None,
) -> list[Program]:
    """The program of one rank per pipeline stage for a step.

    Args:
        stages: Units of each virtual stage.
        plan: Plan with schedule, micro-batches, ZeRO stage and bucket size.
        groups: Communication groups "dp", "edp" and, from a stage to the next, "pp".
        training: Whether the step trains; else forward passes only.
        detail: Whether every kernel and every ring message is a task of its own; else each phase
            of a layer is one task, and each collective one.
        constant_s: Constant time in seconds at the end of the step.
        host: Host that keeps and updates what the plan offloads; None where nothing is.

    Raises:
        InputError: the schedule deadlocks; the error names the stages and what they wait for.
    """
    return _Writer(stages, plan, groups, training, detail, constant_s, host).write()


class _Writer(Exchanges):
    def __init__(
        self,
        stages: Sequence[Sequence[Unit]],
        plan: Plan,
        groups: Mapping[str, Group],
        training: bool,
        detail: bool,
        constant_s: float,
        host: Host | None,
    ) -> None:
        super().__init__(stages, plan, groups, detail, host)
        self.training, self.constant_s = training, constant_s
        self.ranks = [RankProgram(self._steps(rank)) for rank in range(plan.pp)]
        self.splits_backward = SCHEDULES.find(plan.schedule).splits_backward
        last_pass = "W" if self.splits_backward else "B"
        backward = [batch for pass_type, batch, _ in self.ranks[0].steps if pass_type == last_pass]
        self.last_batch = backward[-1] if backward else plan.micro_batches - 1
        self.arrived: dict[tuple[str, int, int], tuple[int, int]] = {}
        self.sends: dict[int, CollectiveCall] = {}

    def _steps(self, rank: int) -> list[Step]:
        plan = self.plan
        steps = steps_of(plan.schedule, rank, plan.pp, plan.micro_batches, plan.chunks)
        return steps if self.training else [step for step in steps if step[0] == "F"]

    def write(self) -> list[Program]:
        """Write all programs, advancing each rank in turn as far as its dependencies exist."""
        left_over = sum(len(rank.steps) for rank in self.ranks)
        while left_over:
            before = left_over
            for number, rank in enumerate(self.ranks):
                while rank.place < len(rank.steps):
                    needed = self._needs(number, rank)
                    if needed is not None and needed not in self.arrived:
                        break
                    self._step(number, rank, needed)
                    rank.place += 1
                    left_over -= 1
            if left_over == before:
                raise self._deadlock()
        for number, rank in enumerate(self.ranks):
            if self.training:
                self.update(number, rank)
            if self.constant_s:
                self.work(
                    rank,
                    picoseconds(self.constant_s),
                    [rank.last_ref],
                    "optimizer",
                    "step's constant",
                )
        return [rank.program for rank in self.ranks]

    def _virtual(self, rank: int, chunk: int) -> int:
        return chunk * self.plan.pp + rank

    def _needs(self, number: int, rank: RankProgram) -> tuple[str, int, int] | None:
        """What a rank's next step waits for: the pass, stage and batch of another step."""
        pass_type, batch, chunk = rank.steps[rank.place]
        stage = self._virtual(number, chunk)
        if pass_type == "F" and stage > 0:
            return ("F", stage, batch)
        if pass_type == "B" and stage < len(self.stages) - 1:
            return ("B", stage, batch)
        return None

    def _deadlock(self) -> InputError:
        waits = [
            f"stage {number} at {rank.steps[rank.place]} for {self._needs(number, rank)}"
            for number, rank in enumerate(self.ranks)
            if rank.place < len(rank.steps)
        ]
        return InputError(f"the schedule deadlocks: {'; '.join(waits[:4])}")

    def _step(self, number: int, rank: RankProgram, needed: tuple[str, int, int] | None) -> None:
        pass_type, batch, chunk = rank.steps[rank.place]
        came = self._from(number, self.arrived[needed]) if needed is not None else None
        stage = self._virtual(number, chunk)
        place = None
        if self._ordinary(pass_type, batch):
            place = self._as_before(rank, pass_type, batch, chunk, came)
        if place is None:
            place = self._units(rank, pass_type, batch, chunk, came, stage)
        target = self._target(pass_type, stage)
        if target is not None:
            self.arrived[pass_type, target, batch] = number, place

    def _target(self, pass_type: str, stage: int) -> int | None:
        """The virtual stage that goes on with what a step makes; None after the last."""
        if pass_type == "W":
            return None
        target = stage + 1 if pass_type == "F" else stage - 1
        return target if 0 <= target < len(self.stages) else None

    def _ordinary(self, pass_type: str, batch: int) -> bool:
        """Whether a step sends no gradients and gathers no weights."""
        return self.plan.zero != 3 and (pass_type == "F" or batch != self.last_batch)

    def _as_before(
        self, rank: RankProgram, pass_type: str, batch: int, chunk: int, came: Ref | None
    ) -> int | None:
        """Repeat the tasks of an earlier micro-batch, if there are any; see `_units`."""
        passage = rank.known.get((pass_type, chunk))
        if passage is None or rank.last is None:
            return None
        known, last, place = passage
        start = known.again(rank.last, came, f" {pass_type}{batch}")
        rank.last = start + last
        return start + place

    def _units(
        self,
        rank: RankProgram,
        pass_type: str,
        batch: int,
        chunk: int,
        came: Ref | None,
        stage: int,
    ) -> int:
        """Write the tasks of a step, and keep them to repeat for later micro-batches.

        Returns:
            Position of the task that the next stage waits for.
        """
        program, before, units = rank.program, rank.last, self.stages[stage]
        start, first_dep, arrived = len(program), len(program.whom), came
        for unit in units if pass_type == "F" else reversed(units):
            self._unit(rank, unit, pass_type, batch, came)
            came = None
        place = self._send(rank, pass_type, stage, batch)
        if (
            self._ordinary(pass_type, batch)
            and before is not None
            and rank.last is not None
            and len(program) > start
        ):
            token = f" {pass_type}{batch}"
            passage = Passage(program, start, first_dep, before, arrived, token)
            rank.known[pass_type, chunk] = passage, rank.last - start, place - start
        return place

    def _from(self, number: int, sent: tuple[int, int]) -> Ref:
        """Reference from this stage to a message that another stage sent."""
        source, place = sent
        if source == number:
            return OWN, place
        return (BEFORE if (source + 1) % self.plan.pp == number else BEHIND), place

    def _unit(
        self, rank: RankProgram, unit: Unit, pass_type: str, batch: int, came: Ref | None
    ) -> None:
        label = f"{unit.name} {pass_type}{batch}"
        if pass_type == "W":
            self._phase(rank, unit.weights, [], "weights", label)
            self.gradient(rank, unit, batch)
            return
        gathered = self.gather(unit, rank, label) if self.plan.zero == 3 else None
        waits = [came, gathered]
        if pass_type == "F":
            self._phase(rank, unit.forward, waits, "forward", label)
            return
        if unit.recompute.work_ps:
            self._phase(rank, unit.recompute, waits, "recompute", f"{label} again")
            waits = []
        self._phase(rank, unit.data, waits, "backward", label)
        if not self.splits_backward:
            self._phase(rank, unit.weights, [], "weights", f"{label} weights")
            self.gradient(rank, unit, batch)

    def _phase(
        self,
        rank: RankProgram,
        phase: Phase,
        after: Sequence[Ref | None],
        category: str,
        label: str,
    ) -> None:
        """Write a layer's kernels and the collectives between them."""
        if not self.detail:
            self.work(rank, phase.work_ps, [rank.last_ref, *after], category, label)
            for group in {call.group: None for call in phase.sent}:
                calls = [call for call in phase.sent if call.group == group]
                whole = reduce(CollectiveCall.and_then, calls)
                self._collective(rank, whole, f"{label} {group}")
            return
        done = 0
        for sent in (*phase.sent, None):
            until = len(phase.kernels_ps) if sent is None else sent.after
            for number in range(done, until):
                name = f"{label} kernel {number}"
                self.work(rank, phase.kernels_ps[number], [rank.last_ref, *after], category, name)
                after = []
            done = max(done, until)
            if sent is not None:
                if after:  # no kernel precedes the collective that could wait instead
                    self.work(rank, 0, [rank.last_ref, *after], category, label)
                    after = []
                self._collective(rank, sent, f"{label} {sent.group}")

    def _collective(self, rank: RankProgram, sent: CollectiveCall, label: str) -> None:
        """Write a collective that the next kernel waits for."""
        begin: list[Ref | None] = [rank.last_ref]
        if rank.last is not None and not self.detail:
            begin = [everyone(sent.group, rank.last)]
        rank.last = self.messages(rank, "tensor", sent, begin, label)

    def _send(self, rank: RankProgram, pass_type: str, stage: int, batch: int) -> int:
        """Send what a step made to another rank, if one goes on with it.

        Returns:
            Position of the task that the next stage waits for.
        """
        target = self._target(pass_type, stage)
        if target is None or self.plan.pp == 1:
            return rank.last or 0
        source = min(stage, target)
        call = self.sends.get(source)
        if call is None:
            size = self.stages[source][-1].boundary_bytes
            call = self.sends[source] = CollectiveCall.of(self.groups["pp"], "pp", "Send", size)
        stream = "onward" if pass_type == "F" else "back"
        name, route = f"send {pass_type}{batch}", (stream, "Send", "direct")
        return rank.program.add(
            stream, call.span_ps, [rank.last_ref], "pipeline", name, call.wire_ps, route
        )
