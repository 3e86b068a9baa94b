"""Chips as specifications: what one is made of, in files with units, and a catalog."""

from lydite.hardware.chip.design import (
    Chip,
    Cpu,
    Dma,
    Interface,
    LastLevelCache,
    Noc,
    Scratchpad,
    SmvArray,
    SystolicArray,
    VectorUnit,
)
from lydite.hardware.chip.dram import DRAMS, Dram, dram_named
from lydite.hardware.chip.files import read_chip
from lydite.hardware.chip.parse import known_chips, parse_chip
from lydite.hardware.chip.scalesim import read_scalesim_chip
from lydite.hardware.chip.smaug import read_smaug_chip
from lydite.hardware.chip.spec import chip_json_schema

__all__ = [
    "DRAMS",
    "Chip",
    "Cpu",
    "Dma",
    "Dram",
    "Interface",
    "LastLevelCache",
    "Noc",
    "Scratchpad",
    "SmvArray",
    "SystolicArray",
    "VectorUnit",
    "chip_json_schema",
    "dram_named",
    "known_chips",
    "parse_chip",
    "read_chip",
    "read_scalesim_chip",
    "read_smaug_chip",
]
