"""Energy and area of a network on a chip, by component; modelled, never measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lydite.chip.plan import LayerCost
from lydite.chip.result import ChipResult
from lydite.chip.smv.counts import units_built
from lydite.chip.smv.energy import Power, power_of, scratchpads_cost, units_cost
from lydite.chip.smv.invocations import Invocations
from lydite.chip.technology import SOURCES, Technology
from lydite.chip.units import ALADDIN_NM
from lydite.errors import InputError
from lydite.hardware.chip import Chip

SCOPE = (
    "arrays, vector unit, scratchpads, hits in the cache and DRAM; without processor, bus, clock "
    "tree and pads. " + "; ".join(f"{name}: {source}" for name, source in SOURCES.items())
)


SMV_SCOPE = (
    "functional units, registers, scratchpads, cache and DRAM; without processor and bus. "
    "gem5-Aladdin's tables at 40 nm and CACTI's bank, every lane counted"
)


@dataclass(frozen=True)
class Used:
    """What a run used, and what the chip takes.

    Attributes:
        by_component_j: energy; together `joules`.
        by_layer_j: energy of each layer without leakage.
        area_by_component_mm2: silicon, without processor and pads; together `area_mm2`.
        scope: what is in it, and where the constants come from.
    """

    by_component_j: Mapping[str, float]
    by_layer_j: tuple[float, ...]
    area_by_component_mm2: Mapping[str, float]
    scope: str = SCOPE

    @property
    def joules(self) -> float:
        """Of the whole run."""
        return sum(self.by_component_j.values())

    @property
    def area_mm2(self) -> float:
        """Of all components."""
        return sum(self.area_by_component_mm2.values())


def energy_of(result: ChipResult) -> Used:
    """Energy by component and layer, and area.

    Multiply-adds and vector operations at the chip's data type and node; bytes between arrays and
    scratchpads at the scratchpads' size; bytes to and from memory at the DRAM's likely energy;
    leakage of scratchpads and arrays over the whole run.
    """
    inv = result.plan.invocations
    if isinstance(inv, Invocations) and result.chip.node_nm == ALADDIN_NM:
        return _of_smv(result)
    each = [layer_joules(result.chip, cost) for cost in result.plan.costs]
    parts = {name: sum(one[name] for one in each) for name in _PARTS}
    parts["leakage"] = leakage_w(result.chip) * result.seconds
    layers = tuple(sum(one.values()) for one in each)
    return Used(parts, layers, area_of(result.chip))


_PARTS = ("arrays", "vector unit", "scratchpads", "cache", "DRAM")


def layer_joules(chip: Chip, cost: LayerCost) -> dict[str, float]:
    """Energy of a layer by component, without leakage."""
    node = Technology(chip.node_nm)
    mac = node.mac_joules(chip.dtype)
    biggest = max((pad.bytes for pad in chip.scratchpads), default=8192)
    byte = node.sram_joules_per_byte(biggest)
    line = node.sram_joules_per_byte(chip.cache.bytes) if chip.cache is not None else 0.0
    bit = chip.dram.pj_per_bit[1] * 1e-12
    each = (
        cost.macs * mac,
        0.5 * cost.vector_ops * mac,
        cost.sram_bytes * byte,
        cost.hit_bytes * line,
        8 * (cost.load_bytes - cost.hit_bytes + cost.store_bytes) * bit,
    )
    return dict(zip(_PARTS, each, strict=True))


def leakage_w(chip: Chip) -> float:
    """Of scratchpads and arrays, of all accelerators."""
    node = Technology(chip.node_nm)
    each = node.leakage_w(chip.scratchpad_bytes, chip.array.macs, chip.dtype)
    return each * chip.accelerators


def figures_of(result: ChipResult) -> dict[str, float]:
    """Time, utilisation, energy, mean power and area of a run, units in the names."""
    used = energy_of(result)
    return {
        "seconds": result.seconds,
        "utilisation": result.utilisation,
        "energy_j": used.joules,
        "power_w": used.joules / result.seconds if result.seconds else 0.0,
        "area_mm2": used.area_mm2,
    }


def smv_power(result: ChipResult, *, level: str = "no", compat: bool = False) -> Power:
    """Power of each invocation of a network on SMV; see `lydite.chip.smv.energy.power_of`.

    Raises:
        InputError: the chip has no SMV, or no tables of units for its node.
    """
    inv = result.plan.invocations
    if not isinstance(inv, Invocations):
        raise InputError("has no SMV", where=result.chip.name)
    cycles = result.plan.invocation_cycles
    assert cycles is not None
    return power_of(inv, result.chip, cycles, level=level, compat=compat)


def _of_smv(result: ChipResult) -> Used:
    """By functional units, scratchpads, cache and DRAM, as the invocations use them."""
    power = smv_power(result)
    parts = dict(power.by_component())
    running = parts.pop("unit_leakage", 0.0) + parts.pop("memory_leakage", 0.0)
    own = power.seconds.sum()
    parts["leakage"] = running / own * result.seconds * result.chip.accelerators if own else 0.0
    names = {
        "multipliers": "arrays",
        "others": "registers and adders",
        "memory": "scratchpads",
        "cache": "cache",
        "dram": "DRAM",
    }
    dynamic = [
        (
            power.units_dynamic
            + power.memory
            + sum((one for one in (power.cache, power.dram) if one is not None), np.zeros(1))
        )
        * 1e-3
        * power.seconds
    ]
    layers = np.bincount(result.plan.jobs.layer, dynamic[0], len(result.plan.costs))
    chip = result.chip
    areas = {
        "arrays": float(units_cost(units_built(chip), chip)[1][0]),
        "scratchpads": scratchpads_cost(chip)[1],
    }
    whole = {name: 1e-6 * area * chip.accelerators for name, area in areas.items()}
    energies = {names.get(name, name): joules for name, joules in parts.items()}
    return Used(energies, tuple(layers.tolist()), whole, SMV_SCOPE)


def area_of(chip: Chip) -> dict[str, float]:
    """Square millimetres by component."""
    node = Technology(chip.node_nm)
    each = node.mac_area_mm2(chip.dtype)
    lanes = 0 if chip.has_smv else chip.vector.lanes
    return {
        "arrays": each * chip.array.macs * chip.accelerators,
        "vector unit": each * lanes * chip.accelerators,
        "scratchpads": node.sram_area_mm2(chip.scratchpad_bytes) * chip.accelerators,
    }
