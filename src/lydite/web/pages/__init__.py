"""The pages: one function each, from a reader and the parameters of its URL to a `View`."""

from collections.abc import Callable

from lydite.report.view import View
from lydite.web.pages.beside import beside
from lydite.web.pages.compare import compare
from lydite.web.pages.coverage import coverage
from lydite.web.pages.live import live
from lydite.web.pages.measurements import measurement, measurements
from lydite.web.pages.roofline import roofline
from lydite.web.pages.runs import run, runs
from lydite.web.pages.timelines import timeline, timelines

PAGES: dict[str, Callable[..., View]] = {
    "runs": runs,
    "run": run,
    "measurements": measurements,
    "measurement": measurement,
    "coverage": coverage,
    "compare": compare,
    "beside": beside,
    "roofline": roofline,
    "live": live,
}
"""Pages by their name in `lydite.web.urls.PATHS`. Keyword-only parameters stand in the URL."""

FOLDER_PAGES: dict[str, Callable[..., View]] = {"timelines": timelines, "timeline": timeline}
"""Pages of files in a folder, where one was given; they take a `Shelf` in place of a reader."""

__all__ = ["FOLDER_PAGES", "PAGES"]
