"""Presentation of results: text, self-contained HTML pages, plots, Perfetto traces."""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.report.levels import Levels, read_levels
    from lydite.report.page import Section, write_page
    from lydite.report.trace import Slice, write_trace

__all__ = ["Levels", "Section", "Slice", "read_levels", "write_page", "write_trace"]

_WHERE = {
    **dict.fromkeys(("Levels", "read_levels"), "levels"),
    **dict.fromkeys(("Section", "write_page"), "page"),
    **dict.fromkeys(("Slice", "write_trace"), "trace"),
}

__getattr__ = lazily(__name__, _WHERE)
