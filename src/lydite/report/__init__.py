"""Presentation of results: text, self-contained HTML pages, plots, Perfetto traces."""

from lydite.report.page import Section, write_page
from lydite.report.trace import Slice, write_trace

__all__ = ["Section", "Slice", "write_page", "write_trace"]
