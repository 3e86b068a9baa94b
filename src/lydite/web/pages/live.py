"""Runs that are going on: rows appear while the page is open."""

from __future__ import annotations

from lydite.api import dashboard
from lydite.api.dashboard import Reader
from lydite.report.view import Table, View
from lydite.web.pages.runs import COLUMNS, row_of
from lydite.web.urls import Urls


def live(reader: Reader, urls: Urls) -> View:
    """Runs that have not ended; those that begin or end are added below."""
    rows = [row_of(line, urls) for line in dashboard.running(reader)]
    events = urls.to("events")
    table = Table("Running, and what has changed since", COLUMNS, rows, live=events)
    return View("Live", [table], "Runs that begin or end appear by themselves", "live")
