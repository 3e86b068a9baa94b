"""Energy and area of a network on a chip, by component; modelled, never measured."""

from __future__ import annotations

from collections.abc import Mapping

from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.plan import ChipPlan, LayerCost
from lydite.chip.technology import SOURCES, Technology
from lydite.hardware.chip import Chip
from lydite.records import dataclass

SCOPE = (
    "arrays, vector unit, scratchpads, cache hits, DRAM with its standby (assumed) and its PHYs "
    "(LLMCompass); without processor, bus, clock tree and other pads. "
    + "; ".join(f"{name}: {source}" for name, source in SOURCES.items())
)


@dataclass(frozen=True)
class Used:
    """Energy of a run and area of its chip.

    Attributes:
        by_component_j: Energy in joules by component; the sum is `joules`.
        by_layer_j: Energy in joules of each layer, without leakage.
        area_by_component_mm2: Silicon area by component, without processor and pads; the sum is
            `area_mm2`.
        scope: What is included, and where the constants come from.
    """

    by_component_j: Mapping[str, float]
    by_layer_j: tuple[float, ...]
    area_by_component_mm2: Mapping[str, float]
    scope: str = SCOPE

    @property
    def joules(self) -> float:
        """Energy of the whole run in joules."""
        return sum(self.by_component_j.values())

    @property
    def area_mm2(self) -> float:
        """Area of all components."""
        return sum(self.area_by_component_mm2.values())


def modelled_energy(plan: ChipPlan, chip: Chip, seconds: float) -> Used:
    """Energy and area from the tables of the chip's node, for any kind of array.

    Multiply-adds and vector operations cost the energy of the chip's data type and node; bytes
    between arrays and scratchpads that of the scratchpads' size; bytes inside processing elements
    that of their memories' size; bytes to and from memory the DRAM's likely energy. Memories and
    arrays leak during the whole run.

    Args:
        plan: Mapped network.
        chip: Chip on which it ran.
        seconds: Duration of the run.
    """
    prices = _prices(chip)
    each = [_spent(chip, cost, prices) for cost in plan.costs]
    parts = {name: sum(joules[name] for joules in each) for name in _parts(chip)}
    parts["leakage"] = leakage_w(chip) * seconds
    parts["DRAM standby"] = standby_w(chip) * seconds
    layers = tuple(sum(joules.values()) for joules in each)
    return Used(parts, layers, area_of(chip))


_PARTS = ("arrays", "vector unit", "scratchpads", "cache", "DRAM")
_LOCAL = "PE scratchpads"
"""Component of the memories inside processing elements, for arrays that have them."""


def _parts(chip: Chip) -> tuple[str, ...]:
    return (*_PARTS, _LOCAL) if chip.array.local_words else _PARTS


def _local_bytes(chip: Chip) -> int:
    """Bytes of memory in one processing element."""
    return chip.array.local_words * ELEMENT_BYTES[chip.dtype]


def layer_joules(chip: Chip, cost: LayerCost) -> dict[str, float]:
    """Energy of a layer in joules by component, without leakage."""
    return _spent(chip, cost, _prices(chip))


@dataclass(frozen=True, slots=True)
class _Prices:
    """Joules of a multiply-add, of a byte of each memory, and of a bit of DRAM."""

    mac: float
    scratchpad_byte: float
    cache_byte: float
    local_byte: float
    dram_bit: float


def _prices(chip: Chip) -> _Prices:
    node = Technology(chip.node_nm)
    biggest = max((pad.bytes for pad in chip.scratchpads), default=8192)
    return _Prices(
        node.mac_joules(chip.dtype),
        node.sram_joules_per_byte(biggest),
        node.sram_joules_per_byte(chip.cache.bytes) if chip.cache is not None else 0.0,
        node.sram_joules_per_byte(_local_bytes(chip)) if chip.array.local_words else 0.0,
        chip.dram.pj_per_bit[1] * 1e-12,
    )


def _spent(chip: Chip, cost: LayerCost, of: _Prices) -> dict[str, float]:
    each = (
        cost.macs * of.mac,
        0.5 * cost.vector_ops * of.mac,
        cost.sram_bytes * of.scratchpad_byte,
        cost.hit_bytes * of.cache_byte,
        8 * (cost.load_bytes - cost.hit_bytes + cost.store_bytes) * of.dram_bit,
    )
    parts: dict[str, float] = dict(zip(_PARTS, each, strict=True))
    if chip.array.local_words:
        parts[_LOCAL] = cost.local_bytes * of.local_byte
    return parts


def leakage_w(chip: Chip) -> float:
    """Leakage power of the memories and arrays of all accelerators, in watts."""
    node = Technology(chip.node_nm)
    memories = chip.scratchpad_bytes + _local_bytes(chip) * chip.array.elements
    each = node.leakage_w(memories, chip.array.macs, chip.dtype)
    return each * chip.accelerators


STANDBY = 0.1
"""Power of DRAM that only stands by, as a share of its power at full rate (assumed; eight DDR4
devices at 40 mA and 1.2 V are 0.4 W, their full rate 3 W)."""

PHY_MM2_PER_BYTES_PER_S = {"hbm": 10.45 / 460.8e9, "": 1.45 / 19.2e9}
"""Area of the memory's PHYs on the chip, by the beginning of the memory's name.

Source: LLMCompass's cost model (Zhang et al., ISCA 2024): 10.45 mm2 for a stack of HBM2E, 1.45 mm2
for 32 bits of DDR5, here at 4,800 MT/s. Analog circuits hardly shrink with the node.
"""


def standby_w(chip: Chip) -> float:
    """Power of DRAM that moves nothing, in watts: it grows with the bandwidth at the pins."""
    return STANDBY * 8 * chip.dram.pins_bytes_per_s * chip.dram.pj_per_bit[1] * 1e-12


def phy_mm2(chip: Chip) -> float:
    """Area of the memory's PHYs in mm2."""
    kind = "hbm" if chip.dram.name.lower().startswith("hbm") else ""
    return PHY_MM2_PER_BYTES_PER_S[kind] * chip.dram.pins_bytes_per_s


def area_of(chip: Chip) -> dict[str, float]:
    """Area in mm2 by component."""
    node = Technology(chip.node_nm)
    each = node.mac_area_mm2(chip.dtype)
    lanes = chip.vector.lanes if chip.array.has_vector_unit else 0
    local = _local_bytes(chip) * chip.array.elements
    areas = {
        "arrays": each * chip.array.macs * chip.accelerators,
        "vector unit": each * lanes * chip.accelerators,
        "scratchpads": node.sram_area_mm2(chip.scratchpad_bytes) * chip.accelerators,
        "DRAM PHYs": phy_mm2(chip),
    }
    if local:
        areas[_LOCAL] = node.sram_area_mm2(local) * chip.accelerators
    return areas
