"""Results of a profile as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table


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
