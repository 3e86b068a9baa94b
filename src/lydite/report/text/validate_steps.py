"""Simulated training steps compared with measured ones, as text."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from lydite.report.text import signed_percent, table
from lydite.report.text.accuracy import accuracy_summary
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.cluster.baseline import Comparison


def steps_text(comparison: Comparison) -> str:
    """Steps with their errors, the accuracy, and what was not compared."""
    rows = [
        [
            s.model,
            str(s.devices),
            format_seconds(s.baseline_s),
            format_seconds(s.predicted_s),
            f"{format_seconds(s.low_s)} - {format_seconds(s.high_s)}",
            signed_percent(s.error),
        ]
        for s in comparison.steps
    ]
    columns = ["model", "devices", "measured", "simulated", "bounds", "error"]
    lines = [table("", columns, rows), accuracy_summary(comparison.steps), *comparison.notes]
    lines += [f"not compared: {reason}" for reason in comparison.not_compared]
    return "\n\n".join(
        [*lines[:2], "\n".join(fill(line, 100, subsequent_indent="  ") for line in lines[2:])]
    ).rstrip()
