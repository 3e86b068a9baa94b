"""The operators of a model as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import percent, table
from lydite.units import format_seconds, format_si


def ops_text(facts: Mapping[str, Any]) -> str:
    """Head line and a table of operators."""
    rows = [_cells(row) for row in facts["ops"]]
    columns = ["operator", "<sizes", "count", "share", "each", "<source", "work", "FLOP/B"]
    columns += ["<bound", "space"]
    lines = [headline(facts), "", table("", columns, rows)]
    if facts["without_time"]:
        lines += ["", f"without a time, hence not ranked: {facts['without_time']} operators"]
    return "\n".join(lines)


def headline(facts: Mapping[str, Any]) -> str:
    """Model, device, and how much of the time is listed."""
    return (
        f"{facts['model']} on {facts['device']}: {facts['operators']} operators, "
        f"{facts['distinct']} distinct, {format_seconds(facts['seconds'])}; the {facts['shown']} "
        f"listed take {percent(facts['share_shown'])}"
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    each, share, work = row["seconds_each"], row["time_share"], row["flops"]
    size = row["configurations"]
    return [
        row["op_type"].rpartition(":")[2],
        sizes(row),
        str(row["count"]),
        "?" if share is None else percent(share),
        "unknown" if each is None else format_seconds(each),
        row["source"],
        "?" if work is None else format_si(work, ""),
        "?" if row["intensity"] is None else f"{row['intensity']:.1f}",
        row["bound"],
        "?" if size is None else str(size) if size else "none",
    ]


def sizes(row: Mapping[str, Any]) -> str:
    """Shapes of the first input and the first parameter."""
    first = [_shape(types[0]) for types in (row["inputs"], row["parameters"]) if types]
    return " * ".join(first)


def _shape(text: str) -> str:
    return text.partition("[")[2].rstrip("]").replace(",", "x")
