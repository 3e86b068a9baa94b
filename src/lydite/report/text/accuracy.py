"""Accuracy of simulated steps as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lydite.cluster import summaries
from lydite.report.text import percent, signed_percent, table

if TYPE_CHECKING:
    from lydite.cluster import MeasuredStep


def accuracy_summary(cells: Sequence[MeasuredStep]) -> str:
    """Table of the accuracy of the simulation and of simple methods beside it."""
    found = summaries(cells)
    if not found:
        return "No step has a baseline: nothing is compared."
    rows = [
        [
            name,
            percent(a.mean_abs),
            signed_percent(a.bias),
            *(percent(a.within(limit), 0) for limit in (0.05, 0.10, 0.15)),
            f"{signed_percent(a.worst.error)} {a.worst.name}",
        ]
        for name, a in found.items()
    ]
    columns = ["method", "MAPE", "bias", "in 5 %", "in 10 %", "in 15 %", "<worst case"]
    points = len(next(iter(found.values())).points)
    title = f"Accuracy over {points} steps; the constant is fitted to these very baselines:"
    return table(title, columns, rows)
