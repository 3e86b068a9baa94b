"""Messages of a rank's program: gathers of weights, sums of gradients; and the update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from lydite.cluster.collectives import Group
from lydite.cluster.offload import Host
from lydite.cluster.plan import Plan
from lydite.cluster.program import GROUPS, OWN, Passage, Program, Ref, everyone, left
from lydite.cluster.schedules import Step
from lydite.cluster.stages import CollectiveCall, Unit, ring_steps
from lydite.records import dataclass

_PS = 1e12


@dataclass
class RankProgram:
    """A stage's program and the progress in writing it."""

    steps: list[Step]
    program: Program = field(default_factory=Program)
    place: int = 0
    last: int | None = None
    exchanged: int | None = None
    worked: list[int | None] = field(default_factory=list)
    waiting: list[Unit] = field(default_factory=list)
    sending: list[Ref] = field(default_factory=list)
    known: dict[tuple[str, int], tuple[Passage, int, int]] = field(default_factory=dict)

    @property
    def last_ref(self) -> Ref | None:
        """Reference to the rank's last task."""
        return None if self.last is None else (OWN, self.last)


class Exchanges:
    """Writes what ranks exchange into their programs, and the update that follows.

    Args:
        stages, plan, groups, detail, host: As for `lydite.cluster.tasks.step_programs`.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Unit]],
        plan: Plan,
        groups: Mapping[str, Group],
        detail: bool,
        host: Host | None,
    ) -> None:
        self.stages, self.plan, self.groups = stages, plan, groups
        self.detail, self.host = detail, host
        self.last_batch = plan.micro_batches - 1

    def work(
        self,
        rank: RankProgram,
        duration_ps: int,
        after: Sequence[Ref | None],
        category: str,
        name: str,
    ) -> None:
        """Write a kernel, or several as one task."""
        rank.last = rank.program.add("compute", duration_ps, after, category, name)

    def messages(
        self,
        rank: RankProgram,
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

    def gather(self, unit: Unit, rank: RankProgram, label: str) -> Ref | None:
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

    def _move(
        self, rank: RankProgram, stream: str, size: float, after: int | None, label: str
    ) -> int:
        """Write a transfer between device and host."""
        assert self.host is not None
        begin = [] if after is None else [(OWN, after)]
        return rank.program.add(stream, picoseconds(self.host.move_s(size)), begin, "host", label)

    def _exchange(
        self, rank: RankProgram, kind: str, group: str, size: float, after: int | None, label: str
    ) -> int:
        """Write a collective that overlaps with computation."""
        call = self._bucketed(group, kind, size)
        begin: list[Ref | None] = []
        if after is not None:
            begin = [(OWN, after) if self.detail else everyone(group, after)]
        if self.plan.zero != 3 and rank.exchanged is not None:
            begin.append((OWN, rank.exchanged))  # one after the other, as written
        rank.exchanged = self.messages(rank, "data", call, begin, label)
        return rank.exchanged

    def gradient(self, rank: RankProgram, unit: Unit, batch: int) -> None:
        """Send a unit's gradients after the last micro-batch (with ZeRO-3 after each)."""
        last = batch == self.last_batch
        if not (last or self.plan.zero == 3):
            return
        if self.plan.overlap or self.plan.zero == 3:
            self._send_gradient(rank, unit, rank.last, last=last)
        else:
            rank.waiting.append(unit)

    def _send_gradient(
        self, rank: RankProgram, unit: Unit, after: int | None, *, last: bool = True
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
        span = picoseconds(full * bucket.seconds + last.seconds)
        wire = min(span, picoseconds(full * bucket.wire_s + last.wire_s))
        algorithm = bucket.algorithm if full else last.algorithm
        return CollectiveCall(0, name, ring_steps(kind, group.ranks), span, wire, kind, algorithm)

    def update(self, number: int, rank: RankProgram) -> None:
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
        update_ps = sum(unit.optimizer.work_ps for unit in units) // share
        if self.host is not None:
            self._update_on_host(rank, units, ready, update_ps)
        else:
            self.work(rank, update_ps, [(OWN, ready)], "optimizer", "update")
        if self.plan.zero in (1, 2):
            held: dict[str, float] = {}
            for unit in units:
                for group, weights in unit.held.items():
                    held[group] = held.get(group, 0.0) + weights.trained_bytes
            for group, size in held.items():
                shard, _ = self.plan.shards(group)
                if self.groups[shard].ranks > 1 and size:
                    self._exchange(rank, "AllGather", shard, size, rank.last, "weights gather")

    def _update_on_host(
        self, rank: RankProgram, units: Sequence[Unit], ready: int, device_ps: int
    ) -> None:
        """Write the host's update, and the transfer of the updated weights unless they stay.

        Where states are few, the update takes as long as on the device: each has its launches.
        """
        assert self.host is not None
        plan, program = self.plan, rank.program
        update_ps = max(device_ps, picoseconds(self.host.update_s(plan, units)))
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


def picoseconds(seconds: float) -> int:
    """A time in whole picoseconds."""
    return round(seconds * _PS)
