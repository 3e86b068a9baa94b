"""Boards of published results as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import signed_percent, table

_MOST_ROWS = 60


def board_text(document: Mapping[str, Any]) -> str:
    """A board, the best first, with its source."""
    if document["board"] == "sdu-cards":
        return _cards_text(document)
    return _mlperf_text(document)


def _cards_text(document: Mapping[str, Any]) -> str:
    columns = ["card", "models", "latency", "energy", "recomputed", "", "geometric", ""]
    cells = [
        [
            card["device"],
            str(card["models"]),
            f"{card['printed_latency']:.2f}",
            f"{card['printed_energy']:.2f}",
            f"{card['recomputed_latency']:.2f}",
            f"{card['recomputed_energy']:.2f}",
            f"{card['geometric_latency']:.0f}",
            f"{card['geometric_energy']:.0f}",
        ]
        for card in sorted(document["cards"], key=lambda card: -card["printed_latency"])
    ]
    lines = [table("PUBLISHED scores (latency, energy)", columns, cells)]
    rows = document["rows"]
    if len({row["model"] for row in rows}) == 1:
        lines += ["", _model_table(rows)]
    found = document["inconsistent"]
    lines.append("")
    count = sum(len(row["differences"]) for row in found)
    lines.append(f"{count} printed scores do not follow from the repository's baseline:")
    lines += [
        f"  {row['device']}, {row['model']}: {what} {row['printed'][what]:.2f} printed, "
        f"{row['recomputed']['rtx-2080-ti'][what]:.2f} recomputed "
        f"({signed_percent(gap)}); {row['recomputed']['rtx-2080-ti-image'][what]:.2f} with "
        "the image's baseline"
        for row in found
        for what, gap in row["differences"].items()
    ]
    return "\n".join([*lines, "", f"source: {document['source']}"])


def _model_table(rows: Any) -> str:
    columns = ["card", "ms", "J", "MB", "W", "latency", "energy"]
    cells = [
        [
            row["device"],
            f"{row['latency_ms']:.4g}",
            f"{row['energy_j']:.4g}",
            f"{row['memory_mb']:.0f}",
            f"{row['power_w']:.0f}",
            f"{row['printed']['latency']:.2f}",
            f"{row['printed']['energy']:.2f}",
        ]
        for row in rows
    ]
    return table(rows[0]["model"], columns, cells)


def _mlperf_text(document: Mapping[str, Any]) -> str:
    rows = sorted(
        document["rows"],
        key=lambda row: (row["model"], row["scenario"], -(row["per_accelerator"] or 0.0)),
    )
    columns = ["submitter", "<accelerator", "n", "<scenario", "result", "<unit", "each"]
    columns += ["ESTIMATE each"]
    cells = [
        [
            row["submitter"][:12],
            _short(row["accelerator"]),
            str(row["accelerators"]),
            row["scenario"],
            f"{row['value']:,.5g}",
            row["unit"],
            "-" if row["per_accelerator"] is None else f"{row['per_accelerator']:,.4g}",
            _estimate(row.get("estimate")),
        ]
        for row in rows[:_MOST_ROWS]
    ]
    models = sorted({row["model"] for row in rows})
    lines = [table(f"MLPerf Inference v6.0, {', '.join(models)}: PUBLISHED", columns, cells)]
    if len(rows) > _MOST_ROWS:
        lines.append(f"and {len(rows) - _MOST_ROWS} more (--model, or --json)")
    reasons = sorted(
        {
            f"{row['accelerator']}: {row['estimate']['reason']}"
            for row in rows
            if "reason" in row.get("estimate", {})
        }
    )
    lines += [f"no estimate for {reason}" for reason in reasons[:8]]
    lines += ["", f"source: {document['source']}"]
    lines.append("each: result per accelerator, which is no official metric")
    return "\n".join(lines)


def _short(accelerator: str) -> str:
    """An accelerator without what its name repeats."""
    for words in ("NVIDIA ", "AMD Instinct ", " Server Edition", "(R)", " Blackwell"):
        accelerator = accelerator.replace(words, "")
    return accelerator[:22]


def _estimate(estimate: Mapping[str, Any] | None) -> str:
    if not estimate or "per_accelerator" not in estimate:
        return "-"
    return f"{estimate['per_accelerator']:,.4g} ({estimate['low']:,.3g} to {estimate['high']:,.3g})"
