"""Chips from YAML text, with errors that name file, line and field; and the catalog of chips."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.chip.arrays import DATAFLOWS
from lydite.hardware.chip.design import Chip
from lydite.hardware.kept import kept

if TYPE_CHECKING:
    from lydite.hardware.chip.spec import ChipSpec
    from lydite.hardware.spec_file import SpecFile


def parse_chip(text: str, where: str) -> Chip:
    """Parse a chip from YAML text.

    Raises:
        InputError: not a chip file; the error names line and field.
    """
    from lydite.hardware.spec_file import parse_spec

    return chip_of(parse_spec(text, where, "a chip file"))


def chip_of(file: SpecFile) -> Chip:
    """The chip that a file describes.

    Raises:
        InputError: a field is wrong; the error names it and its line.
    """
    from lydite.hardware.chip.spec import SECTIONS, ArraySpec

    spec = _spec_of(file)
    sections = {**SECTIONS, "array": spec.model_fields["array"].annotation or ArraySpec}
    return file.validated(spec, "a chip", sections).chip(file)


def _spec_of(file: SpecFile) -> type[ChipSpec]:
    """The fields of a chip file with this kind of array; of any array if no kind is given."""
    from lydite.hardware.chip.spec import ChipSpec, chip_spec

    array = file.document.get("array")
    if not isinstance(array, dict) or "kind" not in array:
        return ChipSpec
    try:
        return chip_spec(DATAFLOWS.find(str(array["kind"])[:80]).parameters)
    except InputError as error:
        raise placed(error, file.place(["array", "kind"])) from None


def chip_names() -> tuple[str, ...]:
    """Sorted names of all chips of the catalog, without reading the files."""
    entries = resources.files("lydite.hardware.catalog.chips").iterdir()
    names = (entry.name for entry in entries)
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@cache
def _from_catalog(name: str) -> Chip:
    file = resources.files("lydite.hardware.catalog.chips").joinpath(f"{name}.yaml")
    text = file.read_text()
    return kept(f"chips-{name}", text, lambda: parse_chip(text, file.name))


def known_chips() -> dict[str, Chip]:
    """All chips of the catalog by name."""
    return {name: _from_catalog(name) for name in chip_names()}


def catalog_chip(name: str) -> Chip:
    """The chip of the catalog with this name.

    Raises:
        InputError: no chip has this name (the error suggests the nearest one).
    """
    if name.lower() not in chip_names():
        raise unknown_name("chip", name, chip_names(), "or give the path of a .yaml or .cfg file")
    return _from_catalog(name.lower())
