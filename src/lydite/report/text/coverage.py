"""The measured share of models as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import percent, table


def coverage_text(models: Sequence[Mapping[str, Any]], mean: Mapping[str, float]) -> str:
    """One line per model, and the means over several models."""
    cells = [
        [
            row["model"],
            f"{row['nodes_measured']}/{row['nodes']}",
            percent(row["node_coverage"]),
            f"{row['types_measured']}/{row['types']}",
            percent(row["type_coverage"]),
            percent(row["time_coverage"]),
            _named(row["not_measured"]),
        ]
        for row in models
    ]
    columns = ["model", "nodes", "share", "types", "share", "of time", "<not measured"]
    lines = [table(f"measured on {models[0]['device']}", columns, cells)]
    if len(models) > 1:
        shares = ", ".join(f"{k.partition('_')[0]} {percent(v)}" for k, v in mean.items())
        lines.append(f"\nmean: {shares}")
    return "\n".join(lines)


def _named(missed: Mapping[str, int], most: int = 3) -> str:
    shown = " ".join(f"{op_type}({count})" for op_type, count in list(missed.items())[:most])
    return shown + (f" and {len(missed) - most} more" if len(missed) > most else "")
