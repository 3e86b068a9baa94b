"""Scores: 1000 times a baseline's figure over the measured one, and their weighted means.

Every figure here follows from the raw samples of a result alone, so that `verify` can repeat it.

The device score is the weighted geometric mean; the arithmetic mean of mean times, as the AI
Accelerators Benchmark computes it (process/data_handle_tools.py), stands beside it. An interval
says where a repeat of the run would score in 95 of 100 cases: rounds are drawn with replacement
(Efron 1979), all models together, as they share what the machine did in a round; the distances
from the centre are then scaled by sqrt(2) for the repeat's own noise and by sqrt(R / (R - 1)) for
the small number R of rounds. Where others took `k` of the cores from the run, it may have been
1 + min(k, 1) times as slow as alone, and a repeat may meet none of them or as many again: both ends
move out by that factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lydite.score.baseline import Baseline
from lydite.score.sets import at_least_as_wide

POINTS = 1000.0
LEAST_COSINE = 0.99
"""Cosine similarity to float32 from which a precision counts as valid."""
_DRAWS = 2000
_CONFIDENCE = 95.0
SCORING_SOURCES = ("counter", "polled")
"""Sources of energy that may be scored; modelled power is not."""


def valid(row: Mapping[str, Any]) -> bool:
    """Whether a row's answers are near enough to float32's to count."""
    cosine = (row["fidelity"] or {}).get("cosine")
    return cosine is None or cosine >= LEAST_COSINE


def board(
    rows: Sequence[Mapping[str, Any]],
    figures: Sequence[Mapping[str, Any]],
    baseline: Baseline,
    kind: str,
) -> dict[str, int]:
    """The row of each model that a board takes, by its place.

    Args:
        rows: Rows of raw samples, of batch one or more.
        figures: Their figures.
        baseline: Baseline, whose models the board has.
        kind: "equal" takes the baseline's precision, or the nearest wider one; "best" the fastest
            one whose answers are near enough to float32's.
    """
    taken: dict[str, int] = {}
    for place, (row, figure) in enumerate(zip(rows, figures, strict=True)):
        model, wanted = row["model"], baseline.models.get(row["model"])
        if wanted is None or figure["latency_s"] is None or row["batch"] != 1:
            continue
        if kind == "equal" and not at_least_as_wide(row["precision"], wanted.precision):
            continue
        # What the baseline's precision loses, the baseline lost too.
        if not valid(row) and row["precision"] != wanted.precision:
            continue
        before = taken.get(model)
        if before is None or _better(row, figure, rows[before], figures[before], wanted, kind):
            taken[model] = place
    return taken


def _better(row: Any, figure: Any, other: Any, known: Any, wanted: Any, kind: str) -> bool:
    """Whether a row is to be taken rather than another."""
    if kind == "best":
        return figure["latency_s"] < known["latency_s"]
    if other["precision"] == wanted.precision:
        return False
    if row["precision"] == wanted.precision:
        return True
    return at_least_as_wide(other["precision"], row["precision"])


def scores(
    rows: Sequence[Mapping[str, Any]],
    figures: Sequence[Mapping[str, Any]],
    baseline: Baseline,
    weights: Mapping[str, float],
    price_usd: float | None = None,
    kind: str = "equal",
) -> dict[str, Any]:
    """Scores of a board: by model and of the device, with intervals.

    Args:
        rows: Rows of raw samples.
        figures: Their figures.
        baseline: What scores 1000.
        weights: Weight of each model of the set.
        price_usd: Price of the device in dollars.
        kind: As for `board`.
    """
    taken = board(rows, figures, baseline, kind)
    models = {
        name: _model_scores(rows[place], figures[place], baseline, price_usd)
        for name, place in taken.items()
    }
    device = {
        what: _device(what, rows, figures, taken, models, weights) for what in ("latency", "energy")
    }
    return {"board": kind, "models": models, "device": device}


def _model_scores(
    row: Mapping[str, Any], figure: Mapping[str, Any], baseline: Baseline, price_usd: float | None
) -> dict[str, Any]:
    known = baseline.models[row["model"]]
    latency = POINTS * known.latency_ms * 1e-3 / figure["latency_s"]
    energy = None
    if known.energy_j is not None and figure["energy_source"] in SCORING_SOURCES:
        energy = POINTS * known.energy_j / figure["energy_j"]
    watts = figure["mean_power_w"]
    wider = row["precision"] != known.precision
    return {
        "precision": row["precision"],
        "note": f"{row['precision']}, and {known.precision} in the baseline" if wider else "",
        "latency": latency,
        "latency_low": None,
        "latency_high": None,
        "latency_mean": POINTS * known.latency_ms * 1e-3 / figure["latency_mean_s"],
        "energy": energy,
        "energy_source": figure["energy_source"],
        "per_watt": latency / watts if watts else None,
        "per_dollar": latency / price_usd if price_usd else None,
    } | _interval_of_model(figure, latency)


def _interval_of_model(figure: Mapping[str, Any], latency: float) -> dict[str, float]:
    low, high = repeat_interval(
        [np.log(figure["round_medians_s"])], [1.0], [figure.get("contended_cores", 0.0)]
    )
    if low is None or high is None:
        return {}
    return {"latency_low": latency * math.exp(-high), "latency_high": latency * math.exp(-low)}


def repeat_interval(
    logs: Sequence[np.ndarray], weights: Sequence[float], contended_cores: Sequence[float]
) -> tuple[float | None, float | None]:
    """How far below and above its centre a weighted mean of logarithms may lie in a repeat.

    Args:
        logs: Logarithm of each model's median in each round.
        weights: Weight of each model.
        contended_cores: Cores that others took from each model's run.

    Returns:
        The ends of the 95 % interval, as distances from the centre; None with one round.
    """
    rounds = min((len(log) for log in logs), default=0)
    if rounds < 2:
        return None, None
    share = np.asarray(weights, float) / np.sum(weights)
    draws = np.random.default_rng(0).integers(0, rounds, (_DRAWS, rounds))
    total = np.zeros(_DRAWS)
    for log, weight in zip(logs, share, strict=True):
        total += weight * (np.median(log[:rounds][draws], axis=1) - np.median(log))
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(total, [tail, 100 - tail])
    factor = math.sqrt(2) * math.sqrt(rounds / (rounds - 1))
    beside = float(share @ np.log1p(np.minimum(contended_cores, 1.0)))
    return float(low) * factor - beside, float(high) * factor + beside


def geometric_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Weighted geometric mean of positive numbers."""
    return math.exp(float(np.average(np.log(values), weights=weights)))


def _device(
    what: str,
    rows: Sequence[Mapping[str, Any]],
    figures: Sequence[Mapping[str, Any]],
    taken: Mapping[str, int],
    models: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, float],
) -> dict[str, Any]:
    """The device score of latency or energy; what is missing is named, and bounds the whole."""
    names = [name for name in taken if models[name][what] is not None]
    missing = {name: _why_missing(name, rows, models) for name in weights}
    missing = {name: reason for name, reason in missing.items() if name not in names}
    if not names:
        return {"score": None, "missing": missing, "is_partial": True}
    values = [models[name][what] for name in names]
    share = [weights[name] for name in names]
    score = geometric_mean(values, share)
    logs = [np.log(figures[taken[name]]["round_medians_s"]) for name in names]
    beside = [figures[taken[name]].get("contended_cores", 0.0) for name in names]
    low, high = repeat_interval(logs, share, beside) if what == "latency" else (None, None)
    times_ms = [figures[taken[name]]["latency_s"] * 1e3 for name in names]
    means = [models[name]["latency_mean" if what == "latency" else what] for name in names]
    absent = [weights[name] for name in missing]
    ends = [
        geometric_mean([*values, *[end] * len(absent)], [*share, *absent])
        for end in (min(values), max(values))
    ]
    return {
        "score": score,
        "low": score * math.exp(-high) if high is not None else None,
        "high": score * math.exp(-low) if low is not None else None,
        "arithmetic": float(np.mean(means)),
        "thousand_over_geomean_ms": POINTS / geometric_mean(times_ms, share),
        "missing": missing,
        "is_partial": bool(missing),
        "whole_low": ends[0],
        "whole_high": ends[1],
    }


def _why_missing(
    name: str, rows: Sequence[Mapping[str, Any]], models: Mapping[str, Mapping[str, Any]]
) -> str:
    """Why a model has no score."""
    if name in models:
        source = models[name]["energy_source"]
        return "no sensor" if source == "none" else f"its power is {source}"
    known = [row for row in rows if row["model"] == name]
    if not known:
        return "not run"
    failed = [row["reason"] for row in known if row["reason"]]
    if failed:
        return failed[0]
    if not any(valid(row) for row in known):
        return f"its answers differ from float32's (cosine below {LEAST_COSINE})"
    if not any(row["turns"] for row in known):
        return "cut off before its first turn"
    return "not in the baseline's precision, nor in a wider one, at batch 1"
