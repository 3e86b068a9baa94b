"""Chips as devices: the peaks of a chip, for code that works with devices."""

from __future__ import annotations

from lydite.hardware.chip.design import Chip
from lydite.hardware.device import Cache, Device

VENDOR = "none: a design"


def device_of(chip: Chip) -> Device:
    """The device equivalent to a chip; its operators are simulated, not looked up."""
    return Device(
        name=chip.name,
        title=chip.title,
        kind="npu",
        vendor=VENDOR,
        peak_flops={chip.dtype: chip.peak_flops, "float32": chip.peak_flops},
        memory_bytes=chip.dram.bytes,
        memory_bandwidth=chip.dram.stream_bytes_per_s(chip.dma.chunk_bytes),
        units=chip.accelerators,
        clock_hz=chip.clock_hz,
        caches=(Cache(1, chip.scratchpad_bytes * chip.accelerators, chip.scratchpad_bytes),),
        sources={"": "the chip file", "float32": f"as {chip.dtype}: the array has one data type"},
        chip=chip,
    )
