"""A chip by its name, or from a file of whichever kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lydite.errors import InputError
from lydite.hardware.chip.configs import read_lines
from lydite.hardware.chip.design import Chip
from lydite.hardware.chip.parse import catalog_chip, parse_chip
from lydite.hardware.chip.scalesim import read_scalesim_chip
from lydite.hardware.chip.smaug import accelerator_file, read_smaug_chip

MOST_BYTES = 1 << 16
"""Most bytes of a chip file: nobody writes a longer one by hand."""


def read_chip(name: str) -> Chip:
    """A chip of the catalog, a `.yaml` file, or SMAUG's or SCALE-Sim's `.cfg`.

    Which `.cfg` it is its first lines say: SMAUG's `smv-accel.cfg` and `gem5.cfg` (which names the
    other), or SCALE-Sim's. What of it was ignored or assumed stands in the chip's `sources`.

    Raises:
        InputError: no such chip (with the nearest name), or a bad file (its field is named).
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml", ".cfg"):
        return catalog_chip(name)
    text = "\n".join(_short(path))
    if path.suffix != ".cfg":
        return parse_chip(text, name)
    chip, notes = _configured(path, text)
    told = {f"note {number}": note for number, note in enumerate(notes, start=1)}
    return replace(chip, sources={**chip.sources, **told})


def _short(path: Path) -> list[str]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    if size > MOST_BYTES:
        raise InputError(
            f"{size} bytes are too many for a chip file",
            where=str(path),
            allowed=f"{MOST_BYTES} bytes at most",
        )
    return read_lines(path)


def _configured(path: Path, text: str) -> tuple[Chip, list[str]]:
    lines = [line.strip() for line in text.splitlines()]
    first = next((line for line in lines if line and line[0] not in "#;"), "")
    if "[architecture_presets]" in lines:
        return read_scalesim_chip(path)
    if first.startswith(("[DEFAULT]", "[acc")):
        return read_smaug_chip(accelerator_file(path), path)
    if not first.startswith("[") and "," in first:
        return read_smaug_chip(path)
    raise InputError(
        "not a chip's configuration",
        where=str(path),
        allowed="SMAUG's smv-accel.cfg or gem5.cfg, or SCALE-Sim's",
    )
