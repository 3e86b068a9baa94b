"""Templates and the stylesheet that reports and the dashboard share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lydite.report.view import Cell
from lydite.results import visible

OWN = "lydite.report"
_MOST_ESCAPED = 4096


def _finished(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


@cache
def environment(*packages: str) -> Environment:
    """Templates of packages and our own, which escape everything and spell out control characters.

    Args:
        packages: Names of packages with a folder `templates`; they are imported.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, OWN)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finished,
        auto_reload=False,
    )
    made.globals["rows_html"] = rows_html
    return made


def rows_html(rows: Iterable[Iterable[Cell]]) -> Markup:
    """Rows of a table, a line each, escaped as templates do."""
    return Markup("".join(map(_row_html, rows)))


def _row_html(cells: Iterable[Cell]) -> str:
    made = ["<tr>"]
    tag, opened = "th", '<th scope="row"'
    for cell in cells:
        text = _escaped(cell.text)
        if cell.href:
            text = f'<a href="{_escaped(cell.href)}">{text}</a>'
        if cell.value:
            text = f'<data value="{_escaped(cell.value)}">{text}</data>'
        if cell.is_number or cell.tone:
            opened += f' class="{"n " if cell.is_number else ""}{_escaped(cell.tone)}"'
        made.append(f"{opened}>{text}</{tag}>")
        tag, opened = "td", "<td"
    made.append("</tr>\n")
    return "".join(made)


@lru_cache(maxsize=_MOST_ESCAPED, typed=True)
def _escaped(value: object) -> str:
    """A text as HTML; kept, as cells repeat few texts. Markup is another type, and stays."""
    return str(escape(_finished(value)))


def stylesheet() -> Markup:
    """The stylesheet, for a page that stands alone."""
    file = resources.files(OWN) / "static" / "lydite.css"
    return Markup(file.read_text(encoding="utf-8"))


def static_files(*packages: str) -> list[Any]:
    """Scripts, stylesheets and their licences that come with packages and with our own."""
    folders = [resources.files(package) / "static" for package in (*packages, OWN)]
    return [item for folder in folders for item in folder.iterdir() if item.is_file()]
