"""Chips as specifications: what one is made of, in files with units, and a catalog."""

from lydite.hardware.chip.arrays import DATAFLOWS, ArrayParameters, SmvArray, SystolicArray
from lydite.hardware.chip.design import (
    Chip,
    Cpu,
    Dma,
    Interface,
    LastLevelCache,
    Noc,
    Scratchpad,
    VectorUnit,
)
from lydite.hardware.chip.dram import DRAMS, Dram, dram_named
from lydite.hardware.chip.files import read_chip
from lydite.hardware.chip.parse import chip_names, known_chips, parse_chip
from lydite.hardware.chip.scalesim import read_scalesim_chip
from lydite.hardware.chip.smaug import read_smaug_chip
from lydite.hardware.chip.spec import chip_json_schema

__all__ = [
    "DATAFLOWS",
    "DRAMS",
    "ArrayParameters",
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
    "chip_names",
    "dram_named",
    "known_chips",
    "parse_chip",
    "read_chip",
    "read_scalesim_chip",
    "read_smaug_chip",
]
