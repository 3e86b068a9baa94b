"""DRAM interfaces by gem5's names: one channel of each, its peak computed from the name.

    DDR4_2400_8x8: 2400 million transfers a second over 8 devices of 8 bits: 19.2 GB/s

The name gives rate and width; the table gives the rest, as in gem5's source.
"""

from __future__ import annotations

import re

from lydite.errors import InputError
from lydite.records import dataclass

_NAME = re.compile(r"[A-Za-z0-9]+(?:_S4)?_(\d+)_(?:\d+H_)?(\d+)x(\d+)")
_KIB, _MIB, _GIB = 2**10, 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Interface:
    """One channel, as in gem5's src/mem/DRAMInterface.py.

    Attributes:
        name: gem5's name of the interface.
        beats: Transfers per burst.
        row_bytes: Bytes of a row over all devices of a rank.
        banks: Number of banks of a rank.
        access_ns: tRCD + tCL.
        burst_ns: tBURST.
        rrd_ns: tRRD.
        xaw_ns: tXAW, the window of four activations.
        rfc_ns: tRFC.
        refi_ns: tREFI.
        bytes: Capacity of the channel.
    """

    name: str
    beats: int
    row_bytes: int
    banks: int
    access_ns: float
    burst_ns: float
    rrd_ns: float
    xaw_ns: float
    rfc_ns: float
    refi_ns: float
    bytes: int

    @property
    def transfers_per_s(self) -> float:
        """Transfers per second, from the name."""
        return geometry(self.name)[0]

    @property
    def width_bits(self) -> int:
        """Bits per transfer over all devices, from the name."""
        return geometry(self.name)[1]

    @property
    def peak_bytes_per_s(self) -> float:
        """Bandwidth at the pins."""
        return self.transfers_per_s * self.width_bits / 8

    @property
    def pj_per_bit(self) -> tuple[float, float, float]:
        """Energy per bit moved, in pJ: low, likely and high."""
        return self._energy[0]

    @property
    def energy_source(self) -> str:
        """Source of the energy."""
        return self._energy[1]

    @property
    def _energy(self) -> tuple[tuple[float, float, float], str]:
        return next(known for family, known in _ENERGIES.items() if self.name.startswith(family))


INTERFACES = (
    # name, beats, row, banks, tRCD + tCL, tBURST, tRRD, tXAW, tRFC, tREFI, capacity
    Interface("DDR3_1600_8x8", 8, 8 * _KIB, 8, 27.5, 5, 6, 30, 260, 7800, 8 * _GIB),
    Interface("DDR3_2133_8x8", 8, 8 * _KIB, 8, 26.18, 3.752, 5, 25, 260, 7800, 8 * _GIB),
    Interface("DDR4_2400_16x4", 8, 8 * _KIB, 16, 28.32, 3.332, 3.332, 13.328, 350, 7800, 32 * _GIB),
    Interface("DDR4_2400_8x8", 8, 8 * _KIB, 16, 28.32, 3.332, 3.332, 21, 350, 7800, 16 * _GIB),
    Interface("DDR4_2400_4x16", 8, 8 * _KIB, 8, 28.32, 3.332, 5.3, 30, 350, 7800, 4 * _GIB),
    Interface("DDR5_4400_4x8", 16, _KIB, 32, 29.09, 3.632, 3.632, 14.545, 295, 3900, 2 * _GIB),
    Interface("DDR5_6400_4x8", 16, _KIB, 32, 28.75, 2.496, 2.496, 10, 295, 3900, 2 * _GIB),
    Interface("LPDDR2_S4_1066_1x32", 8, _KIB, 8, 30, 7.5, 10, 50, 130, 3900, 512 * _MIB),
    Interface("LPDDR3_1600_1x32", 8, 4 * _KIB, 8, 33, 5, 10, 50, 130, 3900, 512 * _MIB),
    Interface("LPDDR4_3200_2x16", 16, 4 * _KIB, 8, 35.5, 5, 10, 40, 180, 3904, 4 * _GIB),
    Interface("HBM_1000_4H_1x128", 4, 2 * _KIB, 8, 30, 4, 4, 30, 160, 3900, 128 * _MIB),
    Interface("HBM_1000_4H_1x64", 4, _KIB, 16, 30, 4, 4, 30, 260, 3900, 256 * _MIB),
    Interface("HBM_2000_4H_1x64", 4, _KIB, 16, 30, 2, 4, 16, 220, 3900, 256 * _MIB),
)
"""Interfaces of gem5; LPDDR4_3200_2x16 is gem5-Aladdin's."""

CONTROLLER_NS = 20.0
"""Front end and back end of gem5's memory controller, 10 ns each."""

SAME = {"LPDDR4_3200_2x16": "lpddr4-3200", "DDR4_2400_8x8": "ddr4-2400"}
"""Interfaces that Lydite's own table already has, with their names there."""

_ENERGIES: dict[str, tuple[tuple[float, float, float], str]] = {
    "LPDDR": ((6.0, 8.0, 10.0), "LPDDR4's plug-in tables; assumed for its other generations"),
    "DDR3": ((23.0, 31.0, 39.0), "assumed: DDR4's times the square of 1.5 V over 1.2 V"),
    "DDR4": ((15.0, 20.0, 25.0), "weakly sourced: 20"),
    "DDR5": ((11.0, 15.0, 20.0), "assumed"),
    "HBM": ((3.0, 3.9, 5.0), "O'Connor et al., MICRO 2017; device and I/O"),
}


def geometry(name: str) -> tuple[float, int]:
    """Transfers per second, and width in bits, of the interface that a name states.

    Raises:
        InputError: the name has another form.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(f"'{name}' states no rate and width", allowed="such as DDR4_2400_8x8")
    return int(match[1]) * 1e6, int(match[2]) * int(match[3])
