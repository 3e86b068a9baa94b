"""Presentation of results: text, self-contained HTML pages, plots, Perfetto traces."""

from lydite.report.levels import Levels, read_levels
from lydite.report.page import Section, write_page
from lydite.report.trace import Slice, write_trace

__all__ = ["Levels", "Section", "Slice", "read_levels", "write_page", "write_trace"]
