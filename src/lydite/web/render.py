"""Views as HTML: one template for every page, all text escaped and made visible."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lydite.results import visible
from lydite.web.urls import Urls
from lydite.web.view import Cell, View

NAVIGATION = (
    ("runs", "Runs"),
    ("live", "Live"),
    ("measurements", "Measurements"),
    ("coverage", "Coverage"),
    ("compare", "Compare"),
    ("roofline", "Roofline"),
    ("timelines", "Timelines"),
)


def _finished(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


@cache
def environment() -> Environment:
    """Templates that escape everything."""
    return Environment(
        loader=PackageLoader("lydite.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finished,
        auto_reload=False,
    )


def page_of(view: View, urls: Urls) -> str:
    """A view as a whole page."""
    links = [(name, text, urls.to(name)) for name, text in NAVIGATION]
    navigation = [(name, text, href) for name, text, href in links if href]
    template = environment().get_template("page.html.j2")
    return template.render(view=view, urls=urls, navigation=navigation)


def row_html(cells: list[Cell]) -> str:
    """A row of a table, in one line, for a server-sent event."""
    macros: Any = environment().get_template("parts.html.j2").module
    text = str(macros.row(cells))
    return " ".join(text.split())


@cache
def static_version() -> str:
    """A digest of all scripts and stylesheets, for their addresses."""
    digest = hashlib.sha256()
    for item in sorted(static_files(), key=lambda item: item.name):
        digest.update(item.read_bytes())
    return digest.hexdigest()[:12]


def static_files() -> list[Any]:
    """Scripts, stylesheets and their licences, which come with the package."""
    folder = resources.files("lydite.web") / "static"
    return [item for item in folder.iterdir() if item.is_file()]
