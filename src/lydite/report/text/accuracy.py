"""Accuracy of simulated steps as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lydite.cluster import summaries
from lydite.report.text import percent, signed_percent, table

if TYPE_CHECKING:
    from lydite.cluster import MeasuredStep


def accuracy_summary(cells: Sequence[MeasuredStep]) -> str:
    """Table of the accuracy of the simulation, with simple methods for comparison."""
    by_method = summaries(cells)
    if not by_method:
        return "No step has a baseline to compare with."
    rows = [
        [
            name,
            percent(a.mean_abs),
            signed_percent(a.bias),
            *(percent(a.within(limit), 0) for limit in (0.05, 0.10, 0.15)),
            f"{signed_percent(a.worst.error)} {a.worst.name}",
        ]
        for name, a in by_method.items()
    ]
    columns = ["method", "MAPE", "bias", "within 5 %", "within 10 %", "within 15 %", "<worst case"]
    points = len(next(iter(by_method.values())).points)
    title = f"Accuracy over {points} steps; the constant is fitted to these same baselines:"
    return table(title, columns, rows)
