"""SCALE-Sim: its configurations and topologies, and its way of counting layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.compat.scalesim.chip_file import read_scalesim_chip, read_scalesim_config
    from lydite.compat.scalesim.files import (
        ScaleSimSettings,
        TopologyLayer,
        read_config,
        read_topology,
    )

_WHERE = {
    "ScaleSimSettings": "files",
    "TopologyLayer": "files",
    "read_config": "files",
    "read_scalesim_chip": "chip_file",
    "read_scalesim_config": "chip_file",
    "read_topology": "files",
}

__all__ = [
    "ScaleSimSettings",
    "TopologyLayer",
    "read_config",
    "read_scalesim_chip",
    "read_scalesim_config",
    "read_topology",
]

__getattr__ = lazily(__name__, _WHERE)
