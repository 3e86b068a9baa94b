"""Constants fitted to measured steps as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import percent, table


def calibrate_text(document: Mapping[str, Any]) -> str:
    """Assumed and fitted constants, errors by use of the rows, and the bounds of a step."""
    assumed = document["assumed"]
    constants = [
        [name, f"{assumed[name]:.3g}" if name in assumed else "the runtime's", f"{value:.3g}"]
        for name, value in document["constants"].items()
    ]
    errors = [
        [
            name,
            str(document["rows_by_use"][name]),
            percent(error["mean_abs_error"]),
            percent(error["worst_abs_error"]),
        ]
        for name, error in document["errors"].items()
    ]
    low, high = document["bounds_over_step"]
    return "\n\n".join(
        [
            table("", ["constant", "assumed", "fitted"], constants),
            table("", ["rows", "count", "mean error", "worst"], errors),
            f"nine of ten steps take {low:.2f} to {high:.2f} times the simulated time "
            f"({document['judged_by']})",
        ]
    )
