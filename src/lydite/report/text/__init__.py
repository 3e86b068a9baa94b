"""Results as plain text of at most 100 columns; one file per verb."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.units import format_percent

WIDTH = 100

__all__ = ["WIDTH", "percent", "signed_percent", "table"]

percent = format_percent


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain-text table: first column left-aligned, others right-aligned, cut at 100 columns.

    A column whose name starts with "<" is left-aligned as well.
    """
    names = [name.removeprefix("<") for name in columns]
    cells = [names, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    excess = sum(widths) + 2 * (len(widths) - 1) - WIDTH
    if excess > 0:
        widest = widths.index(max(widths))
        widths[widest] = max(8, widths[widest] - excess)
    lines = [title] if title else []
    for number, row in enumerate(cells):
        parts = [
            _fit(cell, width).ljust(width)
            if i == 0 or columns[i].startswith("<")
            else _fit(cell, width).rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def signed_percent(value: float) -> str:
    """The fraction as a signed percentage: 0.0532 -> "+5.3 %"; what rounds to 0 is "+0.0 %"."""
    return f"{round(100 * value, 1) + 0.0:+.1f} %"
