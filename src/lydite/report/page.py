"""Self-contained HTML pages of figures, tables and text that load nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lydite.files import write_atomic


@dataclass(frozen=True, slots=True)
class Section:
    """A heading followed by text, a table (columns, rows) and a figure; each may be empty."""

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figure: Any = None
    pre: str = ""


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> Path:
    """Write the page; all text is escaped, and plotly's code is embedded once."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (resources.files("lydite.report") / "page.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        title=title, subtitle=subtitle, sections=sections, plots=_plots(sections)
    )
    return write_atomic(path, page)


def _plots(sections: Sequence[Section]) -> list[str]:
    """The figure of each section as HTML, or "" where it has none."""
    plots: list[str] = []
    for section in sections:
        plots.append(
            ""
            if section.figure is None
            else section.figure.to_html(full_html=False, include_plotlyjs=not any(plots))
        )
    return plots
