"""Energy and area of a network on a chip, by component; modelled, never measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lydite.chip.network import ChipResult
from lydite.chip.technology import SOURCES, Technology
from lydite.hardware.chip import Chip

SCOPE = (
    "arrays, vector unit, scratchpads and DRAM; without processor, bus, clock tree and pads. "
    + "; ".join(f"{name}: {source}" for name, source in SOURCES.items())
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
    chip, node = result.chip, Technology(result.chip.node_nm)
    mac = node.mac_joules(chip.dtype)
    biggest = max((pad.bytes for pad in chip.scratchpads), default=8192)
    byte = node.sram_joules_per_byte(biggest)
    bit = chip.dram.pj_per_bit[1] * 1e-12
    products = [cost.macs * mac for cost in result.plan.costs]
    others = [0.5 * cost.vector_ops * mac for cost in result.plan.costs]
    sram = [cost.sram_bytes * byte for cost in result.plan.costs]
    dram = [8 * (cost.load_bytes + cost.store_bytes) * bit for cost in result.plan.costs]
    whole = chip.accelerators
    leakage = node.leakage_w(chip.scratchpad_bytes, chip.array.macs, chip.dtype) * whole
    parts = {
        "arrays": sum(products), "vector unit": sum(others), "scratchpads": sum(sram),
        "DRAM": sum(dram), "leakage": leakage * result.seconds,
    }  # fmt: skip
    layers = tuple(sum(each) for each in zip(products, others, sram, dram, strict=True))
    return Used(parts, layers, area_of(chip))


def area_of(chip: Chip) -> dict[str, float]:
    """Square millimetres by component."""
    node = Technology(chip.node_nm)
    each = node.mac_area_mm2(chip.dtype)
    return {
        "arrays": each * chip.array.macs * chip.accelerators,
        "vector unit": each * chip.vector.lanes * chip.accelerators,
        "scratchpads": node.sram_area_mm2(chip.scratchpad_bytes) * chip.accelerators,
    }
