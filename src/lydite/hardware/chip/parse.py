"""Chips from YAML text, with errors that name the place; and the catalog."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import ValidationError

from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.chip.arrays import DATAFLOWS
from lydite.hardware.chip.design import Chip
from lydite.hardware.chip.spec import SECTIONS, ArraySpec, ChipSpec, chip_spec
from lydite.hardware.faults import fault


def parse_chip(text: str, where: str) -> Chip:
    """A chip from YAML text.

    Raises:
        InputError: not a chip file; its field is named.
    """
    try:
        raw = _loaded(text, where)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not YAML: {str(error).splitlines()[0]}", where=where) from error
    if not isinstance(raw, dict):
        raise InputError("not a chip file", where=where, allowed="a mapping of fields")
    spec = _spec_of(raw.get("array"), where)
    sections = {**SECTIONS, "array": spec.model_fields["array"].annotation or ArraySpec}
    try:
        return spec.model_validate(raw).chip(where)
    except ValidationError as error:
        raise fault(error, where, "a chip", ChipSpec, sections) from error


def _spec_of(array: object, where: str) -> type[ChipSpec]:
    """The fields of a chip file whose `array` is as given; of any array if that has no kind."""
    if not isinstance(array, dict) or "kind" not in array:
        return ChipSpec
    try:
        return chip_spec(DATAFLOWS.find(str(array["kind"])[:80]).parameters)
    except InputError as error:
        raise placed(error, where) from None


class _Loader(yaml.SafeLoader):
    """YAML in which no key is given twice: the last would hide the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                place = f"{key.start_mark.name}:{key.start_mark.line + 1}"
                raise InputError(f"'{key.value}' is given twice", where=place)
            seen.add(str(key.value) if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def _loaded(text: str, where: str) -> Any:
    loader = _Loader(text)
    loader.name = where
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def chip_names() -> tuple[str, ...]:
    """Names of all chips of the catalog, sorted; no file is read."""
    entries = resources.files("lydite.hardware.catalog.chips").iterdir()
    names = (entry.name for entry in entries)
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@cache
def _from_catalog(name: str) -> Chip:
    file = resources.files("lydite.hardware.catalog.chips").joinpath(f"{name}.yaml")
    return parse_chip(file.read_text(), file.name)


def known_chips() -> dict[str, Chip]:
    """All chips of the catalog by name."""
    return {name: _from_catalog(name) for name in chip_names()}


def catalog_chip(name: str) -> Chip:
    """A chip of the catalog.

    Raises:
        InputError: there is none of that name (with the nearest).
    """
    if name.lower() not in chip_names():
        raise unknown_name("chip", name, chip_names(), "or give the path of a .yaml or .cfg file")
    return _from_catalog(name.lower())
