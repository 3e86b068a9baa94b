"""Memory stalls of a systolic array: simulation of its SRAMs, and DRAM traffic."""

from lydite.chip.systolic.replay.memory_stalls import OffChipMemory, Stalled, stalled_run
from lydite.chip.systolic.replay.traffic import Buffers, DramTraffic, edge_cycles, traffic_of

__all__ = [
    "Buffers",
    "DramTraffic",
    "OffChipMemory",
    "Stalled",
    "edge_cycles",
    "stalled_run",
    "traffic_of",
]
