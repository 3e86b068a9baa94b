"""Any JSON document as components: values by name, rows as tables, and links to what lies deeper.

A place in a document is a JSON pointer (RFC 6901), such as "/models/0/ops".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lydite.api.dashboard import NoSuchRecord
from lydite.report.view import Cell, Facts, Table, shown

Link = Callable[[str, int], str]
"""URL of a place in the document, from some row on."""

ROWS = 100
ROWS_WITHIN = 50
MOST_COLUMNS = 40
_SHORT = 8
_DEEPEST = 4


def at(document: Any, pointer: str) -> Any:
    """What stands at a place.

    Raises:
        NoSuchRecord: the document has no such place.
    """
    value = document
    for part in pointer.split("/")[1:] if pointer else ():
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise NoSuchRecord(f"the result has no place '{pointer}'", hint="go back to the run")
    if pointer and not pointer.startswith("/"):
        raise NoSuchRecord(f"'{pointer}' is no place in a result", allowed="such as /ops/0")
    return value


def step(pointer: str, name: object) -> str:
    """The place one step deeper."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def blocks_of(
    value: Any, pointer: str, link: Link, *, title: str, start: int = 0, level: int = 2
) -> list[Facts | Table]:
    """Components that show a value.

    Args:
        value: JSON value.
        pointer: Where it stands in the document.
        link: URLs of other places.
        title: Caption.
        start: First row, if the value is a list.
        level: Level of the heading; what lies deeper than 4 becomes a link.
    """
    if isinstance(value, dict):
        return _of_mapping(value, pointer, link, title, level)
    if isinstance(value, list):
        size = ROWS if level == 2 else ROWS_WITHIN
        return [_of_list(value, pointer, link, title, start, size, level)]
    return [Facts(title, [("value", shown(pointer.rpartition("/")[2], value))], level)]


def _of_mapping(
    value: Mapping[str, Any], pointer: str, link: Link, title: str, level: int
) -> list[Facts | Table]:
    facts: list[tuple[str, Cell]] = []
    deeper: list[Facts | Table] = []
    within = pointer.rpartition("/")[2]
    for name, item in value.items():
        place = step(pointer, name)
        if _is_short(item):
            facts.append((name, _short(f"{within}.{name}", item)))
        elif level < _DEEPEST:
            deeper += blocks_of(item, place, link, title=name, level=level + 1)
        else:
            facts.append((name, Cell(_size(item), link(place, 0))))
    own: list[Facts | Table] = [Facts(title, facts, level)] if facts or not deeper else []
    return own + deeper


def _of_list(
    value: Sequence[Any], pointer: str, link: Link, title: str, start: int, size: int, level: int
) -> Table:
    rows = flat_rows(value[start : start + size])
    columns = list(dict.fromkeys(name for row in rows for name in row))[:MOST_COLUMNS]
    cells = [
        [Cell(str(start + number), link(step(pointer, start + number), 0))]
        + [_cell(row, name, step(pointer, start + number), link) for name in columns]
        for number, row in enumerate(rows)
    ]
    links: list[Cell] = []
    if start:
        links.append(Cell("Previous rows", link(pointer, max(0, start - size))))
    if start + size < len(value):
        links.append(Cell(f"Next of {len(value):,} rows", link(pointer, start + size)))
    return Table(title, ["row", *columns], cells, links, level=level)


def flat_rows(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows with the plain values of their mappings as columns of their own: "plan.tensor"."""
    return [_flat(row) for row in rows]


def _flat(row: Any) -> dict[str, Any]:
    if isinstance(row, list):
        row = {str(number): item for number, item in enumerate(row[:MOST_COLUMNS])}
    if not isinstance(row, dict):
        return {"value": row}
    made: dict[str, Any] = {}
    for name, item in row.items():
        if isinstance(item, dict) and item and all(_is_short(inner) for inner in item.values()):
            made |= {f"{name}.{inner}": part for inner, part in item.items()}
        else:
            made[name] = item
    return made


def number_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that hold a number in at least two rows."""
    counts: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                counts[name] = counts.get(name, 0) + 1
    return [name for name, count in counts.items() if count >= 2]


def _cell(row: Mapping[str, Any], name: str, place: str, link: Link) -> Cell:
    if name not in row:
        return Cell("")
    if _is_short(row[name]):
        return _short(name, row[name])
    return Cell(_size(row[name]), link(step(place, name), 0))


def _is_short(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _SHORT and not any(isinstance(item, dict | list) for item in value)
    return not isinstance(value, dict) or not value


def _short(name: str, value: Any) -> Cell:
    if isinstance(value, list | dict):
        return Cell(", ".join(shown(name, item).text for item in value) or "none")
    return shown(name, value)


def _size(value: Any) -> str:
    count = len(value)
    return f"{count:,} {'entry' if count == 1 else 'entries'}"
