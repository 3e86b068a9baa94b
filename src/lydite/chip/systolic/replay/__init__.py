"""A systolic array that waits for memory: SCALE-Sim's files, its SRAMs played, and DRAM bytes."""

from lydite.chip.systolic.replay.memory_stalls import Memory, Stalled, stalled_run
from lydite.chip.systolic.replay.scalesim_files import (
    Settings,
    TopologyLayer,
    read_config,
    read_topology,
)
from lydite.chip.systolic.replay.traffic import Buffers, Traffic, edge_cycles, traffic_of

__all__ = [
    "Buffers",
    "Memory",
    "Settings",
    "Stalled",
    "TopologyLayer",
    "Traffic",
    "edge_cycles",
    "read_config",
    "read_topology",
    "stalled_run",
    "traffic_of",
]
