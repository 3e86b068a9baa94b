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
            "{:.2f} to {:.2f}".format(*row["bounds"]),
        ]
        for row in document["families"]
    ]
    columns = ["family", "devices", "rows", "trees", "<measured / predicted, 90 %, elsewhere"]
    own = [_own(row) for row in document["families"] if "own_rows" in row]
    lines = [table("", columns, cells), "", *own, f"written: {document['folder']}"]
    return "\n".join(lines)


def _own(row: Mapping[str, Any]) -> str:
    """What own rows made of a family."""
    rows = f"{row['family']}: {row['own_rows']:,} own rows"
    if row["after"] is None:
        return f"{rows}, too few to fit on; mean error {percent(row['before'])}"
    kept = "kept" if row["kept"] else "left as it was"
    change = f"{percent(row['before'])} to {percent(row['after'])} on rows left out"
    return f"{rows}, mean error {change}: {kept}"


def evaluation_text(document: Mapping[str, Any]) -> str:
    """Errors on devices that were left out, beside roofline, physics and one constant."""
    columns = ["family", "<left out", "rows", "mean", "median", "p90", "bias", "inside"]
    columns += ["width", "roofline", "physics", "constant", "nearest"]
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
            percent(row["nearest"]),
        ]
        for row in document["families"]
    ]
    return table("Errors on devices that were left out", columns, cells)
