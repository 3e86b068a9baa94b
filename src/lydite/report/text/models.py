"""The model set as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lydite.report.text import table
from lydite.units import format_si


def models_text(models: Sequence[Mapping[str, Any]]) -> str:
    """One line per model."""
    cells = [
        [
            row["model"],
            format_si(row["parameters"], ""),
            format_si(row["flops"], "FLOP"),
            str(row["operators"]),
            ", ".join(f"{name} {type_}" for name, type_ in list(row["inputs"].items())[:1]),
        ]
        for row in models
    ]
    return table("", ["model", "parameters", "work", "operators", "<input"], cells)
