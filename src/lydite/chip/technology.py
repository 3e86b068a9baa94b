"""Energy, area and leakage of multiply-adds and SRAM, by technology node.

Energies are anchored at two nodes and interpolated by the logarithm of the node. They cover the
operation alone, without clock, control and pipeline registers, which `OVERHEAD` adds. Areas are
those of one node, scaled with its square.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lydite.chip.units import CACTI_BANK, CACTI_BYTES, NODES, sram_access_pj
from lydite.records import dataclass

_ANCHORS = (45, 7)

_BFLOAT16_45_PJ = 1.3
"""Not in any table: assumed between int8 and float16, by its significand."""


def _mac_pj(nm: int) -> dict[str, float]:
    """Energy in pJ of a multiplication and an addition, by dtype."""
    of = {"bfloat16 mul": _BFLOAT16_45_PJ, "bfloat16 add": 0.0, **NODES[nm].operations_pj}
    dtypes = ("int8", "float16", "bfloat16", "float32")
    return {dtype: of[f"{dtype} mul"] + of[f"{dtype} add"] for dtype in dtypes}


MAC_PJ: Mapping[int, Mapping[str, float]] = {nm: _mac_pj(nm) for nm in _ANCHORS}

OVERHEAD = 2.0
"""Energy of a processing element over its multiply-add: registers, control and clock (assumed)."""

SRAM_UM2_PER_BYTE_40 = CACTI_BANK.area_um2 / CACTI_BYTES
SRAM_MW_PER_BYTE_40 = CACTI_BANK.leakage_mw / CACTI_BYTES
MAC_UM2_40: Mapping[str, float] = {
    "int8": 1000.0,
    "float16": 3900.0,
    "bfloat16": 3000.0,
    "float32": 13328.0,
}
"""Area in um2 by dtype. float32: Aladdin's adder and multiplier at 40 nm and 1 ns; the others by
the square of their significands' widths, rounded (assumed).
"""
MAC_MW_40: Mapping[str, float] = {
    "int8": 0.013,
    "float16": 0.05,
    "bfloat16": 0.04,
    "float32": 0.173,
}
"""Leakage by dtype, derived likewise."""

_TABLES = "; ".join(NODES[nm].source for nm in _ANCHORS)
SOURCES = {
    "multiply-adds": f"{_TABLES}; doubled for the rest of a PE (assumed)",
    "SRAM": _TABLES,
    "area": "gem5-Aladdin's CACTI bank and float32 units at 40 nm, scaled with the node's square",
}


@dataclass(frozen=True, slots=True)
class Technology:
    """One technology node.

    Attributes:
        node_nm: Technology node in nanometres.
    """

    node_nm: float

    def mac_joules(self, dtype: str) -> float:
        """Energy of one multiply-add, including `OVERHEAD`."""
        return OVERHEAD * 1e-12 * self._between({n: row[dtype] for n, row in MAC_PJ.items()})

    def sram_joules_per_byte(self, size_bytes: float) -> float:
        """Energy per byte of accesses to a memory of this size."""
        at = {nm: sram_access_pj(nm, size_bytes) for nm in _ANCHORS}
        return 1e-12 * self._between(at) / 8

    def sram_area_mm2(self, size_bytes: float) -> float:
        """Area of SRAM of this size."""
        return size_bytes * SRAM_UM2_PER_BYTE_40 * 1e-6 * self._shrunk

    def mac_area_mm2(self, dtype: str) -> float:
        """Area of one multiply-add, including `OVERHEAD`."""
        return OVERHEAD * MAC_UM2_40[dtype] * 1e-6 * self._shrunk

    def leakage_w(self, sram_bytes: float, macs: int, dtype: str) -> float:
        """Leakage of SRAM and arrays, which is proportional to area here."""
        own = sram_bytes * SRAM_MW_PER_BYTE_40 + OVERHEAD * macs * MAC_MW_40[dtype]
        return own * 1e-3 * self._shrunk

    @property
    def _shrunk(self) -> float:
        return (self.node_nm / 40.0) ** 2

    def _between(self, at: Mapping[int, float]) -> float:
        nodes = sorted(at)
        logs = np.log(nodes)
        values = np.log([at[node] for node in nodes])
        slope = (values[-1] - values[0]) / (logs[-1] - logs[0])
        return float(np.exp(values[0] + slope * (np.log(self.node_nm) - logs[0])))
