"""Rows of the performance database as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table
from lydite.units import format_seconds

_SHOWN = 25


def query_text(measurements: Sequence[Mapping[str, Any]]) -> str:
    """One line per measurement."""
    rows = [
        [
            row["operator"],
            row["input"],
            row["device"],
            str(row["threads"]),
            row["cache"],
            format_seconds(row["seconds"]) if row["status"] == "ok" else row["status"],
        ]
        for row in measurements
    ]
    return table("", ["operator", "<input", "<device", "threads", "cache", "time"], rows)


def stats_text(counts: Mapping[str, Any]) -> str:
    """Totals as lines, and counts by name as tables in descending order."""
    parts: list[str] = []
    for name, value in counts.items():
        if isinstance(value, Mapping) and value:
            rows = sorted(value.items(), key=lambda item: -item[1])
            parts.append(table("", [name, "rows"], [[str(k), str(v)] for k, v in rows[:_SHOWN]]))
            parts.append("")
        elif not isinstance(value, Mapping):
            parts.append(f"{name}: {value}")
    return "\n".join(parts)
