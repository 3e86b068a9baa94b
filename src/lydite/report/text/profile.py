"""Results of a profile as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table
from lydite.units import format_percent, format_seconds


def profile_text(models: Sequence[Mapping[str, Any]]) -> str:
    """One line per model, and what is to be known of them."""
    columns = ["model", "operators", "distinct", "measured", "reused", "failed", "untyped"]
    rows = [
        [
            row["model"],
            *[str(row[column]) for column in columns[1:5]],
            str(len(row["failed"])),
            str(len(row["untyped"])),
        ]
        for row in models
    ]
    notes = [f"note: {row['model']}: {note}" for row in models for note in row["notes"]]
    return "\n".join([table("", columns, rows), *notes])


def plan_text(plan: Mapping[str, Any]) -> str:
    """One line per operator to measure, and what measuring them is expected to bring."""
    columns = ["operator", "<output", "calls", "size", "time", "share", "source", "gain"]
    rows = [
        [
            row["operator"],
            row["output"],
            str(row["count"]),
            f"{row['size']:g}x",
            "?" if row["seconds"] is None else format_seconds(row["seconds"]),
            format_percent(row["share"]),
            row["source"],
            format_percent(row["gain"]),
        ]
        for row in plan["operators"]
    ]
    number = len(rows)
    title = (
        f"{number} operator{'s' * (number != 1)} to measure on {plan['device']} for {plan['model']}"
    )
    before, after = (format_percent(plan[f"width_{when}"]) for when in ("before", "expected"))
    return "\n".join(
        [
            title,
            "",
            table("", columns, rows),
            "",
            f"interval of the sum of all operators: now within {before}, then about {after}",
        ]
    )
