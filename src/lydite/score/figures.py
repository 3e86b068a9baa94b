"""Figures of a model from its raw samples: latency, throughput, energy, power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def seconds_per_unit(row: Mapping[str, Any]) -> list[np.ndarray]:
    """Seconds of a unit by turn and sample, from the nanoseconds of a row's turns."""
    return [
        np.sum(np.asarray(turn["stage_ns"], float), axis=0)
        * 1e-9
        / (turn["grouped"] * row["units"])
        for turn in row["turns"]
    ]


def figures_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Latency, throughput, energy and power of a model, from its raw samples."""
    turns = seconds_per_unit(row)
    every = np.concatenate(turns) if turns else np.zeros(0)
    energy = _energy(row)
    known: dict[str, Any] = {
        "model": row["model"],
        "precision": row["precision"],
        "batch": row["batch"],
        "is_board": row["is_board"],
        "latency_s": None,
        "latency_mean_s": None,
        "latency_p90_s": None,
        "latency_p99_s": None,
        "throughput_per_s": None,
        "stages_s": [],
        "round_medians_s": [float(np.median(turn)) for turn in turns],
        "iterations": sum(turn["grouped"] * len(turn["stage_ns"][0]) for turn in row["turns"]),
        "measured_s": sum((turn["end_ns"] - turn["begin_ns"]) * 1e-9 for turn in row["turns"]),
        **energy,
    }
    contended = [turn.get("contended_cores") for turn in row["turns"]]
    if any(cores is not None for cores in contended):  # accelerators and older results have none
        known["contended_cores"] = float(np.mean([cores or 0.0 for cores in contended]))
    if every.size:
        iteration = row["units"]
        known |= {
            "latency_s": float(np.median(every)),
            "latency_mean_s": float(every.mean()),
            "latency_p90_s": float(np.percentile(every, 90)),
            "latency_p99_s": float(np.percentile(every, 99)),
            "throughput_per_s": 1 / float(np.median(every)),
            "stages_s": _stages(row),
        }
        known["flops_per_s"] = (
            row["flops"] / iteration / known["latency_s"] if row["flops"] is not None else None
        )
    return known


def _stages(row: Mapping[str, Any]) -> list[float]:
    """Median seconds of each network of an iteration, with all its calls."""
    columns = [
        np.concatenate([np.asarray(t["stage_ns"][i], float) / t["grouped"] for t in row["turns"]])
        for i in range(len(row["turns"][0]["stage_ns"]))
    ]
    return [float(np.median(column)) * 1e-9 for column in columns]


def _energy(row: Mapping[str, Any]) -> dict[str, Any]:
    """Joules of a unit and mean watts over the turns; None without a sensor for all of them."""
    windows: list[Mapping[str, Any]] = [
        turn.get("energy") or {"source": "none"} for turn in row["turns"]
    ]
    sources = {window["source"] for window in windows}
    source = next(iter(sources)) if len(sources) == 1 else "none"
    nothing = {
        "energy_j": None,
        "energy_above_idle_j": None,
        "mean_power_w": None,
        "energy_source": "none",
    }
    if source == "none":
        return nothing
    iterations = sum(turn["grouped"] * len(turn["stage_ns"][0]) for turn in row["turns"])
    units = iterations * row["units"]
    seconds = sum((turn["end_ns"] - turn["begin_ns"]) * 1e-9 for turn in row["turns"])
    joules = sum(window["joules"] for window in windows)
    above: list[Any] = [window.get("above_idle_j") for window in windows]
    return {
        "energy_j": joules / units,
        "energy_above_idle_j": None if None in above else sum(above) / units,
        "mean_power_w": joules / seconds,
        "energy_source": source,
    }
