"""Templates and the stylesheet that reports and the dashboard share."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lydite.results import visible

OWN = "lydite.report"


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
    return Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, OWN)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finished,
        auto_reload=False,
    )


def stylesheet() -> Markup:
    """The stylesheet, for a page that stands alone."""
    file = resources.files(OWN) / "static" / "lydite.css"
    return Markup(file.read_text(encoding="utf-8"))


def static_files(*packages: str) -> list[Any]:
    """Scripts, stylesheets and their licences that come with packages and with our own."""
    folders = [resources.files(package) / "static" for package in (*packages, OWN)]
    return [item for folder in folders for item in folder.iterdir() if item.is_file()]
