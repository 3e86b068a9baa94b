"""Published results as boards: facts with their source, never mixed with what was measured here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from lydite.errors import unknown_name
from lydite.records import dataclass
from lydite.score.baseline import FROZEN, Baseline, find_baseline
from lydite.score.scoring import POINTS, geometric_mean
from lydite.score.sets import find_set

BOARDS = ("sdu-cards", "mlperf-v6.0")
_ROUNDING = 0.0051
"""Printed scores are rounded to 0.01."""


@dataclass(frozen=True)
class Table:
    """A shipped table: its rows, and the comment that says where they come from."""

    source: str
    rows: Sequence[dict[str, str]]


def read_table(name: str) -> Table:
    """A table of published figures."""
    text = (files("lydite.score") / "published" / f"{name}.csv").read_text("utf-8")
    lines = text.splitlines()
    comment = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    return Table(" ".join(comment), list(csv.DictReader(lines[len(comment) :])))


def cards() -> dict[str, Any]:
    """The benchmark's own cards as printed, every score recomputed, and differences listed.

    A card whose printed scores agree with no figure of the shipped baseline was printed with
    another one; both recomputed scores stand beside the printed one.
    """
    table, devices = read_table("sdu-cards"), read_table("sdu-devices")
    chosen = find_set("full")
    baselines = {name: find_baseline(name, chosen) for name in FROZEN}
    rows = [_card_row(row, baselines) for row in table.rows]
    return {
        "board": "sdu-cards",
        "source": table.source,
        "rows": rows,
        "cards": [_card(row, rows) for row in devices.rows],
        "inconsistent": [row for row in rows if row["differences"]],
    }


def _card_row(row: dict[str, str], baselines: dict[str, Baseline]) -> dict[str, Any]:
    latency_ms, energy_j = float(row["latency_ms"]), float(row["energy_j"])
    printed = {"latency": float(row["latency_score"]), "energy": float(row["energy_score"])}
    again: dict[str, dict[str, float]] = {}
    for name, baseline in baselines.items():
        known = baseline.models[row["model"]]
        again[name] = {
            "latency": POINTS * known.latency_ms / latency_ms,
            "energy": POINTS * (known.energy_j or 0.0) / energy_j,
        }
    own = again["rtx-2080-ti"]
    slack = {
        "latency": float(row["latency_half_ms"]) / latency_ms,
        "energy": float(row["energy_half_j"]) / energy_j,
    }
    differences = {
        what: printed[what] / own[what] - 1
        for what in printed
        if abs(printed[what] - own[what]) > _ROUNDING + (slack[what] + 2e-6) * own[what]
    }
    return {
        "card": row["card"],
        "device": row["device"],
        "model": row["model"],
        "latency_ms": latency_ms,
        "energy_j": energy_j,
        "memory_mb": float(row["memory_mb"]),
        "power_w": float(row["power_w"]),
        "printed": printed,
        "recomputed": again,
        "differences": differences,
    }


def _card(row: dict[str, str], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    own = [each for each in rows if each["card"] == row["card"]]
    printed = {
        what: sum(each["printed"][what] for each in own) / len(own)
        for what in ("latency", "energy")
    }
    again = {
        what: [each["recomputed"]["rtx-2080-ti"][what] for each in own]
        for what in ("latency", "energy")
    }
    return {
        "card": row["card"],
        "device": row["device"],
        "models": len(own),
        "printed_latency": float(row["latency_score"]),
        "printed_energy": float(row["energy_score"]),
        "mean_of_printed_latency": printed["latency"],
        "mean_of_printed_energy": printed["energy"],
        "recomputed_latency": sum(again["latency"]) / len(own),
        "recomputed_energy": sum(again["energy"]) / len(own),
        "geometric_latency": geometric_mean(again["latency"], [1.0] * len(own)),
        "geometric_energy": geometric_mean(again["energy"], [1.0] * len(own)),
    }


def mlperf_results(model: str | None) -> dict[str, Any]:
    """Results of MLPerf Inference v6.0, of one benchmark or of all.

    Raises:
        InputError: the round has no such benchmark.
    """
    table = read_table("mlperf-v6.0")
    names = sorted({row["model"] for row in table.rows})
    if model is not None and model not in names:
        raise unknown_name("benchmark of the board", model, names)
    rows = [
        {
            **{key: row[key] for key in ("submitter", "division", "suite", "system")},
            "accelerator": row["accelerator"] or "none (processors)",
            "accelerators": int(row["accelerators"]),
            "model": row["model"],
            "scenario": row["scenario"],
            "value": float(row["value"]),
            "unit": row["unit"],
            "weights": row["weights"],
            "framework": row["framework"],
            "per_accelerator": _each(row),
        }
        for row in table.rows
        if model is None or row["model"] == model
    ]
    return {"board": "mlperf-v6.0", "source": table.source, "rows": rows, "models": names}


def _each(row: dict[str, str]) -> float | None:
    """Rate of one accelerator, which is no official metric; None for latencies and processors."""
    count = int(row["accelerators"])
    return float(row["value"]) / count if count and row["unit"].endswith("/s") else None
