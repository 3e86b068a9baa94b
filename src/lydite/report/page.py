"""Self-contained HTML pages of figures, tables and text that load nothing from the network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.files import write_atomic
from lydite.records import dataclass
from lydite.report.view import Cell, Table

if TYPE_CHECKING:
    from lydite.report.plot import Plot

_LONGEST = 24
"""Most characters of a number with its unit."""
_QUANTITY = re.compile(r"[-+(<>~≈±]?\s*\.?\d")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading followed by text, a table (columns, rows), plain text and a plot, if any."""

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plot: Plot | None = None
    pre: str = ""


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> Path:
    """Write the page; all text is escaped, and nothing in the page is a script."""
    from markupsafe import Markup

    from lydite.report.render import environment, stylesheet
    from lydite.report.svg import html_of

    parts = [
        (
            section,
            _table(section) if section.rows else None,
            Markup(html_of(section.plot, number)) if section.plot else "",
        )
        for number, section in enumerate(sections)
    ]
    template = environment().get_template("report.html.j2")
    page = template.render(title=title, subtitle=subtitle, parts_of=parts, stylesheet=stylesheet())
    return write_atomic(path, page)


def _table(section: Section) -> Table:
    """The rows as the dashboard shows them; columns of quantities stand right."""
    _, *others = zip(*section.rows, strict=True)
    right = [False, *map(_are_quantities, others)]
    rows = [
        [Cell(text, is_number=is_right) for text, is_right in zip(row, right, strict=True)]
        for row in section.rows
    ]
    return Table(section.title, section.columns, rows, text=section.text)


def _are_quantities(column: Sequence[str]) -> bool:
    """Whether all texts of a column are short, and all but empty ones begin as a number does."""
    known = [text for text in column if text not in ("", "-", "unknown")]
    return bool(known) and all(len(t) <= _LONGEST and _QUANTITY.match(t) for t in known)
