"""Specification files: the common reader for devices, clusters, chips and constants.

YAML is read as data, with limits on the file size and on the expansion of aliases, and duplicate
keys are refused. Every error names file, line and field, what is allowed, and the nearest name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.capped import MOST_BYTES, read_capped
from lydite.records import dataclass
from lydite.units import parse_quantity

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_DEPTH = 100

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A mapping of fields read from YAML, with line numbers.

    Attributes:
        where: File name.
        document: The fields.
        root: YAML's node tree, which holds line numbers; None if there is none.
    """

    where: str
    document: dict[str, Any]
    root: yaml.Node | None = None

    def at(self, field: str) -> str:
        """Location of a field for messages: "chip.yaml:12: dma.chunk"."""
        return f"{self.place(field.split('.'))}: {field}"

    def place(self, path: Sequence[object]) -> str:
        """File and line of a field, or of its nearest existing parent: "chip.yaml:12"."""
        node, line = self.root, 0
        for part in path:
            key, node = _child(node, str(part))
            if key is None:
                break
            line = key.start_mark.line + 1
        return f"{self.where}:{line}" if line else self.where

    def validated(
        self,
        model: type[Model],
        what: str,
        sections: Mapping[str, type[BaseModel]] | None = None,
    ) -> Model:
        """The fields, validated by a pydantic model.

        Args:
            model: Model of the fields.
            what: What the file describes, such as "a chip".
            sections: Models of nested sections, by their name in the file.

        Raises:
            InputError: a field is unknown, missing or invalid.
        """
        try:
            return model.model_validate(self.document)
        except ValidationError as error:
            raise self._fault(error, what, model, sections or {}) from error

    def quantity(self, text: str, unit: str, field: str) -> float:
        """A quantity in SI units.

        Args:
            text: Number and unit, such as "64 KiB".
            unit: Required base unit; see `lydite.units.parse_quantity`.
            field: Name of the field, with dots between the levels.

        Raises:
            InputError: the unit is missing.
            UnitError: the unit is another one, or the text is not a quantity.
        """
        if _is_number(text):
            raise self._without_unit(text, self.at(field), unit)
        return parse_quantity(text, unit, where=self.at(field))

    def _fault(
        self,
        error: ValidationError,
        what: str,
        model: type[BaseModel],
        sections: Mapping[str, type[BaseModel]],
    ) -> InputError:
        """The first fault; an unknown field goes first, as it may be why another is missing."""
        faults = error.errors(include_url=False)
        first = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
        *path, last = (str(part) for part in first["loc"])
        known = next((sections[part] for part in reversed(path) if part in sections), model)
        where, name = self.place([*path, last]), ".".join([*path, last])
        if first["type"] == "extra_forbidden":
            of = f"of {'.'.join(path) or what}"
            return placed(unknown_name("field", last, known.model_fields, of=of), where)
        context = first.get("ctx", {})
        expected = str(context.get("expected", context.get("expected_tags")))
        choices, value = re.findall("'([^']+)'", expected), context.get("tag", first["input"])
        if choices and isinstance(value, str):
            return placed(unknown_name(name, value, choices), where)
        if first["type"] == "string_type" and isinstance(value, int | float):
            return self._without_unit(value, f"{where}: {name}")
        allowed = ", ".join(known.model_fields) if first["type"] == "missing" else ""
        return InputError(f"field '{name}': {first['msg'].lower()}", where=where, allowed=allowed)

    @staticmethod
    def _without_unit(value: object, where: str, unit: str = "") -> InputError:
        example = f"'2 {unit}'" if unit else "'64 KiB', '1 GHz' or '12 GB/s'"
        return InputError(f"'{value}' has no unit", where=where, allowed=f"such as {example}")


def read_spec(path: Path | str, what: str, *, most_bytes: int = MOST_BYTES) -> SpecFile:
    """Read a YAML file.

    Args:
        path: File to read.
        what: What it should be, such as "a chip file".
        most_bytes: Maximum size in bytes.

    Raises:
        InputError: the file cannot be read, is too large or not YAML, holds a key twice, or is not
            a mapping.
    """
    return parse_spec(read_capped(path, what, most_bytes), str(path), what)


def parse_spec(text: str, where: str, what: str) -> SpecFile:
    """Like `read_spec`, for text."""
    try:
        _check_depth(text, where)
        loader = _LOADER(text)
        try:
            root = loader.get_single_node()
            if root is not None:
                _check(root, where, len(text))
            document = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{where}:{mark.line + 1}" if mark else where
        raise InputError(f"not YAML: {error.problem or error.context}", where=line) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2001-99-99
        raise InputError(f"not YAML: {str(error).splitlines()[0]}", where=where) from error
    if not isinstance(document, dict):
        raise InputError(f"not {what}", where=where, allowed="a mapping of fields")
    return SpecFile(where, document, root)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_depth(text: str, where: str) -> None:
    """Refuse deep nesting before the tree is built, which takes a stack frame for each level."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MOST_DEPTH + 1:
                line = event.start_mark.line + 1
                raise InputError(f"fields more than {_MOST_DEPTH} deep", where=f"{where}:{line}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check(root: yaml.Node, where: str, most_nodes: int) -> None:
    """Refuse duplicate keys, and aliases that expand to more than the file could hold."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        known = sizes.get(id(node))
        if known is not None:
            if known == 0:
                raise _refused(node, where, "an alias refers to a node that contains it")
            return known
        if depth > _MOST_DEPTH:
            raise _refused(node, where, f"fields more than {_MOST_DEPTH} deep")
        sizes[id(node)] = 0
        children: list[yaml.Node] = node.value
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, where)
            children = [part for pair in node.value for part in pair]
        total = 1 + sum(size(child, depth + 1) for child in children)
        if total > max(most_nodes, 1000):
            raise _refused(node, where, f"aliases that stand for {total} values")
        sizes[id(node)] = total
        return total

    size(root, 0)


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise _refused(key, where, f"'{key.value}' is given twice")
            seen.add(key.value)


def _refused(node: yaml.Node, where: str, what: str) -> InputError:
    return InputError(what, where=f"{where}:{node.start_mark.line + 1}")


def _child(node: yaml.Node | None, name: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The key node (in a sequence: the item) and the value node with this name or index."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == name), (None, None))
    if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
        return node.value[int(name)], node.value[int(name)]
    return None, None
