"""What a multiply-add, a byte of SRAM and their silicon cost, by technology node.

Energies are anchored at two nodes and interpolated between them by the logarithm of the node; they
are of the operation alone, without clock, control and pipeline registers, which `OVERHEAD` stands
for. Areas are of one node, scaled with its square.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm, 0.9 V (fp16 multiplication and bfloat16 from memory)"
_JOUPPI = "Jouppi et al., ISCA 2021, table 2, 7 nm, from memory"

MAC_PJ: Mapping[float, Mapping[str, float]] = {
    45.0: {"int8": 0.23, "float16": 1.5, "bfloat16": 1.3, "float32": 4.6},
    7.0: {"int8": 0.077, "float16": 0.50, "bfloat16": 0.32, "float32": 1.69},
}
"""Of a multiplication and an addition."""

SRAM_PJ_PER_64_BITS: Mapping[float, Mapping[float, float]] = {
    45.0: {8.0: 10.0, 32.0: 20.0, 1024.0: 100.0},
    7.0: {8.0: 7.5, 32.0: 8.5, 1024.0: 14.0},
}
"""Of one access, by the array's size in KiB; between sizes by their logarithms."""

OVERHEAD = 2.0
"""Of a processing element over its multiply-add: registers, control and clock (assumed)."""

SRAM_UM2_PER_BYTE_40 = 20355.1 / 8192
"""CACTI's bank of 8 KiB at 40 nm, as gem5-Aladdin prints it."""
SRAM_MW_PER_BYTE_40 = 0.337696 / 8192
MAC_UM2_40: Mapping[str, float] = {
    "int8": 1000.0, "float16": 3900.0, "bfloat16": 3000.0, "float32": 13328.0,
}  # fmt: skip
"""float32: Aladdin's adder and multiplier at 40 nm and 1 ns; the others by the square of their
significands' widths, rounded (assumed)."""
MAC_MW_40: Mapping[str, float] = {
    "int8": 0.013, "float16": 0.05, "bfloat16": 0.04, "float32": 0.173,
}  # fmt: skip
"""Leakage, alike."""

SOURCES = {
    "multiply-adds": f"{_HOROWITZ}; {_JOUPPI}; doubled for the rest of a PE (assumed)",
    "SRAM": f"{_HOROWITZ}; {_JOUPPI}",
    "area": "gem5-Aladdin's CACTI bank and float32 units at 40 nm, scaled with the node's square",
}


@dataclass(frozen=True, slots=True)
class Technology:
    """One node.

    Attributes:
        node_nm: of it.
    """

    node_nm: float

    def mac_joules(self, dtype: str) -> float:
        """Of one multiply-add with what surrounds it."""
        return OVERHEAD * 1e-12 * self._between({n: row[dtype] for n, row in MAC_PJ.items()})

    def sram_joules_per_byte(self, size_bytes: float) -> float:
        """Of one byte out of an array of that size."""
        kib = np.log(max(1.0, size_bytes / 1024))
        at = {
            node: float(np.interp(kib, np.log(list(row)), list(row.values())))
            for node, row in SRAM_PJ_PER_64_BITS.items()
        }
        return 1e-12 * self._between(at) / 8

    def sram_area_mm2(self, size_bytes: float) -> float:
        """Of that much SRAM."""
        return size_bytes * SRAM_UM2_PER_BYTE_40 * 1e-6 * self._shrunk

    def mac_area_mm2(self, dtype: str) -> float:
        """Of one multiply-add with what surrounds it."""
        return OVERHEAD * MAC_UM2_40[dtype] * 1e-6 * self._shrunk

    def leakage_w(self, sram_bytes: float, macs: int, dtype: str) -> float:
        """Of SRAM and arrays; leakage goes with area here."""
        own = sram_bytes * SRAM_MW_PER_BYTE_40 + OVERHEAD * macs * MAC_MW_40[dtype]
        return own * 1e-3 * self._shrunk

    @property
    def _shrunk(self) -> float:
        return (self.node_nm / 40.0) ** 2

    def _between(self, at: Mapping[float, float]) -> float:
        nodes = sorted(at)
        logs = np.log(nodes)
        values = np.log([at[node] for node in nodes])
        slope = (values[-1] - values[0]) / (logs[-1] - logs[0])
        return float(np.exp(values[0] + slope * (np.log(self.node_nm) - logs[0])))
