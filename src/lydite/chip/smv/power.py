"""Power of SMV's invocations by component."""

from __future__ import annotations

from lydite.chip.smv.built import Units
from lydite.chip.smv.counts import Columns
from lydite.records import dataclass


@dataclass(frozen=True, eq=False)
class Power:
    """Power of each invocation over its own cycles, in mW; float64[invocations].

    Attributes:
        cycles: Cycles of each invocation.
        clock_hz: Clock of these cycles.
        multipliers: Dynamic power of the multipliers.
        others: Dynamic power of the other functional units and of registers.
        unit_leakage: Leakage of functional units and registers.
        memory: Dynamic power of the scratchpads; with `compat` the energy of all invocations so far
            over the cycles of this one.
        memory_leakage: Leakage of the scratchpads.
        cache: Power of the last-level cache for what the invocation moves; None with `compat`,
            which does not count it. dram: Power of the DRAM for what the invocation moves; None
            with `compat`, which does not count it. unit_area_um2: Area of the functional units of
            one accelerator.
        memory_area_um2: Area of the scratchpads of one accelerator.
        units: Functional units that the area covers.
        idle_cycles: Cycles in which no functional unit is busy.
        upsampled_cycles: Cycles that a run sampled at this level would add for iterations left out.
        compat: Whether power is accounted as in gem5-Aladdin.
        accelerators: Number of accelerators of the chip.
    """

    cycles: Columns
    clock_hz: float
    multipliers: Columns
    others: Columns
    unit_leakage: Columns
    memory: Columns
    memory_leakage: Columns
    cache: Columns | None
    dram: Columns | None
    unit_area_um2: Columns
    memory_area_um2: Columns
    units: Units
    idle_cycles: Columns
    upsampled_cycles: Columns
    compat: bool
    accelerators: int

    @property
    def seconds(self) -> Columns:
        """Duration of each invocation."""
        return self.cycles / self.clock_hz

    @property
    def units_dynamic(self) -> Columns:
        """Dynamic power of all functional units and registers."""
        return self.multipliers + self.others

    @property
    def average(self) -> Columns:
        """Power of the accelerator: units and scratchpads, without cache and DRAM."""
        return self.units_dynamic + self.unit_leakage + self.memory + self.memory_leakage

    @property
    def area_um2(self) -> Columns:
        """Area of one accelerator with the units that each invocation needs."""
        return self.unit_area_um2 + self.memory_area_um2

    @property
    def chip_area_um2(self) -> float:
        """Area of all accelerators, each with the units that its largest invocation needs."""
        return float(self.area_um2.max(initial=0.0)) * self.accelerators

    def by_component(
        self, rows: Columns | slice = slice(None), runs: Columns | float = 1.0
    ) -> dict[str, float]:
        """Energy of invocations in joules by component; leakage only while they run.

        With `compat`, the scratchpads' energy is that of the counter, which accumulates per
        invocation.

        Args:
            rows: Selection of invocations, such as `invocations.layer == 3`.
            runs: How often each of all invocations takes place.
        """
        parts = {name: getattr(self, name) for name in COMPONENTS}
        return {
            name: float((power * 1e-3 * self.seconds * runs)[rows].sum())
            for name, power in parts.items()
            if power is not None
        }


COMPONENTS = (
    "multipliers",
    "others",
    "unit_leakage",
    "memory",
    "memory_leakage",
    "cache",
    "dram",
)
"""Components of `Power`; those with `leakage` consume power without work."""
