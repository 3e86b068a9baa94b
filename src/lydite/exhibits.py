"""What the page of a result shows first: tables of its document, and charts of their columns.

A verb declares them (`Result.exhibits`), and they stand in its document as data: where rows are,
what their columns are called, which value is good. Whoever shows the document needs to know no
verb. A place is a JSON pointer (RFC 6901); "*" stands for each entry: "/runs/*/rules". Rows are

- a list of mappings,
- a mapping of mappings, whose names become the column "",
- a mapping that holds the columns as lists of equal length,
- any other mapping, which is one row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, cast

from typing_extensions import TypedDict

from lydite.records import dataclass


class CurveDocument(TypedDict):
    """A chart of an exhibit's columns; empty texts stand for nothing."""

    x: str
    y: list[list[str]]
    log: str
    front: str
    mark: str
    low: str
    high: str


class ExhibitDocument(TypedDict):
    """A table of a document; columns are pairs, as databases do not keep the order of keys."""

    caption: str
    rows: str
    columns: list[list[str]]
    good: dict[str, bool | str]
    across: str
    value: str
    beside: str
    label: str
    curve: CurveDocument | None


@dataclass(frozen=True)
class Curve:
    """A chart of the columns of an exhibit.

    Attributes:
        x: Column along the horizontal axis.
        y: Style of each column along the vertical axis: "points", "line" or "bars".
        log: Logarithmic axes: "", "x", "y" or "xy".
        front: Direction of a Pareto front of the first y over x, such as "min-min"; "" for none.
        mark: Name of a number beside the rows that is marked on the x axis; "" for none.
        low, high: Names of the ends of its interval; "" for none.
    """

    x: str
    y: Mapping[str, str]
    log: str = ""
    front: str = ""
    mark: str = ""
    low: str = ""
    high: str = ""

    def document(self) -> CurveDocument:
        """All of it, as JSON."""
        return cast(CurveDocument, vars(self) | {"y": _pairs(self.y)})


@dataclass(frozen=True)
class Exhibit:
    """A table of a document.

    Attributes:
        caption: What its rows are; "{name}" stands for a value beside the rows.
        rows: Place of the rows.
        columns: Heading of each column; "a.b" is the value b within a, and "*" all others that
            hold no lists or mappings, under their own names. The first names the row.
        good: The good value of a column, such as {"verdict": "VALID"}; any other is bad.
        across: Column whose values become columns, with `value` in the cells; "" for none.
        value: Column of the cells with `across`.
        beside: Column that is shown side by side for several results; "" for none.
        label: Place of the name of the result, as heading there.
        curve: Chart that can be drawn; None for none.
    """

    caption: str
    rows: str
    columns: Mapping[str, str]
    good: Mapping[str, bool | str] = field(default_factory=dict)
    across: str = ""
    value: str = ""
    beside: str = ""
    label: str = ""
    curve: Curve | None = None

    def document(self) -> ExhibitDocument:
        """All of it, as JSON."""
        curve = None if self.curve is None else self.curve.document()
        changed = {"columns": _pairs(self.columns), "good": dict(self.good), "curve": curve}
        return cast(ExhibitDocument, vars(self) | changed)


@dataclass(frozen=True)
class Found:
    """Rows of an exhibit at one place.

    Attributes:
        number: Which exhibit of the document.
        place: Where the rows stand.
        caption: What they are.
        columns: Heading of each column that some row has.
        rows: Values by column.
        around: What stands beside the rows, then at the top of the document, by name.
        declared: The exhibit as the document has it.
    """

    number: int
    place: str
    caption: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    around: Mapping[str, Any]
    declared: ExhibitDocument


def found_in(document: Any) -> Iterator[Found]:
    """The exhibits of a document that have rows; what is not as declared is left out.

    A document may come from others, so nothing of its form is taken for granted.
    """
    declared = document.get("exhibits") if isinstance(document, Mapping) else None
    for number, each in enumerate(declared if isinstance(declared, list) else ()):
        if _is_whole(each):
            for place, value, parent in _places(document, each["rows"]):
                found = _found(document, number, place, value, parent, each)
                if found is not None:
                    yield found


def value_at(row: Any, name: str) -> Any:
    """The value of a column: of the row itself, or "a.b" within it; None where there is none."""
    if not isinstance(row, Mapping):
        return None
    if name in row:
        return row[name]
    for end in (at for at, character in enumerate(name) if character == "."):
        if (inner := value_at(row.get(name[:end]), name[end + 1 :])) is not None:
            return inner
    return None


def text_at(document: Any, place: str) -> str:
    """The text or number at a place of a document; "" where there is none."""
    value = next((value for _, value, _ in _places(document, place)), None) if place else None
    return str(value) if isinstance(value, str | int | float) else ""


def _pairs(given: Mapping[str, str]) -> list[list[str]]:
    return [list(pair) for pair in given.items()]


def _is_whole(declared: Any) -> bool:
    """Whether a document's exhibit is of the stated form, as one of others need not be."""
    if not isinstance(declared, dict) or set(declared) != set(ExhibitDocument.__annotations__):
        return False
    return (
        all(isinstance(declared[name], str) for name in _TEXTS)
        and isinstance(declared["good"], dict)
        and _are_pairs(declared["columns"])
        and (declared["curve"] is None or _is_curve(declared["curve"]))
    )


def _is_curve(curve: Any) -> bool:
    return (
        isinstance(curve, dict)
        and set(curve) == set(CurveDocument.__annotations__)
        and _are_pairs(curve["y"])
        and all(isinstance(text, str) for name, text in curve.items() if name != "y")
    )


def _are_pairs(value: Any) -> bool:
    return bool(value) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in (value if isinstance(value, list) else [None])
    )


_TEXTS = ("caption", "rows", "across", "value", "beside", "label")


def _places(document: Any, pattern: str) -> list[tuple[str, Any, Any]]:
    """Place, value and parent of everything that a pattern names."""
    found: list[tuple[str, Any, Any]] = [("", document, None)]
    for part in pattern.split("/")[1:]:
        found = [
            (f"{place}/{name}", inner, value)
            for place, value, _ in found
            for name, inner in _entries(value, part)
        ]
    return found


def _entries(value: Any, part: str) -> Iterator[tuple[str, Any]]:
    """Entries of a value by the escaped names of a pointer."""
    if isinstance(value, Mapping):
        pairs = [(str(n).replace("~", "~0").replace("/", "~1"), item) for n, item in value.items()]
    elif isinstance(value, list):
        pairs = [(str(number), item) for number, item in enumerate(value)]
    else:
        return
    yield from (pair for pair in pairs if part in ("*", pair[0]))


def _found(
    document: Mapping[str, Any],
    number: int,
    place: str,
    value: Any,
    parent: Any,
    declared: ExhibitDocument,
) -> Found | None:
    own = dict(declared["columns"])
    given = _rows(value, [*own, declared["across"], declared["value"]])
    if own.pop("*", None) is not None:
        own |= {name: name for row in given for name in _plain(row) if name not in own}
    wanted = [*own, declared["across"], declared["value"]]
    rows = [{n: value_at(row, n) for n in wanted if n or "" in row} for row in given]
    if declared["across"]:
        rows, columns = _crossed(rows, declared)
    else:
        columns = {
            name: heading
            for name, heading in own.items()
            if any(row.get(name) is not None for row in rows)
        }
    if not columns or next(iter(own)) not in columns:
        return None
    beside = value if isinstance(value, Mapping) else parent
    around = {**_plain(document), **(beside if isinstance(beside, Mapping) else {})}
    headings = {name: _filled(heading, around) for name, heading in columns.items()}
    caption = _filled(declared["caption"], around)
    return Found(number, place, caption, headings, rows, around, declared)


def _rows(value: Any, wanted: Sequence[str]) -> list[Mapping[str, Any]]:
    if isinstance(value, list):
        return [row for row in value if isinstance(row, Mapping)]
    if not isinstance(value, Mapping):
        return []
    if value and all(isinstance(inner, Mapping) for inner in value.values()):
        return [{"": name, **inner} for name, inner in value.items()]
    first = value.get(wanted[0])
    if not isinstance(first, list):
        return [value]
    full = {
        name: column
        for name in wanted
        if isinstance(column := value.get(name), list) and len(column) == len(first)
    }
    return [{name: column[at] for name, column in full.items()} for at in range(len(first))]


def _crossed(
    rows: Sequence[Mapping[str, Any]], declared: ExhibitDocument
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One row for each value of the first column, one column for each value of `across`."""
    (key, heading), across, value = declared["columns"][0], declared["across"], declared["value"]
    known = [row for row in rows if row.get(across) is not None and row.get(value) is not None]
    crossed: dict[str, dict[str, Any]] = {}
    for row in known:
        made = crossed.setdefault(str(row.get(key)), {key: row.get(key)})
        made[str(row[across])] = row[value]
    names = dict.fromkeys(str(row[across]) for row in known)
    columns = {key: heading, **{name: name for name in names}}
    return list(crossed.values()), columns if known else {}


def _filled(text: str, around: Mapping[str, Any]) -> str:
    """The text with the values that its braces name."""

    def filled(match: re.Match[str]) -> str:
        value = around.get(match[1], match[0])
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return re.sub(r"\{(\w+)\}", filled, text)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not isinstance(value, dict | list)}
