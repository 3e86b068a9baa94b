"""The tasks of a step: the program of one rank per pipeline stage, with its dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from lydite.cluster.collectives import Group
from lydite.cluster.offload import Host
from lydite.cluster.plan import Plan
from lydite.cluster.program import (
    BEFORE,
    BEHIND,
    GROUPS,
    OWN,
    Passage,
    Program,
    Ref,
    everyone,
    left,
)
from lydite.cluster.schedules import SCHEDULES, Step, steps_of
from lydite.cluster.stages import CollectiveCall, Phase, Unit, ring_steps
from lydite.errors import InputError

_PS = 1e12


@dataclass
class _Rank:
    """A stage's program and the progress in writing it."""

    steps: list[Step]
    program: Program = field(default_factory=Program)
    place: int = 0
    last: int | None = None
    worked: list[int | None] = field(default_factory=list)
    waiting: list[Unit] = field(default_factory=list)
    sending: list[Ref] = field(default_factory=list)
    known: dict[tuple[str, int], tuple[Passage, int]] = field(default_factory=dict)

    @property
    def last_ref(self) -> Ref | None:
        """Reference to the rank's last task."""
        return None if self.last is None else (OWN, self.last)


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


class _Writer:
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
        self.host = host
        self.stages, self.plan, self.groups = stages, plan, groups
        self.training, self.detail, self.constant_s = training, detail, constant_s
        self.ranks = [_Rank(self._steps(rank)) for rank in range(plan.pp)]
        self.splits_backward = SCHEDULES.find(plan.schedule).splits_backward
        last_pass = "W" if self.splits_backward else "B"
        backward = [batch for pass_type, batch, _ in self.ranks[0].steps if pass_type == last_pass]
        self.last_batch = backward[-1] if backward else plan.micro_batches - 1
        self.arrived: dict[tuple[str, int, int], tuple[int, int]] = {}

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
                while rank.place < len(rank.steps) and self._ready(number, rank):
                    self._step(number, rank)
                    rank.place += 1
                    left_over -= 1
            if left_over == before:
                raise self._deadlock()
        for number, rank in enumerate(self.ranks):
            if self.training:
                self._update(number, rank)
            if self.constant_s:
                self._work(
                    rank, _ps(self.constant_s), [rank.last_ref], "optimizer", "step's constant"
                )
        return [rank.program for rank in self.ranks]

    def _virtual(self, rank: int, chunk: int) -> int:
        return chunk * self.plan.pp + rank

    def _needs(self, number: int, rank: _Rank) -> tuple[str, int, int] | None:
        pass_type, batch, chunk = rank.steps[rank.place]
        stage = self._virtual(number, chunk)
        if pass_type == "F" and stage > 0:
            return ("F", stage, batch)
        if pass_type == "B" and stage < len(self.stages) - 1:
            return ("B", stage, batch)
        return None

    def _ready(self, number: int, rank: _Rank) -> bool:
        needed = self._needs(number, rank)
        return needed is None or needed in self.arrived

    def _deadlock(self) -> InputError:
        waits = [
            f"stage {number} at {rank.steps[rank.place]} for {self._needs(number, rank)}"
            for number, rank in enumerate(self.ranks)
            if rank.place < len(rank.steps)
        ]
        return InputError(f"the schedule deadlocks: {'; '.join(waits[:4])}")

    def _work(
        self, rank: _Rank, duration_ps: int, after: Sequence[Ref | None], category: str, name: str
    ) -> None:
        rank.last = rank.program.add("compute", duration_ps, after, category, name)

    def _step(self, number: int, rank: _Rank) -> None:
        pass_type, batch, chunk = rank.steps[rank.place]
        needed = self._needs(number, rank)
        came = self._from(number, self.arrived[needed]) if needed is not None else None
        stage = self._virtual(number, chunk)
        ordinary = self._ordinary(pass_type, batch)
        if not (ordinary and self._as_before(rank, pass_type, batch, chunk, came)):
            self._units(rank, pass_type, batch, chunk, came, self.stages[stage])
        self._hand_on(number, rank, pass_type, stage, batch)

    def _ordinary(self, pass_type: str, batch: int) -> bool:
        """Whether a step sends no gradients and gathers no weights."""
        return self.plan.zero != 3 and (pass_type == "F" or batch != self.last_batch)

    def _as_before(
        self, rank: _Rank, pass_type: str, batch: int, chunk: int, came: Ref | None
    ) -> bool:
        """Repeat the tasks of an earlier micro-batch, if there are any; whether it did."""
        passage = rank.known.get((pass_type, chunk))
        if passage is None or rank.last is None:
            return False
        known, last = passage
        rank.last = known.again(rank.last, came, f" {pass_type}{batch}") + last
        return True

    def _units(
        self,
        rank: _Rank,
        pass_type: str,
        batch: int,
        chunk: int,
        came: Ref | None,
        units: Sequence[Unit],
    ) -> None:
        """Write the units of a step, and keep them to repeat for later micro-batches."""
        program, before = rank.program, rank.last
        start, first_dep, arrived = len(program), len(program.place), came
        for unit in units if pass_type == "F" else reversed(units):
            self._unit(rank, unit, pass_type, batch, came)
            came = None
        if (
            self._ordinary(pass_type, batch)
            and before is not None
            and rank.last is not None
            and len(program) > start
        ):
            token = f" {pass_type}{batch}"
            passage = Passage(program, start, first_dep, before, arrived, token)
            rank.known[pass_type, chunk] = passage, rank.last - start

    def _from(self, number: int, sent: tuple[int, int]) -> Ref:
        """Reference from this stage to a message that another stage sent."""
        source, place = sent
        if source == number:
            return OWN, place
        return (BEFORE if (source + 1) % self.plan.pp == number else BEHIND), place

    def _unit(self, rank: _Rank, unit: Unit, pass_type: str, batch: int, came: Ref | None) -> None:
        label = f"{unit.name} {pass_type}{batch}"
        if pass_type == "W":
            self._phase(rank, unit.weights, [], "weights", label)
            self._gradient(rank, unit, batch)
            return
        gathered = self._gather(unit, rank, label) if self.plan.zero == 3 else None
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
            self._gradient(rank, unit, batch)

    def _phase(
        self, rank: _Rank, phase: Phase, after: Sequence[Ref | None], category: str, label: str
    ) -> None:
        """Write a layer's kernels and the collectives between them."""
        if not self.detail:
            self._work(rank, phase.work_ps, [rank.last_ref, *after], category, label)
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
                self._work(rank, phase.kernels_ps[number], [rank.last_ref, *after], category, name)
                after = []
            done = max(done, until)
            if sent is not None:
                if after:  # no kernel precedes the collective that could wait instead
                    self._work(rank, 0, [rank.last_ref, *after], category, label)
                    after = []
                self._collective(rank, sent, f"{label} {sent.group}")

    def _collective(self, rank: _Rank, sent: CollectiveCall, label: str) -> None:
        """Write a collective that the next kernel waits for."""
        begin: list[Ref | None] = [rank.last_ref]
        if rank.last is not None and not self.detail:
            begin = [everyone(sent.group, rank.last)]
        rank.last = self._messages(rank, "tensor", sent, begin, label)

    def _messages(
        self,
        rank: _Rank,
        stream: str,
        sent: CollectiveCall,
        begin: Sequence[Ref | None],
        label: str,
    ) -> int:
        """Write a collective as one task, or as ring messages that each rank passes on."""
        category, add = GROUPS[sent.group], rank.program.add
        route = (sent.group, sent.kind, sent.algorithm)
        if not self.detail:
            return add(stream, sent.span_ps, begin, category, label, sent.wire_ps, route)
        spans, wires = (_parts(whole, sent.steps) for whole in (sent.span_ps, sent.wire_ps))
        after = list(begin)
        place = -1
        for number, (span, wire) in enumerate(zip(spans, wires, strict=True)):
            name = f"{label} message {number}"
            place = add(stream, span, after, category, name, min(span, wire), route)
            after = [(OWN, place), left(sent.group, place)]
        return rank.program.add(stream, 0, after, category, f"{label} arrived")

    def _gather(self, unit: Unit, rank: _Rank, label: str) -> Ref | None:
        """ZeRO-3: write the all-gather of a unit's weights, prefetched one unit ahead."""
        before = rank.worked[-2] if len(rank.worked) > 1 else None
        rank.worked.append(rank.last)
        place = None
        for group, held in unit.held.items():
            begin, (shard, _) = before, self.plan.shards(group)
            if self.host is not None and self.plan.offload == "parameters":
                size = held.bytes / self.plan.shard_count(group)
                begin = place = self._move(rank, "fetch", size, before, f"{label} fetch")
            if self.groups[shard].ranks > 1:
                place = self._exchange(
                    rank, "AllGather", shard, held.bytes, begin, f"{label} gather"
                )
        return None if place is None else (OWN, place)

    def _move(self, rank: _Rank, stream: str, size: float, after: int | None, label: str) -> int:
        """Write a transfer between device and host."""
        assert self.host is not None
        begin = [] if after is None else [(OWN, after)]
        return rank.program.add(stream, _ps(self.host.move_s(size)), begin, "host", label)

    def _exchange(
        self, rank: _Rank, kind: str, group: str, size: float, after: int | None, label: str
    ) -> int:
        """Write a collective that overlaps with computation."""
        call = self._bucketed(group, kind, size)
        begin: list[Ref | None] = []
        if after is not None:
            begin = [(OWN, after) if self.detail else everyone(group, after)]
        return self._messages(rank, "data", call, begin, label)

    def _gradient(self, rank: _Rank, unit: Unit, batch: int) -> None:
        """Send a unit's gradients after the last micro-batch (with ZeRO-3 after each)."""
        last = batch == self.last_batch
        if not (last or self.plan.zero == 3):
            return
        if self.plan.overlap or self.plan.zero == 3:
            self._send_gradient(rank, unit, rank.last, last=last)
        else:
            rank.waiting.append(unit)

    def _send_gradient(
        self, rank: _Rank, unit: Unit, after: int | None, *, last: bool = True
    ) -> None:
        """Sum a unit's gradients over the ranks that shard them, at last over copies of shards."""
        label = f"{unit.name} gradients"
        for group, held in unit.held.items():
            size, shard, copies = held.gradient_bytes, *self.plan.shards(group)
            place, kind = after, "AllReduce" if self.plan.zero == 0 else "ReduceScatter"
            if self.groups[shard].ranks > 1 and size:
                place = self._exchange(rank, kind, shard, size, after, label)
                rank.sending.append((OWN, place))
            if copies and self.groups[copies].ranks > 1 and size and last:
                part = size / self.groups[shard].ranks
                place = self._exchange(rank, "AllReduce", copies, part, place, f"{label} copies")
                rank.sending.append((OWN, place))
            if self.host is not None and size and last:
                part = size / self.plan.shard_count(group)
                place = self._move(rank, "host", part, place, f"{label} to host")
                rank.sending.append((OWN, place))

    def _bucketed(self, name: str, kind: str, size: float) -> CollectiveCall:
        """A gradient exchange: all-reduces in buckets, each with its own start-up; others whole."""
        group = self.groups[name]
        if kind != "AllReduce":
            return CollectiveCall.of(group, name, kind, size)
        full, rest = divmod(size, self.plan.bucket_bytes)
        bucket, last = group.choice(kind, self.plan.bucket_bytes), group.choice(kind, rest)
        span = _ps(full * bucket.seconds + last.seconds)
        wire = min(span, _ps(full * bucket.wire_s + last.wire_s))
        algorithm = bucket.algorithm if full else last.algorithm
        return CollectiveCall(0, name, ring_steps(kind, group.ranks), span, wire, kind, algorithm)

    def _hand_on(self, number: int, rank: _Rank, pass_type: str, stage: int, batch: int) -> None:
        onward = pass_type == "F"
        target = stage + 1 if onward else stage - 1
        if pass_type == "W" or not 0 <= target < len(self.stages):
            return
        if self.plan.pp == 1:
            self.arrived[pass_type, target, batch] = number, rank.last or 0
            return
        source = self.stages[stage] if onward else self.stages[target]
        call = CollectiveCall.of(self.groups["pp"], "pp", "Send", source[-1].boundary_bytes)
        stream = "onward" if onward else "back"
        name, route = f"send {pass_type}{batch}", (stream, "Send", "direct")
        sent = rank.program.add(
            stream, call.span_ps, [rank.last_ref], "pipeline", name, call.wire_ps, route
        )
        self.arrived[pass_type, target, batch] = number, sent

    def _update(self, number: int, rank: _Rank) -> None:
        """Write the update after the last gradients; with ZeRO 1 and 2 also gather the weights."""
        for unit in rank.waiting:
            self._send_gradient(rank, unit, rank.last)
        units = [u for units in self.stages[number :: self.plan.pp] for u in units]
        summed = sum(weights.summed_bytes for unit in units for weights in unit.held.values())
        if summed:
            label = "gradients over tensor-parallel ranks"
            place = self._exchange(rank, "AllReduce", "tp", summed, rank.last, label)
            rank.sending.append((OWN, place))
        share = self.plan.shard_count("dp") if self.plan.zero else 1
        waits = [rank.last_ref, *rank.sending]
        ready = rank.program.add("data", 0, waits, "data", "gradients ready")
        if self.host is not None:
            self._update_on_host(rank, units, ready)
        else:
            update_ps = sum(unit.optimizer.work_ps for unit in units) // share
            self._work(rank, update_ps, [(OWN, ready)], "optimizer", "update")
        if self.plan.zero in (1, 2):
            held: dict[str, float] = {}
            for unit in units:
                for group, weights in unit.held.items():
                    held[group] = held.get(group, 0.0) + weights.trained_bytes
            for group, size in held.items():
                shard, _ = self.plan.shards(group)
                if self.groups[shard].ranks > 1 and size:
                    self._exchange(rank, "AllGather", shard, size, rank.last, "weights gather")

    def _update_on_host(self, rank: _Rank, units: Sequence[Unit], ready: int) -> None:
        """Write the host's update, and the transfer of the updated weights unless they stay."""
        assert self.host is not None
        plan, program = self.plan, rank.program
        update_ps = _ps(self.host.update_s(plan, units))
        rank.last = program.add("host", update_ps, [(OWN, ready)], "optimizer", "update on host")
        if plan.offload == "optimizer":
            size = sum(
                held.trained_bytes / plan.shard_count(group)
                for unit in units
                for group, held in unit.held.items()
            )
            rank.last = self._move(rank, "fetch", size, rank.last, "weights from host")


def _parts(whole_ps: int, count: int) -> list[int]:
    """A time split into `count` parts that are as equal as whole picoseconds allow."""
    edges = np.rint(np.linspace(0, whole_ps, count + 1)).astype(np.int64)
    return np.diff(edges).tolist()


def _ps(seconds: float) -> int:
    return round(seconds * _PS)
