"""Power and area of SMV: functional units and registers, scratchpads, and the memory behind them.

    energy = operations x a unit's energy + accesses x a bank's energy + leakage x time

Two ways to account. `compat` is gem5-Aladdin's: a vector operation or access counts as one of 32
bits, energy is that of the iterations that a sampled run executes though cycles are of all, and
scratchpad counters are never reset. Otherwise every lane counts, every iteration, and each
invocation by itself; DRAM and the shared cache, which the original leaves out, are stated apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lydite.chip.smv.array import smv_array
from lydite.chip.smv.counts import (
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
    """What iterations of one kind of kernel cost beyond its multipliers.

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
"""Fitted to gem5-Aladdin's dynamic power at 1 GHz (`benchmarks/smv.py` fits them again); loads and
stores to convolutions, and taken over. Norms and lines have no rows: pooling's (assumed)."""

BUSY_CYCLES: Mapping[str, Costs] = {
    CONV: Costs(1.514, 1.515, 0.0, 3.955, 10.68, 29.2),
    PRODUCT: Costs(1.514, 1.515, 0.0, 0.995, 0.0, 34.2),
    POOL: Costs(1.514, 1.515, 1.349, 0.0, 0.0, 7.2),
    NORM: Costs(1.514, 1.515, 1.349, 0.0, 0.0, 7.2),
    LINE: Costs(1.514, 1.515, 1.349, 0.0, 0.0, 7.2),
}
"""Cycles in which any functional unit works: fitted likewise."""


def priced(done: Iterations, kinds: Columns, costs: Mapping[str, Costs], lanes: int = 1) -> Columns:
    """Price of iterations by kind of kernel; a vector counts once for each lane."""
    table = {
        name: np.array([getattr(costs[kind], name) for kind in kinds])
        for name in Costs.__dataclass_fields__
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
            where nobody counts it.
        dram: Power of the DRAM for what the invocation moves; None with `compat`, where nobody
            counts it.
        unit_area_um2: Area of the functional units of one accelerator.
        memory_area_um2: Area of the scratchpads of one accelerator.
        units: Functional units that the area is of.
        idle_cycles: Cycles without any functional unit at work.
        upsampled_cycles: Cycles that a run sampled at this level would add for iterations left out.
        compat: Whether power is accounted as gem5-Aladdin does.
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
        """Area of one accelerator, as each invocation has it."""
        return self.unit_area_um2 + self.memory_area_um2

    @property
    def chip_area_um2(self) -> float:
        """Area of all accelerators, each with the units that its largest invocation needs."""
        return float(self.area_um2.max(initial=0.0)) * self.accelerators

    def by_component(self, rows: Columns | slice = slice(None)) -> dict[str, float]:
        """Energy of invocations in J, by what it goes to; leakage while they run only.

        With `compat` the scratchpads' is the counter's, which each invocation adds up anew.

        Args:
            rows: which of them, such as `invocations.layer == 3`.
        """
        parts = {name: getattr(self, name) for name in COMPONENTS}
        return {
            name: float((power * 1e-3 * self.seconds)[rows].sum())
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
"""What `Power` tells apart; those with `leakage` go on without work."""


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
        invocations: of the chip's sizes.
        chip: its array is an SMV's, its node 40 nm.
        cycles: of each, as timed or as measured; more than 0.
        level: SMAUG's sample level, `LEVELS`. It changes energies with `compat` only.
        compat: account as gem5-Aladdin does.

    Raises:
        InputError: another array, a node without tables of units, another level, or cycles that
            are not positive or not one number each.
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
    memory = _memory_pj(invocations, chip, level if compat else "no", lanes)
    if compat:
        memory = _running(memory, invocations.accelerator)
    cache, dram = (None, None) if compat else _beyond_pj(invocations, chip)
    nanoseconds = cycles / (chip.clock_hz * 1e-9)
    pads_leakage, pads_area = scratchpads_cost(chip)
    one = np.ones(len(invocations))
    busy = priced(done, kinds_of(invocations), BUSY_CYCLES)
    return Power(
        cycles,
        chip.clock_hz,
        multipliers / nanoseconds,
        others / nanoseconds,
        leakage * one,
        memory / nanoseconds,
        pads_leakage * one,
        None if cache is None else cache / nanoseconds,
        None if dram is None else dram / nanoseconds,
        area * one,
        pads_area * one,
        Units(*(column * one for column in built.columns.values())),
        np.maximum(0, cycles - busy),
        upsampled_cycles(invocations, chip, level),
        compat,
        chip.accelerators,
    )


def units_cost(units: Units, chip: Chip) -> tuple[Columns, Columns]:
    """Leakage in mW and area in um2 of functional units and registers.

    Registers are of 32 bits, and `chip.registers_bytes` more hold the kernels' small arrays.
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
    """Cycles of the iterations that a sampled run leaves out and adds at the end."""
    whole = cycles_of(invocations, chip).loops
    return np.maximum(0, whole - cycles_of(sampled(invocations, level), chip).loops)


def _unit_energies(
    done: Iterations, invocations: Invocations, chip: Chip, lanes: int
) -> tuple[Columns, Columns]:
    """Energy in pJ of multipliers, and of everything else.

    What else is was fitted at 1 GHz; at other clocks it scales with a register's energy.
    """
    ns = 1e9 / chip.clock_hz
    scale = unit("register bit", ns).energy_pj / unit("register bit", 1.0).energy_pj
    others = priced(done, kinds_of(invocations), ENERGY_PJ, lanes) * scale
    return done.multiplies * unit("mul", ns).energy_pj * lanes, others


def _memory_pj(invocations: Invocations, chip: Chip, level: str, lanes: int | None) -> Columns:
    """Energy of the scratchpads in pJ; all are alike, so the largest bank stands for them."""
    pads = [(pad.bytes / pad.banks, pad.word_bytes, pad.ports) for pad in chip.scratchpads]
    bank, done = sram_bank(*max(pads)), accesses(invocations, chip, level)
    return done.reads(lanes) * bank.read_pj + done.writes(lanes) * bank.write_pj


def _running(energy: Columns, accelerator: Columns) -> Columns:
    """Energy of all invocations of the same accelerator so far."""
    found = np.zeros(len(energy))
    for index in np.unique(accelerator):
        mine = accelerator == index
        found[mine] = np.cumsum(energy[mine])
    return found


def _beyond_pj(invocations: Invocations, chip: Chip) -> tuple[Columns, Columns]:
    """Energy of the shared cache and of DRAM in pJ: each byte moved passes both once (assumed).

    The cache is taken for one bank of its size and of a line's width; without one it costs nothing.
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
    """An invocation as SMAUG prints it.

    Args:
        power: of all.
        row: which of them.
        kernel: its name (`Invocations.kernel_names`).
        program: what the run is called.
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
