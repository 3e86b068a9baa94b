"""The components that reports and the pages of the dashboard are made of, without any HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from lydite.records import dataclass
from lydite.units import format_bytes, format_seconds, format_si

UNKNOWN = "–"
_LONGEST = 200
_FORMATS = {
    "_s": format_seconds,
    "seconds": format_seconds,
    "_bytes": format_bytes,
    "bytes_moved": format_bytes,
    "_bytes_per_s": lambda value: format_si(value, "B/s"),
    "bytes_per_s": lambda value: format_si(value, "B/s"),
    "flops_per_s": lambda value: format_si(value, "FLOP/s"),
    "_per_s": lambda value: format_si(value, "/s"),
    "flops": lambda value: format_si(value, "FLOP"),
    "_j": lambda value: format_si(value, "J"),
    "_w": lambda value: format_si(value, "W"),
    "_hz": lambda value: format_si(value, "Hz"),
}
"""How to print a number, by the longest end of its name that is listed."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table.

    Attributes:
        text: What is shown.
        href: Where it leads; "" for nowhere.
        value: The number behind a formatted text, as text; "" for none.
        is_number: Whether it stands right.
        tone: "good", "bad" or "".
    """

    text: str
    href: str = ""
    value: str = ""
    is_number: bool = False
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption.

    Attributes:
        caption: What the rows are.
        columns: Headings.
        rows: Cells of each row, as many as columns; the first names the row.
        links: Links below: the next page, a chart, all rows.
        empty: What to say without rows.
        live: URL that sends more rows as server-sent events; "" for none.
        level: Level of the heading, 2 to 4.
        text: A paragraph below the heading.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    links: Sequence[Cell] = ()
    empty: str = "None."
    live: str = ""
    level: int = 2
    text: str = ""
    kind: str = field(default="table", init=False)

    def is_number(self, column: int) -> bool:
        """Whether a column begins with a number, so that its heading stands right too."""
        return any(row[column].is_number for row in self.rows[:1] if column < len(row))


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with a value each, under a caption."""

    caption: str
    rows: Sequence[tuple[str, Cell]]
    level: int = 2
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, with links after it."""

    text: str
    links: Sequence[Cell] = ()
    kind: str = field(default="text", init=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form.

    Attributes:
        name, label: Name in the URL, and what people read.
        value: What it holds.
        options: Values to choose from, as (value, text); () for free text.
    """

    name: str
    label: str
    value: str = ""
    options: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """Fields whose values go into the URL of a page.

    Attributes:
        caption: What it does.
        action: Path of the page.
        fields: Fields that are shown.
        hidden: Names and values that go along.
        button: Text of the button.
    """

    caption: str
    action: str
    fields: Sequence[Field]
    hidden: Sequence[tuple[str, str]] = ()
    button: str = "Show"
    kind: str = field(default="form", init=False)


@dataclass(frozen=True, slots=True)
class Bars:
    """A timeline, whose bars a script asks for window by window.

    Attributes:
        caption: What it shows.
        data: Addresses, names of rows and categories, and the window, as JSON for the script.
    """

    caption: str
    data: Markup
    kind: str = field(default="bars", init=False)


@dataclass(frozen=True, slots=True)
class View:
    """A page.

    Attributes:
        title: Heading.
        blocks: Components, in order.
        lead: A line below the heading.
        place: Name of the entry of the navigation that it belongs to.
        status: HTTP status.
    """

    title: str
    blocks: Sequence[Any]
    lead: str = ""
    place: str = ""
    status: int = 200

    def has(self, kind: str) -> bool:
        """Whether the page has such a component."""
        return any(block.kind == kind for block in self.blocks)

    @property
    def is_live(self) -> bool:
        """Whether rows appear while the page is open."""
        return any(getattr(block, "live", "") for block in self.blocks)


def shown(name: str, value: Any, href: str = "") -> Cell:
    """A value as a cell; the end of its name tells the unit."""
    if value is None:
        return Cell(UNKNOWN, href)
    if isinstance(value, bool):
        return Cell("yes" if value else "no", href)
    if isinstance(value, int | float):
        return Cell(*_number(name, value, href), is_number=True)
    text = str(value)
    return Cell(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…", href)


def _number(name: str, value: float, href: str) -> tuple[str, str, str]:
    if not math.isfinite(value):
        return UNKNOWN, href, ""
    form = _format(name)
    if form is not None:
        return form(value), href, repr(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value), href, ""
    text = f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.5g}"
    return text, href, repr(value)


def has_format(name: str) -> bool:
    """Whether the end of the name tells a unit."""
    return _format(name) is not None


@lru_cache(maxsize=1000)
def _format(name: str) -> Callable[[float], str] | None:
    """The format of a name such as "latency_s.p99": of its last part that tells a unit."""
    for part in reversed(name.split(".")):
        ends = [end for end in _FORMATS if part == end or (end[0] == "_" and part.endswith(end))]
        if ends:
            return _FORMATS[max(ends, key=len)]
    return None
