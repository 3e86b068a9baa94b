"""Predictions compared with measurements, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lydite.estimate import Accuracy
from lydite.report.text import percent, signed_percent, table
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.measure import Validation


def accuracy_table(results: Sequence[Validation]) -> str:
    """Table of predicted and measured times, with summary statistics."""
    points = [v.point for v in results]
    rows = [
        [
            p.name,
            format_seconds(p.measured),
            format_seconds(p.predicted),
            f"{format_seconds(p.low)} - {format_seconds(p.high)}",
            signed_percent(p.error),
            percent(v.prediction.coverage.node_coverage),
            percent(v.prediction.coverage.time_share("measured")),
        ]
        for v, p in zip(results, points, strict=True)
    ]
    columns = ["model", "measured", "predicted", "90 % interval", "error", "nodes", "time measured"]
    accuracy = Accuracy.of(points)
    why = "".join(f"\n\n{why_table(v)}" for v in results if v.why)
    within = percent(accuracy.within(0.1), 0)
    errors = (
        f"absolute error: median {percent(accuracy.median_abs)}, mean "
        f"{percent(accuracy.mean_abs)}, "
        f"worst {percent(abs(accuracy.worst.error))} ({accuracy.worst.name})\n"
        f"  bias {signed_percent(accuracy.bias)}; within 10 %: {within}"
    )
    return f"{table('', columns, rows)}{why}\n\n{errors}"


def why_table(validation: Validation, most: int = 10) -> str:
    """Operators that make the difference between the prediction and the whole."""
    measured = validation.measured_s
    rows = [
        [
            row.op_type,
            row.shape,
            str(row.count),
            format_seconds(row.alone_s),
            format_seconds(row.inside_s),
            signed_percent(row.total_s / measured),
        ]
        for row in validation.why[:most]
    ]
    title = f"why {validation.prediction.model}: operators alone and within the network"
    columns = ["<operator", "<input", "count", "alone", "within", "of the whole"]
    return table(title, columns, rows)


def coverage_table(results: Sequence[Validation]) -> str:
    """Table of the measured share of each prediction."""
    rows = [
        [
            v.prediction.model,
            str(sum(v.prediction.coverage.nodes.values())),
            percent(v.prediction.coverage.node_coverage),
            percent(v.prediction.coverage.type_coverage),
            percent(v.prediction.coverage.time_share("measured")),
        ]
        for v in results
    ]
    return table("", ["coverage", "operators", "nodes", "types", "time measured"], rows)
