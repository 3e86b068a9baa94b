"""A prediction as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lydite.report.text import percent, table
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.estimate import Prediction


def predict_text(
    prediction: Prediction, *, ops: bool = False, note: str = "", first: str = ""
) -> str:
    """The total, a table of operator types (of operators with `ops`), and the coverage.

    Args:
        prediction: Prediction to show.
        ops: Whether to list every operator.
        note: Additional line below the coverage; "" for none.
        first: What has to be said before all else; "" for nothing.
    """
    shown = _op_table(prediction) if ops else _type_table(prediction)
    end = f"\n{note}" if note else ""
    start = f"{first}\n" if first else ""
    return f"{start}{headline(prediction)}\n\n{shown}\n\n{coverage_line(prediction)}{end}"


def headline(prediction: Prediction) -> str:
    """Model, device and total time with its 90 % interval, in one line."""
    total = prediction.total
    if total.seconds <= 0 and not prediction.complete:
        name = f"{prediction.model} on {prediction.device.name}"
        return f"{name}: time unknown, as no operator has an estimate"
    bound = "" if prediction.complete else "at least "
    return (
        f"{prediction.model} on {prediction.device.name}: {bound}{format_seconds(total.seconds)} "
        f"({format_seconds(total.low)} to {format_seconds(total.high)}, 90 %)"
    )


def coverage_line(prediction: Prediction) -> str:
    """Coverage by node, by type and by time."""
    coverage = prediction.coverage
    sources = ", ".join(
        f"{source} {percent(coverage.time_share(source))}"
        for source in sorted(coverage.seconds, key=lambda s: -coverage.seconds[s])
    )
    line = (
        f"coverage: nodes {percent(coverage.node_coverage)}, types "
        f"{percent(coverage.type_coverage)}; time: {sources or 'none'}"
    )
    if coverage.uncovered:
        missed = " ".join(f"{op_type}({count})" for op_type, count in coverage.uncovered.items())
        line += f"\nnot covered: {missed}"
    return line


def _op_table(prediction: Prediction) -> str:
    rows = [
        [
            node.name[-32:],
            node.op_type,
            format_seconds(e.seconds),
            f"{format_seconds(e.low)} - {format_seconds(e.high)}",
            e.source,
        ]
        if (e := node.estimate)
        else [node.name[-32:], node.op_type, "unknown", "", "unknown"]
        for node in prediction.nodes
    ]
    return table("", ["operator", "<type", "time", "90 % interval", "<source"], rows)


def _type_table(prediction: Prediction) -> str:
    by_type: dict[str, list[Any]] = {}
    for node in prediction.nodes:
        by_type.setdefault(node.op_type, []).append(node.estimate)
    total = prediction.total.seconds
    rows = []
    for op_type, estimates in sorted(
        by_type.items(), key=lambda item: -sum(e.seconds for e in item[1] if e)
    ):
        known = [e for e in estimates if e]
        seconds = sum(e.seconds for e in known)
        sources = ", ".join(sorted({e.source for e in known})) or "unknown"
        rows.append(
            [
                op_type,
                str(len(estimates)),
                format_seconds(seconds) if known else "unknown",
                percent(seconds / total) if total else "-",
                sources,
            ]
        )
    if prediction.call is not None:
        seconds = prediction.call.seconds
        rows.append(["(call)", "1", format_seconds(seconds), percent(seconds / total), "measured"])
    return table("", ["type", "count", "time", "share", "<source"], rows)
