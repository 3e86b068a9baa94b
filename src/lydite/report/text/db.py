"""Rows of the performance database as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table
from lydite.units import format_seconds

_SHOWN = 25


def added_text(document: Mapping[str, Any]) -> str:
    """What an import added, found twice and left out."""
    lines = [f"{document['added']['measurements']} new measurements from {document['path']}"]
    if not document["read"]:
        return lines[0]
    total = sum(document["read"].values())
    left_out = sum(row["rows"] for row in document["left_out"])
    lines.append(
        f"{total} rows read, {document['duplicates']} duplicates, {document['known']} known "
        f"before, {left_out} left out"
    )
    by_software = [[name, str(rows)] for name, rows in document["by_software"].items()]
    if by_software:
        lines += ["", table("", ["<software and device", "new"], by_software[:_SHOWN])]
    if document["left_out"]:
        reasons = [[row["table"], row["reason"], str(row["rows"])] for row in document["left_out"]]
        lines += ["", table("", ["<left out of", "<because", "rows"], reasons)]
    for reason, files in document["ignored_files"].items():
        lines.append(f"not read: {files} file{'s' * (files > 1)}, {reason}")
    return "\n".join(lines)


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
