"""Tuned operators and nets as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import percent, table
from lydite.report.text.ops import sizes
from lydite.units import format_seconds


def tune_text(facts: Mapping[str, Any]) -> str:
    """Operators before and after, then the whole model."""
    lines = [whole_line(facts), "", _operators(facts["ops"])]
    for row in facts["ops"]:
        if row["failed"]:
            failed = ", ".join(f"{status} {count}" for status, count in row["failed"].items())
            lines.append(f"failed trials of {row['op_type']} {sizes(row)}: {failed}")
    if facts["skipped"]:
        lines.append(f"without a schedule space: {', '.join(facts['skipped'])}")
    lines.append(f"target: {facts['target']}; CPU time on one thread, as in a net")
    return "\n".join(lines)


def whole_line(facts: Mapping[str, Any]) -> str:
    """The model before and after."""
    whole = facts["whole"]
    if whole is None:
        return f"{facts['model']} on {facts['device']}: {facts['whole_note']}"
    return (
        f"{facts['model']} on {facts['device']}: ONNX Runtime {format_seconds(whole['before_s'])}, "
        f"tuned {format_seconds(whole['after_s'])}: ratio {whole['ratio']:.3f} "
        f"({whole['ratio_low']:.3f} to {whole['ratio_high']:.3f}, 95 %), "
        f"{whole['tuned_operators']} operators tuned, outputs within {whole['disagreement']:.0e}"
    )


def _operators(rows: list[dict[str, Any]]) -> str:
    columns = ["operator", "<sizes", "count", "space", "trials", "before", "after", "ratio", "95 %"]
    columns.append("<decision")
    return table("", columns, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> list[str]:
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    return [
        row["op_type"].rpartition(":")[2],
        sizes(row),
        str(row["count"]),
        str(row["configurations"]),
        f"{row['trials']}+{row['known']}" if row["known"] else str(row["trials"]),
        format_seconds(row["before_s"]) if row["before_s"] else "-",
        format_seconds(row["after_s"]) if row["after_s"] else "-",
        f"{ratio:.3f}" if ratio else "-",
        f"{low:.2f}-{high:.2f}" if low and high else "-",
        row["decision"],
    ]


def tune_op_text(facts: Mapping[str, Any]) -> str:
    """One operator before and after, and its schedule."""
    row = facts["op"]
    factors = ", ".join(f"{name}={value}" for name, value in row["factors"].items())
    lines = [f"{facts['operator']} on {facts['device']}: {row['decision']}", ""]
    lines.append(_operators([row]))
    if row["space"]:
        lines.append(f"best schedule: {row['space']}({factors})")
    lines.append(f"target: {facts['target']}; CPU time on one thread, as in a net")
    return "\n".join(lines)


def compare_text(facts: Mapping[str, Any]) -> str:
    """Trials that each tuner needs."""
    rows = [
        [
            row["tuner"],
            _count(row["trials_to_5_percent"]),
            _count(row["trials_to_2_percent"]),
            f"{row['best_over_table']:.3f}",
        ]
        for row in facts["tuners"]
    ]
    factors = ", ".join(f"{name}={value}" for name, value in facts["best_factors"].items())
    return "\n".join(
        [
            f"{facts['operator']} on {facts['device']}: {facts['measured']} of "
            f"{facts['configurations']} configurations measured, {facts['failed']} failed",
            f"best {format_seconds(facts['best_s'])}: {facts['best_space']}({factors})",
            f"within 5 % of it lie {percent(facts['share_within_5_percent'])}, within 2 % "
            f"{percent(facts['share_within_2_percent'])}",
            "",
            table(
                f"median trials over {facts['seeds']} seeds",
                ["tuner", "to 5 %", "to 2 %", "best / table's"],
                rows,
            ),
        ]
    )


def _count(trials: float | None) -> str:
    return "never" if trials is None else f"{trials:g}"


def expect_text(facts: Mapping[str, Any]) -> str:
    """What tuning promises, operator by operator."""
    rows = [
        [
            row["op_type"].rpartition(":")[2],
            sizes(row),
            str(row["count"]),
            format_seconds(row["now_s"]) if row["now_s"] else "?",
            row["now_source"],
            format_seconds(row["expected_s"]),
            f"{format_seconds(row['low_s'])} - {format_seconds(row['high_s'])}",
            f"{row['rows']} trials" if row["source"] == "trials" else "formula",
            ", ".join(factor["factor"] for factor in row["factors"][:3]),
        ]
        for row in facts["ops"]
    ]
    columns = [
        "operator",
        "<sizes",
        "count",
        "now",
        "<source",
        "tuned",
        "90 %",
        "<from",
        "<factors",
    ]
    gain = sum(max(0.0, row["gain_s"] or 0.0) for row in facts["ops"])
    return "\n".join(
        [
            f"{facts['model']} on {facts['device']}: after {facts['trials']} trials each, "
            f"{format_seconds(gain)} of {format_seconds(facts['seconds'])} less (predicted)",
            "",
            table("", columns, rows),
        ]
    )
