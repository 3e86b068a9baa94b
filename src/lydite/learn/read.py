"""Reading rows from the folders in which others publish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lydite.errors import InputError
from lydite.estimate.learned.families import FAMILIES
from lydite.learn.aiconfigurator import aiconfigurator_rows
from lydite.learn.neusight import neusight_rows
from lydite.learn.rows import Rows

_READERS = {"neusight": neusight_rows, "aiconfigurator": aiconfigurator_rows}


def read_rows(folders: Mapping[str, Path], families: Sequence[str] = tuple(FAMILIES)) -> list[Rows]:
    """All rows of some folders.

    Args:
        folders: Folder by layout, "neusight" or "aiconfigurator".
        families: Families to read.

    Raises:
        InputError: a folder is not there, or holds other columns.
        MissingExtra: pyarrow is not installed, for AIConfigurator's tables.
    """
    found: list[Rows] = []
    for layout, folder in folders.items():
        if not folder.is_dir():
            raise InputError("no such folder", where=str(folder))
        if layout not in _READERS:
            raise InputError(f"'{layout}' is no layout", allowed=", ".join(_READERS))
        found += _READERS[layout](folder, families)
    return found
