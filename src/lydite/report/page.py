"""Self-contained HTML pages of figures, tables and text that load nothing from the network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lydite.files import write_atomic

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:1rem 0}
th,td{padding:.3rem .8rem;border-bottom:1px solid #e5e5e5;text-align:right}
th:first-child,td:first-child{text-align:left}th{border-bottom:2px solid #999}
p.note{color:#555}pre{background:#f6f6f6;padding:1rem;overflow-x:auto}
@media(prefers-color-scheme:dark){body{background:#fff}}
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with text, a table (columns, rows) or a figure under it, in that order."""

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figure: Any = None
    pre: str = ""


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> Path:
    """Write the page; plotly's code is embedded once, before the first figure."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1><p class='note'>{html.escape(subtitle)}</p>",
    ]
    embedded = False
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.text:
            parts.append(f"<p>{html.escape(section.text)}</p>")
        if section.rows:
            parts.append(_table(section.columns, section.rows))
        if section.pre:
            parts.append(f"<pre>{html.escape(section.pre)}</pre>")
        if section.figure is not None:
            parts.append(section.figure.to_html(full_html=False, include_plotlyjs=not embedded))
            embedded = True
    parts.append("</body></html>")
    return write_atomic(path, "\n".join(parts))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
