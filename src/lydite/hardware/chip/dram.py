"""DRAM from its timings: the bandwidth that streams of requests reach, and the energy per bit.

    rate = pins x (request / burst bytes) x (1 - tRFC / tREFI), and at most one activation in
    max(tRRD, tFAW / 4) for each channel

A request smaller than a burst wastes the rest of it. An activation serves a whole row while each
stream has a bank to itself; with more streams than banks, each request reopens its row. Row misses
are hidden by other banks unless activations come faster than the device allows.
"""

from __future__ import annotations

from dataclasses import replace

from lydite.errors import unknown_name
from lydite.hardware.chip.gem5_drams import CONTROLLER_NS, INTERFACES, SAME, Interface
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Dram:
    """A memory system.

    Attributes:
        name: Name in the table of memories.
        pins_bytes_per_s: Bandwidth at the pins of all channels.
        channels: Number of channels; a fraction where a design asks for a bandwidth between two.
        burst_bytes: Fewest bytes that one access moves.
        row_bytes: Bytes of a row in one channel.
        banks: Number of banks per channel.
        latency_s: Latency of a first access: controller, activation, read and burst.
        t_rrd_s: Minimum time between two activations.
        t_faw_s: Minimum time for four activations.
        t_rfc_s: Duration of a refresh.
        t_refi_s: Interval between refreshes.
        pj_per_bit: Energy per bit moved, in pJ: low, likely and high.
        source: Source of the timings.
        energy_source: Source of the energy, and what it includes.
        bytes: Capacity of all channels.
    """

    name: str
    pins_bytes_per_s: float
    channels: float
    burst_bytes: int
    row_bytes: int
    banks: int
    latency_s: float
    t_rrd_s: float
    t_faw_s: float
    t_rfc_s: float
    t_refi_s: float
    pj_per_bit: tuple[float, float, float]
    source: str
    energy_source: str
    bytes: float = 8 * 2.0**30

    def stream_bytes_per_s(self, request_bytes: int, streams: int = 1) -> float:
        """Total bandwidth of `streams` streams of requests of this size, in bytes/s."""
        useful = min(1.0, request_bytes / self.burst_bytes)
        refreshed = 1 - self.t_rfc_s / self.t_refi_s
        per_activation = self.channels / max(self.t_rrd_s, self.t_faw_s / 4)
        hits = min(1.0, self.banks * self.channels / streams)
        row = 1 / (hits / self.row_bytes + (1 - hits) / min(request_bytes, self.row_bytes))
        return min(self.pins_bytes_per_s * useful, per_activation * row) * refreshed

    def scaled(self, times: float) -> Dram:
        """So many times the channels: bandwidth, banks and activations grow, the capacity stays."""
        return replace(
            self,
            pins_bytes_per_s=times * self.pins_bytes_per_s,
            channels=times * self.channels,
        )

    @property
    def bytes_per_burst_wasted(self) -> float:
        """Bytes of a burst that a 32-byte request wastes."""
        return max(0.0, self.burst_bytes - 32)


_GEM5 = "gem5, src/mem/DRAMInterface.py"
_NS = 1e-9
_GIB = 2.0**30
_PLUGIN = "Accelergy-style plug-in tables; device and I/O, without controller"
_O_CONNOR = "O'Connor et al., MICRO 2017, as Accelergy-style plug-ins quote it; device and I/O"
_HBM3 = "no primary source: 3 to 7 pJ/bit are quoted of HBM3 and HBM3E; assumed"

DRAMS: dict[str, Dram] = {
    row.name: row
    for row in (
        # name, pins, channels, burst, row, banks, latency, tRRD, tFAW, tRFC, tREFI
        Dram(
            "lpddr4-3200",
            12.8e9,
            1,
            64,
            4096,
            8,
            75.5 * _NS,
            10 * _NS,
            40 * _NS,
            180 * _NS,
            3904 * _NS,
            (6.0, 8.0, 10.0),
            f"{_GEM5}: LPDDR4_3200_2x16",
            _PLUGIN,
            4 * _GIB,
        ),
        Dram(
            "ddr4-2400",
            19.2e9,
            1,
            64,
            8192,
            16,
            58.7 * _NS,
            3.332 * _NS,
            21 * _NS,
            350 * _NS,
            7800 * _NS,
            (15.0, 20.0, 25.0),
            f"{_GEM5}: DDR4_2400_8x8",
            "weakly sourced: 20",
            16 * _GIB,
        ),
        Dram(
            "ddr5-4800",
            38.4e9,
            2,
            64,
            8192,
            32,
            60 * _NS,
            5 * _NS,
            13.333 * _NS,
            295 * _NS,
            3900 * _NS,
            (11.0, 15.0, 20.0),
            "JESD79-5, from memory",
            "assumed",
            32 * _GIB,
        ),
        Dram(
            "hbm2",
            256e9,
            8,
            32,
            2048,
            16,
            55 * _NS,
            4 * _NS,
            16 * _NS,
            350 * _NS,
            3900 * _NS,
            (3.0, 3.9, 5.0),
            f"{_GEM5}: HBM_2000_4H_1x64, tRRD and tFAW from memory",
            _O_CONNOR,
            32 * _GIB,
        ),
        Dram(
            "hbm2e",
            460.8e9,
            8,
            32,
            2048,
            16,
            55 * _NS,
            4 * _NS,
            16 * _NS,
            350 * _NS,
            3900 * _NS,
            (3.0, 3.9, 5.0),
            "JESD235C, from memory",
            _O_CONNOR,
            64 * _GIB,
        ),
        Dram(
            "hbm3",
            819.2e9,
            16,
            32,
            1024,
            16,
            50 * _NS,
            3 * _NS,
            12 * _NS,
            350 * _NS,
            3900 * _NS,
            (3.0, 3.5, 7.0),
            "JESD238, from memory",
            _HBM3,
            80 * _GIB,
        ),
    )
}
"""Memories by name."""


def _of_gem5(interface: Interface) -> Dram:
    if interface.name in SAME:
        return DRAMS[SAME[interface.name]]
    return Dram(
        interface.name,
        interface.peak_bytes_per_s,
        1,
        interface.beats * interface.width_bits // 8,
        interface.row_bytes,
        interface.banks,
        (CONTROLLER_NS + interface.access_ns + interface.burst_ns) * _NS,
        interface.rrd_ns * _NS,
        interface.xaw_ns * _NS,
        interface.rfc_ns * _NS,
        interface.refi_ns * _NS,
        interface.pj_per_bit,
        f"{_GEM5}: {interface.name}",
        interface.energy_source,
        interface.bytes,
    )


GEM5_DRAMS: dict[str, Dram] = {each.name: _of_gem5(each) for each in INTERFACES}
"""One channel of each gem5 interface, by gem5's name."""


def dram_named(name: str) -> Dram:
    """A row of `DRAMS` or `GEM5_DRAMS` by name, ignoring case.

    Raises:
        InputError: no memory has this name (the error suggests the nearest one).
    """
    known = {each.lower(): dram for each, dram in (DRAMS | GEM5_DRAMS).items()}
    if name.lower() not in known:
        raise unknown_name("dram", name, (*DRAMS, *GEM5_DRAMS))
    return known[name.lower()]
