"""Specifications of chips: their parts, files with units, and a catalog."""

from typing import TYPE_CHECKING

from lydite.hardware.chip.arrays import (
    DATAFLOWS,
    ArrayParameters,
    SmvArray,
    Stationary,
    SystolicArray,
)
from lydite.hardware.chip.check import checked
from lydite.hardware.chip.configs import Entry, read_entries, read_lines, whole_number
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
from lydite.hardware.chip.dram import DRAMS, GEM5_DRAMS, Dram, dram_named
from lydite.hardware.chip.files import CHIP_FILES, ChipFile, is_chip_file, read_chip
from lydite.hardware.chip.parse import catalog_chip, chip_names, known_chips, parse_chip
from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.hardware.chip.spec import chip_json_schema

__all__ = [
    "CHIP_FILES",
    "DATAFLOWS",
    "DRAMS",
    "GEM5_DRAMS",
    "ArrayParameters",
    "Chip",
    "ChipFile",
    "Cpu",
    "Dma",
    "Dram",
    "Entry",
    "Interface",
    "LastLevelCache",
    "Noc",
    "Scratchpad",
    "SmvArray",
    "Stationary",
    "SystolicArray",
    "VectorUnit",
    "catalog_chip",
    "checked",
    "chip_json_schema",
    "chip_names",
    "dram_named",
    "is_chip_file",
    "known_chips",
    "parse_chip",
    "read_chip",
    "read_entries",
    "read_lines",
    "whole_number",
]

__getattr__ = lazily(__name__, {"chip_json_schema": "spec"})
