"""Self-contained HTML pages of figures, tables and text that load nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.files import write_atomic

if TYPE_CHECKING:
    from lydite.report.plot import Plot


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
    from jinja2 import Environment, StrictUndefined

    from lydite.report.svg import html_of

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (resources.files("lydite.report") / "page.html.j2").read_text(encoding="utf-8")
    plots = [
        html_of(section.plot, number) if section.plot else ""
        for number, section in enumerate(sections)
    ]
    page = environment.from_string(template).render(
        title=title, subtitle=subtitle, sections=sections, plots=plots
    )
    return write_atomic(path, page)
