"""Layers as SCALE-Sim counts them, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import table

_SHARES = ("utilisation_percent", "mapping_percent", "compute_percent")


def scalesim_text(document: Mapping[str, Any]) -> str:
    """One line per layer, and the sum."""
    rows = [
        [
            row["layer"],
            f"{row['cycles']:,.0f}",
            f"{row['stall_cycles']:,.0f}",
            *(f"{row[share]:.2f}" for share in _SHARES),
        ]
        for row in document["layers"]
    ]
    columns = ["layer", "cycles", "stalls", "overall util %", "mapping %", "compute util %"]
    return "\n".join(
        [
            f"{document['model']} on {document['array']}, as SCALE-Sim 3.0.0 counts",
            table("", columns, rows),
            "",
            f"{document['cycles']:,.0f} cycles, {document['stall_cycles']:,.0f} of them stalls",
        ]
    )
