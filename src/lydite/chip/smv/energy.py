"""Power and area of SMV: functional units and registers, scratchpads, and the memory behind them.

    energy = operations x a unit's energy + accesses x a bank's energy + leakage x time

There are two accounting modes. `compat` is gem5-Aladdin's: a vector operation or access counts as
one of 32 bits, energy covers only the iterations that a sampled run executes although cycles cover
all, and scratchpad counters are never reset. Otherwise every lane and iteration counts, and each
invocation by itself; DRAM and the shared cache, which the original leaves out, are separate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lydite.chip.smv.accesses import accesses
from lydite.chip.smv.array import smv_array
from lydite.chip.smv.built import Units, units_built, units_of
from lydite.chip.smv.counts import LEVELS, Iterations, iterations, kinds_of, sampled
from lydite.chip.smv.invocations import Invocations
from lydite.chip.smv.power import Power
from lydite.chip.smv.timing import CONV, LINE, NORM, POOL, PRODUCT, cycles_of
from lydite.chip.units import ALADDIN_NM, sram_bank, unit
from lydite.errors import InputError
from lydite.hardware.chip import Chip
from lydite.records import dataclass

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
