"""Views as HTML: one template for every page, all text escaped and made visible."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from lydite.report import render
from lydite.report.view import Cell, View
from lydite.web.urls import Urls

OWN = "lydite.web"
NAVIGATION = (
    ("runs", "Runs"),
    ("live", "Live"),
    ("measurements", "Measurements"),
    ("coverage", "Coverage"),
    ("compare", "Compare"),
    ("roofline", "Roofline"),
    ("timelines", "Timelines"),
)


def page_of(view: View, urls: Urls) -> str:
    """A view as a whole page."""
    links = [(name, text, urls.to(name)) for name, text in NAVIGATION]
    navigation = [(name, text, href) for name, text, href in links if href]
    template = render.environment(OWN).get_template("page.html.j2")
    return template.render(view=view, urls=urls, navigation=navigation)


def row_html(cells: list[Cell]) -> str:
    """A row of a table, in one line, for a server-sent event."""
    return " ".join(render.rows_html([cells]).split())


@cache
def static_version() -> str:
    """A digest of all scripts and stylesheets, for their addresses."""
    digest = hashlib.sha256()
    for item in sorted(static_files(), key=lambda item: item.name):
        digest.update(item.read_bytes())
    return digest.hexdigest()[:12]


def static_files() -> list[Any]:
    """What pages of the dashboard load."""
    return render.static_files(OWN)
