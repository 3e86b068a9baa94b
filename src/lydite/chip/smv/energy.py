"""Power and area of SMV: functional units and registers, scratchpads, and the memory behind them.

    energy = operations x a unit's energy + accesses x a bank's energy + leakage x time

There are two accounting modes. `compat` is gem5-Aladdin's: a vector operation or access counts as
one of 32 bits, energy covers only the iterations that a sampled run executes although cycles cover
all, and scratchpad counters are never reset. Otherwise every lane and iteration counts, and each
invocation by itself; DRAM and the shared cache, which the original leaves out, are separate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lydite.chip.smv.array import smv_array
from lydite.chip.smv.counts import (
    LEVELS,
    Iterations,
    Units,
    accesses,
    iterations,
    kinds_of,
    sampled,
    units_built,
    units_of,
)
from lydite.chip.smv.invocations import Invocations
from lydite.chip.smv.timing import CONV, LINE, NORM, POOL, PRODUCT, cycles_of
from lydite.chip.units import ALADDIN_NM, sram_bank, unit
from lydite.errors import InputError
from lydite.hardware.chip import Chip

Columns = np.ndarray


@dataclass(frozen=True)
class Costs:
    """Costs of the iterations of one kind of kernel, beyond its multipliers.

    Attributes:
        load: Cost of a vector loaded and converted.
        store: Cost of a vector converted and stored.
        step: Cost of a step (`Iterations.steps`) in registers and adders.
        position: Cost of one of `Iterations.positions`.
        row: Cost of one of `Iterations.rows`.
        constant: Cost of an invocation.
    """

    load: float
    store: float
    step: float
    position: float = 0.0
    row: float = 0.0
    constant: float = 0.0


ENERGY_PJ: Mapping[str, Costs] = {
    CONV: Costs(2.986, 4.86, 7.334, 0.0, 16.94, 372.0),
    PRODUCT: Costs(2.986, 4.86, 9.347, 0.0, 0.0, 54.6),
    POOL: Costs(2.986, 4.86, 2.586, 0.0, 0.0, 162.0),
    NORM: Costs(2.986, 4.86, 2.586, 0.0, 0.0, 162.0),
    LINE: Costs(2.986, 4.86, 2.586, 0.0, 0.0, 162.0),
}
"""Costs fitted to gem5-Aladdin's dynamic power at 1 GHz (`benchmarks/smv.py` repeats the fit).
Loads and stores were fitted to convolutions and reused. Norms and lines have no rows: they use
pooling's costs (assumed).
"""

BUSY_CYCLES: Mapping[str, Costs] = {
    CONV: Costs(1.514, 1.515, 0.0, 3.955, 10.68, 29.2),
    PRODUCT: Costs(1.514, 1.515, 0.0, 0.995, 0.0, 34.2),
    POOL: Costs(1.514, 1.515, 1.349, 0.0, 0.0, 7.2),
    NORM: Costs(1.514, 1.515, 1.349, 0.0, 0.0, 7.2),
    LINE: Costs(1.514, 1.515, 1.349, 0.0, 0.0, 7.2),
}
"""Cycles in which any functional unit is busy; fitted likewise."""


def priced(done: Iterations, kinds: Columns, costs: Mapping[str, Costs], lanes: int = 1) -> Columns:
    """Cost of iterations by kind of kernel; a vector counts once per lane."""
    names = sorted(costs)
    at = np.searchsorted(names, kinds)
    table = {
        field: np.array([getattr(costs[name], field) for name in names])[at]
        for field in Costs.__dataclass_fields__
    }
    vectors = (
        table["load"] * done.loaded + table["store"] * done.stored + table["step"] * done.steps
    )
    rest = table["position"] * done.positions + table["row"] * done.rows + table["constant"]
    return lanes * vectors + rest


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


def power_of(
    invocations: Invocations,
    chip: Chip,
    cycles: Columns,
    *,
    level: str = "no",
    compat: bool = False,
) -> Power:
    """Power and area of invocations.

    Args:
        invocations: Invocations scheduled for the chip's sizes.
        chip: Chip with an SMV at 40 nm.
        cycles: Cycles of each invocation, modelled or measured; more than 0.
        level: SMAUG's sample level, one of `LEVELS`; changes energies only with `compat`.
        compat: Whether to account as gem5-Aladdin does.

    Raises:
        InputError: the array is not an SMV, the node has no tables of units, the level is unknown,
            or the cycles are not one positive number each.
    """
    array = smv_array(chip)
    if chip.node_nm != ALADDIN_NM:
        raise InputError(
            f"no functional units at {chip.node_nm:g} nm",
            where=f"{chip.name}: node_nm",
            allowed=f"{ALADDIN_NM}, the node of Aladdin's and CACTI's tables",
        )
    cycles = np.asarray(cycles, float)
    if cycles.shape != (len(invocations),) or not (cycles > 0).all():
        raise InputError(
            "cycles", where=f"{chip.name}: power", allowed="a number above 0 for each invocation"
        )
    built = units_of(invocations, chip, level) if compat else units_built(chip)
    leakage, area = units_cost(built, chip)
    lanes = None if compat else array.lanes
    done = iterations(invocations, chip, level if compat else "no")
    multipliers, others = _unit_energies(done, invocations, chip, lanes or 1)
    memory = _memory_pj(invocations, chip, level if compat else "no", lanes, done)
    if compat:
        memory = _running(memory, invocations.accelerator)
    cache, dram = (None, None) if compat else _beyond_pj(invocations, chip)
    nanoseconds = cycles / (chip.clock_hz * 1e-9)
    pads_leakage, pads_area = scratchpads_cost(chip)
    single = np.ones(len(invocations))
    busy = priced(done, kinds_of(invocations), BUSY_CYCLES)
    return Power(
        cycles,
        chip.clock_hz,
        multipliers / nanoseconds,
        others / nanoseconds,
        leakage * single,
        memory / nanoseconds,
        pads_leakage * single,
        None if cache is None else cache / nanoseconds,
        None if dram is None else dram / nanoseconds,
        area * single,
        pads_area * single,
        Units(*(column * single for column in built.columns.values())),
        np.maximum(0, cycles - busy),
        upsampled_cycles(invocations, chip, level),
        compat,
        chip.accelerators,
    )


def units_cost(units: Units, chip: Chip) -> tuple[Columns, Columns]:
    """Leakage in mW and area in um2 of functional units and registers.

    Units count 32-bit registers; `chip.registers_bytes` adds those that hold the kernels' arrays.
    """
    ns = 1e9 / chip.clock_hz
    bits = 32 * units.registers + 8 * chip.registers_bytes
    counted = (
        (units.multipliers, "mul"),
        (units.adders, "add"),
        (units.bitwise, "bit"),
        (units.shifters, "shift"),
        (bits, "register bit"),
    )
    parts = [(count, unit(name, ns)) for count, name in counted]
    return (
        sum((count * one.leakage_mw for count, one in parts), np.zeros(1)),
        sum((count * one.area_um2 for count, one in parts), np.zeros(1)),
    )


def scratchpads_cost(chip: Chip) -> tuple[float, float]:
    """Leakage in mW and area in um2 of an accelerator's scratchpads."""
    banks = [
        (pad.banks, sram_bank(pad.bytes / pad.banks, pad.word_bytes, pad.ports))
        for pad in chip.scratchpads
    ]
    return (
        sum(count * bank.leakage_mw for count, bank in banks),
        sum(count * bank.area_um2 for count, bank in banks),
    )


def upsampled_cycles(invocations: Invocations, chip: Chip, level: str) -> Columns:
    """Cycles of the iterations that a sampled run skips and adds at the end."""
    if level == LEVELS[0]:
        return np.zeros(len(invocations))
    whole = cycles_of(invocations, chip).loops
    return np.maximum(0, whole - cycles_of(sampled(invocations, level), chip).loops)


def _unit_energies(
    done: Iterations, invocations: Invocations, chip: Chip, lanes: int
) -> tuple[Columns, Columns]:
    """Energy in pJ of the multipliers, and of all other units and registers.

    The latter was fitted at 1 GHz; at other clocks it scales with the energy of a register.
    """
    ns = 1e9 / chip.clock_hz
    scale = unit("register bit", ns).energy_pj / unit("register bit", 1.0).energy_pj
    others = priced(done, kinds_of(invocations), ENERGY_PJ, lanes) * scale
    return done.multiplies * unit("mul", ns).energy_pj * lanes, others


def _memory_pj(
    invocations: Invocations, chip: Chip, level: str, lanes: int | None, of: Iterations
) -> Columns:
    """Energy of the scratchpads in pJ, with the largest bank representing all."""
    pads = [(pad.bytes / pad.banks, pad.word_bytes, pad.ports) for pad in chip.scratchpads]
    bank, done = sram_bank(*max(pads)), accesses(invocations, chip, level, of)
    return done.reads(lanes) * bank.read_pj + done.writes(lanes) * bank.write_pj


def _running(energy: Columns, accelerator: Columns) -> Columns:
    """Cumulative energy of the invocations of the same accelerator."""
    totals = np.zeros(len(energy))
    for index in np.unique(accelerator):
        mine = accelerator == index
        totals[mine] = np.cumsum(energy[mine])
    return totals


def _beyond_pj(invocations: Invocations, chip: Chip) -> tuple[Columns, Columns]:
    """Energy of the shared cache and DRAM in pJ: each byte moved passes both once (assumed).

    The cache is modelled as one bank of its size with words of a line; without one it costs
    nothing.
    """
    moved = invocations.input_load_bytes + invocations.weight_load_bytes + invocations.store_bytes
    dram = 8.0 * moved * chip.dram.pj_per_bit[1]
    if chip.cache is None:
        return np.zeros(len(moved)), dram
    line = chip.interface.line_bytes
    bank = sram_bank(chip.cache.bytes, line)
    loads = (moved - invocations.store_bytes) / line * bank.read_pj
    return loads + invocations.store_bytes / line * bank.write_pj, dram


_RULE = "==============================="


def aladdin_results(
    power: Power, row: int, kernel: str, program: str = "./outputs/nnet_fwd"
) -> str:
    """The results of an invocation in the format in which SMAUG prints them.

    Args:
        power: Power of all invocations.
        row: Index of the invocation.
        kernel: Name of its kernel (`Invocations.kernel_names`).
        program: Name of the program to print.
    """
    p, at = power, row
    units = [round(float(column[at])) for column in p.units.columns.values()]
    names = ("Multipliers", "Adders", "Bit-wise Operators", "Shifters", "Registers")
    milliwatts = {
        "Avg Power": p.average[at],
        "Avg FU Power": (p.units_dynamic + p.unit_leakage)[at],
        "Avg FU Dynamic Power": p.units_dynamic[at],
        "Avg FU leakage Power": p.unit_leakage[at],
        "Avg MEM Power": (p.memory + p.memory_leakage)[at],
        "Avg MEM Dynamic Power": p.memory[at],
        "Avg MEM Leakage Power": p.memory_leakage[at],
    }
    areas = {
        "Total Area": p.area_um2[at],
        "FU Area": p.unit_area_um2[at],
        "MEM Area": p.memory_area_um2[at],
    }
    powers = [f"{name}: {value:.6g} mW" for name, value in milliwatts.items()]
    idle = f"Idle FU Cycles: {round(float(p.idle_cycles[at]))} cycles"
    return "\n".join(
        [
            _RULE,
            "Aladdin Results",
            _RULE,
            f"Running : {program}",
            f"Top level function: {kernel}",
            f"Cycle : {round(float(p.cycles[at]))} cycles",
            f"Upsampled Cycle : {round(float(p.upsampled_cycles[at]))} cycles",
            powers[0],
            idle,
            *powers[1:],
            *(f"{name}: {value:.6g} uM^2" for name, value in areas.items()),
            *(f"Num of {name} (32-bit): {n}" for name, n in zip(names, units, strict=True)),
            _RULE,
            "Aladdin Results",
            _RULE,
        ]
    )
