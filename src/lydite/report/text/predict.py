"""A prediction as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lydite.report.text import percent, table
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.estimate import Prediction


def predict_text(prediction: Prediction, *, ops: bool = False, note: str = "") -> str:
    """The answer, a table of operator types (of operators with `ops`), and the coverage.

    Args:
        prediction: what is shown.
        ops: whether each operator has a line.
        note: a line more below the coverage.
    """
    shown = _op_table(prediction) if ops else _type_table(prediction)
    end = f"\n{note}" if note else ""
    return f"{headline(prediction)}\n\n{shown}\n\n{coverage_line(prediction)}{end}"


def headline(prediction: Prediction) -> str:
    """The answer in a line."""
    total = prediction.total
    bound = "" if prediction.complete else "at least "
    return (
        f"{prediction.model} on {prediction.device.name}: {bound}{format_seconds(total.seconds)} "
        f"({format_seconds(total.low)} to {format_seconds(total.high)}, 90 %)"
    )


def coverage_line(prediction: Prediction) -> str:
    """Coverage by node, by type and by time."""
    found = prediction.coverage
    sources = ", ".join(
        f"{source} {percent(found.time_share(source))}"
        for source in sorted(found.seconds, key=lambda s: -found.seconds[s])
    )
    line = (
        f"coverage: nodes {percent(found.node_coverage)}, types {percent(found.type_coverage)}; "
        f"time: {sources or 'none'}"
    )
    if found.uncovered:
        missed = " ".join(f"{kind}({count})" for kind, count in found.uncovered.items())
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
    kinds: dict[str, list[Any]] = {}
    for node in prediction.nodes:
        kinds.setdefault(node.op_type, []).append(node.estimate)
    total = prediction.total.seconds
    rows = []
    for kind, found in sorted(
        kinds.items(), key=lambda item: -sum(e.seconds for e in item[1] if e)
    ):
        known = [e for e in found if e]
        seconds = sum(e.seconds for e in known)
        sources = ", ".join(sorted({e.source for e in known})) or "unknown"
        rows.append(
            [
                kind,
                str(len(found)),
                format_seconds(seconds) if known else "unknown",
                percent(seconds / total) if total else "-",
                sources,
            ]
        )
    if prediction.call is not None:
        seconds = prediction.call.seconds
        rows.append(["(call)", "1", format_seconds(seconds), percent(seconds / total), "measured"])
    return table("", ["type", "count", "time", "share", "<source"], rows)
