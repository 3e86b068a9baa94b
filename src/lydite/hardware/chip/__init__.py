"""Chips as specifications: what one is made of, in files with units, and a catalog."""

from lydite.hardware.chip.design import (
    Chip,
    Cpu,
    Dma,
    Interface,
    LastLevelCache,
    Scratchpad,
    SmvArray,
    SystolicArray,
    VectorUnit,
)
from lydite.hardware.chip.dram import DRAMS, Dram, dram_named
from lydite.hardware.chip.spec import chip_json_schema, known_chips, parse_chip, read_chip

__all__ = [
    "DRAMS", "Chip", "Cpu", "Dma", "Dram", "Interface", "LastLevelCache", "Scratchpad", "SmvArray",
    "SystolicArray", "VectorUnit", "chip_json_schema", "dram_named", "known_chips", "parse_chip",
    "read_chip",
]  # fmt: skip
