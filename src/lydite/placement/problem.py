"""The placement problem: units with a time on each device, and data that moves between devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """Units in topological order, devices, and what moves between them.

    A device runs one unit at a time; a transfer occupies neither of its devices.

    Attributes:
        seconds: float[units, devices], time of a unit on a device; infinite where it cannot run.
        edges: Pairs (producer, consumer) of units, the producer first in the order.
        edge_bytes: float[edges], bytes that move if both are on different devices.
        bandwidth: float[devices, devices], bytes/s from a device to another.
        latency_s: float[devices, devices], seconds of a transfer besides its bytes.
        fixed: Devices of units that cannot be moved, by unit.
        weight_bytes: float[units], bytes that a unit keeps on its device; empty for none.
        memory_bytes: float[devices], bytes that a device holds; empty for no limit.
        units, devices: Names.
    """

    seconds: Array
    edges: tuple[tuple[int, int], ...]
    edge_bytes: Array
    bandwidth: Array
    latency_s: Array
    fixed: Mapping[int, int] = field(default_factory=dict)
    weight_bytes: Array = field(default_factory=lambda: np.zeros(0))
    memory_bytes: Array = field(default_factory=lambda: np.zeros(0))
    units: Sequence[str] = ()
    devices: Sequence[str] = ()

    def __post_init__(self) -> None:
        if any(not first < second for first, second in self.edges):
            raise InputError("the units are not in topological order", where="placement")
        if not np.isfinite(self.seconds).any(axis=1).all():
            unit = int(np.flatnonzero(~np.isfinite(self.seconds).any(axis=1))[0])
            name = self.units[unit] if self.units else f"unit {unit}"
            raise InputError(f"no device can run '{name}'", where="placement")

    def __len__(self) -> int:
        return len(self.seconds)

    @cached_property
    def transfer_s(self) -> Array:
        """Seconds of each edge between each pair of devices; float[edges, devices, devices]."""
        apart = ~np.eye(self.seconds.shape[1], dtype=bool)
        moved = self.edge_bytes[:, None, None] / self.bandwidth + self.latency_s
        return np.where(apart, moved, 0.0)

    @cached_property
    def into(self) -> list[list[tuple[int, int]]]:
        """Edges into each unit, as (edge, producer)."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(len(self))]
        for edge, (first, second) in enumerate(self.edges):
            found[second].append((edge, first))
        return found

    @cached_property
    def out_of(self) -> list[list[tuple[int, int]]]:
        """Edges out of each unit, as (edge, consumer)."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(len(self))]
        for edge, (first, second) in enumerate(self.edges):
            found[first].append((edge, second))
        return found

    def allowed(self, unit: int) -> list[int]:
        """Devices on which a unit may run."""
        if unit in self.fixed:
            return [self.fixed[unit]]
        return [int(d) for d in np.flatnonzero(np.isfinite(self.seconds[unit]))]

    def fits(self, device: Sequence[int]) -> bool:
        """Whether the weights fit into the devices' memories."""
        if not self.memory_bytes.size or not self.weight_bytes.size:
            return True
        held = np.bincount(device, self.weight_bytes, minlength=self.memory_bytes.size)
        return bool((held <= self.memory_bytes).all())


@dataclass(frozen=True)
class Placement:
    """A device and a start for every unit.

    Attributes:
        device: int[units].
        start_s: float[units], earliest start in seconds.
        makespan_s: End of the last unit in seconds.
        method: What found it.
    """

    device: Array
    start_s: Array
    makespan_s: float
    method: str = ""

    @property
    def order(self) -> Array:
        """Units by start; those that start together as numbered."""
        return np.argsort(self.start_s, kind="stable")


def schedule(
    problem: Problem, device: Sequence[int], order: Sequence[int], method: str = ""
) -> Placement:
    """Earliest starts if each device runs its units in the given topological order."""
    start, end = np.zeros(len(problem)), np.zeros(len(problem))
    free = np.zeros(problem.seconds.shape[1])
    for unit in order:
        here = device[unit]
        ready = free[here]
        for edge, first in problem.into[unit]:
            ready = max(ready, end[first] + problem.transfer_s[edge, device[first], here])
        start[unit] = ready
        free[here] = end[unit] = ready + problem.seconds[unit, here]
    return Placement(np.array(device), start, float(end.max(initial=0.0)), method)
