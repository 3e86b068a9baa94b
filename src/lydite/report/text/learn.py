"""The learned estimator as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import percent, signed_percent, table


def fit_text(document: Mapping[str, Any]) -> str:
    """What was learned from what."""
    cells = [
        [
            row["family"],
            str(len(row["devices"])),
            f"{row['rows']:,}",
            str(row["trees"]),
            ", ".join(f"{low:.2f} to {high:.2f}" for low, high in row["bounds"]),
        ]
        for row in document["families"]
    ]
    columns = ["family", "devices", "rows", "trees", "<measured / predicted, 90 %, by size"]
    return "\n".join([table("", columns, cells), "", f"written: {document['folder']}"])


def evaluation_text(document: Mapping[str, Any]) -> str:
    """Errors on devices that were left out, beside roofline, physics and one constant."""
    columns = ["family", "<left out", "rows", "mean", "median", "p90", "bias", "inside"]
    columns += ["width", "roofline", "physics", "constant"]
    cells = [
        [
            row["family"],
            row["device"].removeprefix("nvidia-"),
            f"{row['rows']:,}",
            percent(row["mean"]),
            percent(row["median"]),
            percent(row["p90"]),
            signed_percent(row["bias"]),
            percent(row["inside"], 0),
            f"{row['width']:.2f}",
            percent(row["roofline"]),
            percent(row["physics"]),
            percent(row["constant"]),
        ]
        for row in document["families"]
    ]
    return table("Errors on devices that were left out", columns, cells)
