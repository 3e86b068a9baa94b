"""A chip by its name, or from a file of whichever kind.

Other simulators' files are one registry; a package adds a kind by an entry point of the group
"lydite.chip_files": a `ChipFile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lydite.errors import InputError
from lydite.hardware.chip.design import Chip
from lydite.hardware.chip.parse import catalog_chip, chip_of
from lydite.hardware.spec_file import MOST_BYTES, read_capped, read_spec
from lydite.registry import Registry


class ChipFile(Protocol):
    """Reads chips from another simulator's configuration files.

    Attributes:
        title: what such a file is called in messages.
        suffix: end of the name of its files, such as ".cfg".
    """

    title: str
    suffix: str

    def claims(self, lines: Sequence[str]) -> bool:
        """Whether a file with that suffix is of this kind, by its lines without blanks around."""
        ...

    def read(self, path: Path) -> tuple[Chip, list[str]]:
        """The chip, and what of the file was ignored or assumed.

        Raises:
            InputError: a bad file; its field is named.
        """
        ...


CHIP_FILES: Registry[ChipFile] = Registry(
    "lydite.chip_files",
    "kind of chip file",
    {
        "smaug": "lydite.compat.smaug.chip.kind:SMAUG",
        "scalesim": "lydite.compat.scalesim.chip_file:SCALESIM",
    },
)


def read_chip(name: str) -> Chip:
    """A chip of the catalog, a `.yaml` file, or another simulator's file, such as SMAUG's `.cfg`.

    Which of them it is, its lines say. What of it was ignored or assumed stands in the chip's
    `sources`.

    Raises:
        InputError: no such chip (with the nearest name), or a bad file (its field is named).
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return chip_of(read_spec(path, "a chip file"))
    kinds = [kind for kind in map(CHIP_FILES.find, CHIP_FILES) if name.endswith(kind.suffix)]
    if not kinds:
        return catalog_chip(name)
    text = read_capped(path, "a chip file", MOST_BYTES)
    lines = [line.strip() for line in text.splitlines()]
    kind = next((kind for kind in kinds if kind.claims(lines)), None)
    if kind is None:
        raise InputError(
            "not a chip's configuration",
            where=str(path),
            allowed=", or ".join(each.title for each in kinds),
        )
    chip, notes = kind.read(path)
    told = {f"note {number}": note for number, note in enumerate(notes, start=1)}
    return replace(chip, sources={**chip.sources, **told})


def is_chip_file(name: str) -> bool:
    """Whether a name means another simulator's file, by its suffix."""
    return name.endswith(tuple(CHIP_FILES.find(kind).suffix for kind in CHIP_FILES))
