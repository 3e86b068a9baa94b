"""The result of simulating a network on a chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property

from lydite.chip.dataflow import Dataflow, dataflow_of
from lydite.chip.plan import ChipPlan
from lydite.chip.soc_jobs import SocResult
from lydite.chip.stalls import stalls_of
from lydite.graph.passes import OpenBody
from lydite.hardware.chip import Chip
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.units import format_seconds


@dataclass(frozen=True, eq=False, repr=False)
class ChipRun(OneLine):
    """Simulation of a network on a chip.

    Attributes:
        model: Name of the network.
        chip: Chip on which it ran.
        plan: Layers and invocations.
        soc: Simulation of the system; None if only the array was simulated.
        seconds: Latency of the network on the system, or on the accelerators alone.
        threads: Number of processor threads that copy tiles.
        input_shapes: Shape of each input of the network, by name.
        open: Control flow that is counted as less than it may be.
    """

    model: str
    chip: Chip
    plan: ChipPlan
    soc: SocResult | None
    seconds: float
    threads: int = 1
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    open: tuple[OpenBody, ...] = ()

    @property
    def is_least(self) -> bool:
        """Whether the network takes at least `seconds`: not all of its work is known."""
        return bool(self.open or self.plan.unknown)

    @property
    def batch(self) -> int | None:
        """First size of all inputs; None where they differ in it."""
        sizes = {shape[0] for shape in self.input_shapes.values() if shape}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def dataflow(self) -> Dataflow:
        """The dataflow of the chip's array."""
        return dataflow_of(self.chip)

    @property
    def cycles(self) -> float:
        """Latency in accelerator cycles."""
        return self.seconds * self.chip.clock_hz

    @property
    def macs(self) -> float:
        """Number of multiply-accumulates of the network."""
        return sum(cost.macs for cost in self.plan.costs)

    @property
    def utilisation(self) -> float:
        """Multiply-accumulates over the maximum of all arrays in the same time."""
        peak = self.chip.array.macs * self.chip.accelerators * self.cycles
        return self.macs / peak if peak else 0.0

    def stalls(self) -> Sequence[Mapping[str, float]]:
        """Cycles of each layer's span by activity or stall, from `stalls_of`.

        Without the system: cycles of the accelerator alone, by part.
        """
        return self._stalls

    @cached_property
    def _stalls(self) -> Sequence[Mapping[str, float]]:
        if self.soc is None:
            return [dict(cost.cycles) for cost in self.plan.costs]
        found = stalls_of(self.plan, self.chip, self.soc)
        return [
            {name: int(runs) * cycles for name, cycles in each.items()} if runs > 1 else each
            for each, runs in zip(found, self.plan.runs, strict=True)
        ]

    def by_part(self) -> Mapping[str, float]:
        """Sum of `stalls` over all layers."""
        parts: dict[str, float] = {}
        for layer in self.stalls():
            for name, cycles in layer.items():
                parts[name] = parts.get(name, 0.0) + cycles
        return parts

    def headline(self) -> str:
        """Time and cycles."""
        time = format_seconds(self.seconds)
        time = f"at least {time}" if self.is_least else time
        return f"{self.model} on {self.chip.name}: {time}, {self.cycles:,.0f} cycles, simulated"
