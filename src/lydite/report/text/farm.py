"""A farm's machines, jobs and profiles as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table
from lydite.units import format_seconds


def profile_text(models: Sequence[Mapping[str, Any]]) -> str:
    """One line per device and model, and what is to be known of them."""
    columns = ["operators", "distinct", "measured", "reused"]
    rows = [
        [row["model"], row["device"], *(str(row[c]) for c in columns), str(len(row["failed"]))]
        for row in models
    ]
    notes = [f"note: {row['model']}: {note}" for row in models for note in row["notes"]]
    return "\n".join([table("", ["model", "<device", *columns, "failed"], rows), *notes])


def status_text(status: Mapping[str, Any]) -> str:
    """One line per device, the numbers of jobs, and why jobs wait or failed."""
    rows = [
        [
            row["host"],
            row["device"],
            row["backend"],
            row["state"],
            f"{format_seconds(row['seen_s'])} ago",
        ]
        for row in status["devices"]
    ]
    jobs = ", ".join(f"{count} {name}" for name, count in status["jobs"].items())
    shown = table("", ["host", "<device", "<backend", "<state", "seen"], rows)
    notes = [f"{count} jobs: {note}" for note, count in status["notes"].items()]
    return "\n".join([shown if rows else "no machine offers a device", f"jobs: {jobs}", *notes])
