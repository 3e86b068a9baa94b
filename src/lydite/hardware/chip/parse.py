"""Chips from YAML text, with errors that name the place; and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import ValidationError

from lydite.errors import InputError, unknown_name
from lydite.hardware.chip.design import Chip
from lydite.hardware.chip.spec import SECTIONS, ChipSpec
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
    try:
        spec = ChipSpec.model_validate(raw)
    except ValidationError as error:
        raise fault(error, where, "a chip", ChipSpec, SECTIONS) from error
    return spec.chip(where)


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice: the last would hide the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                place = f"{key.start_mark.name}:{key.start_mark.line + 1}"
                raise InputError(f"'{key.value}' stands twice", where=place)
            seen.add(str(key.value) if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def _loaded(text: str, where: str) -> Any:
    loader = _Loader(text)
    loader.name = where
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@cache
def _catalog() -> Mapping[str, Chip]:
    entries = resources.files("lydite.hardware.catalog.chips").iterdir()
    found = (
        parse_chip(entry.read_text(), entry.name)
        for entry in sorted(entries, key=lambda e: e.name)
        if entry.name.endswith(".yaml")
    )
    return {chip.name: chip for chip in found}


def known_chips() -> dict[str, Chip]:
    """All chips of the catalog by name."""
    return dict(_catalog())


def catalog_chip(name: str) -> Chip:
    """A chip of the catalog.

    Raises:
        InputError: there is none of that name (with the nearest).
    """
    if name.lower() not in _catalog():
        raise unknown_name(
            "chip", name, tuple(_catalog()), "or give the path of a .yaml or .cfg file"
        )
    return _catalog()[name.lower()]
