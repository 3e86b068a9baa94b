"""Chips by catalog name, or from a file in any supported format.

Other simulators' formats are in one registry; packages add formats through the entry-point group
"lydite.chip_files": a `ChipFile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lydite.errors import InputError
from lydite.hardware.capped import MOST_BYTES, read_capped
from lydite.hardware.chip.design import Chip
from lydite.hardware.chip.parse import catalog_chip, chip_of
from lydite.registry import Registry


class ChipFile(Protocol):
    """Reads chips from another simulator's configuration files.

    Attributes:
        title: Name of such a file in messages.
        suffix: Suffix of such files, such as ".cfg".
    """

    title: str
    suffix: str

    def claims(self, lines: Sequence[str]) -> bool:
        """Whether a file with this suffix has this format, judged by its stripped lines."""
        ...

    def read(self, path: Path) -> tuple[Chip, list[str]]:
        """The chip, and notes on what in the file was ignored or assumed.

        Raises:
            InputError: the file is invalid; the error names the field.
        """
        ...


CHIP_FILES: Registry[ChipFile] = Registry(
    "lydite.chip_files",
    "kind of chip file",
    {
        "smaug": "lydite.compat.smaug.chip.kind:SMAUG",
        "scalesim": "lydite.compat.scalesim.chip_file:SCALESIM",
        "onnxim": "lydite.compat.onnxim:ONNXIM",
    },
)


def read_chip(name: str) -> Chip:
    """A chip from the catalog, a `.yaml` file, or another simulator's file, such as SMAUG's `.cfg`.

    The format is recognised from the file's lines. Notes on what was ignored or assumed are added
    to the chip's `sources`.

    Raises:
        InputError: no such chip (the error suggests the nearest name), or the file is invalid (the
            error names the field).
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        from lydite.hardware.spec_file import read_spec

        return chip_of(read_spec(path, "a chip file"))
    candidates = [
        file_format
        for file_format in map(CHIP_FILES.find, CHIP_FILES)
        if name.endswith(file_format.suffix)
    ]
    if not candidates:
        return catalog_chip(name)
    text = read_capped(path, "a chip file", MOST_BYTES)
    lines = [line.strip() for line in text.splitlines()]
    file_format = next(
        (file_format for file_format in candidates if file_format.claims(lines)), None
    )
    if file_format is None:
        raise InputError(
            "not a chip configuration",
            where=str(path),
            allowed=", or ".join(each.title for each in candidates),
        )
    chip, notes = file_format.read(path)
    told = {f"note {number}": note for number, note in enumerate(notes, start=1)}
    return replace(chip, sources={**chip.sources, **told})


def is_chip_file(name: str) -> bool:
    """Whether the name has the suffix of another simulator's chip file."""
    return name.endswith(tuple(CHIP_FILES.find(file_format).suffix for file_format in CHIP_FILES))
