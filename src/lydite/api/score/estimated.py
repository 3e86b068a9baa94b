"""A scorecard of a device that is not here: estimated, marked so, with intervals.

The time of each model is the sum of its networks' estimates. Errors of an estimator are partly its
own for each model and partly common to all models of a device (a share of its peak that is assumed
too high is too high for all): half of the variance is taken as common. The score's interval is that
of 10,000 draws from log-normal times whose 90 % intervals are the estimator's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lydite.api.score.options import ScoreOptions
from lydite.errors import InputError, LyditeError

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.hardware import Device
    from lydite.score.baseline import Baseline
    from lydite.score.pipeline import Task
    from lydite.score.sets import Entry, ModelSet

COMMON = 0.5
"""Share of the variance of an estimate's error that all models of a device have in common."""
_RUNTIMES = {"torch": "eager", "onnxruntime": "onnxruntime"}
"""What a backend is called as the runtime of an accelerator."""
_DRAWS = 10_000
_Z90 = 1.6448536269514722


def estimated(
    session: Session, on: str, wanted: ScoreOptions, models: ModelSet, baseline: Baseline | None
) -> dict[str, Any]:
    """The document of an estimated scorecard.

    Args:
        session: Session whose database may hold measurements of the device.
        on: Device of the catalog, or a .yaml file.
        wanted: What is run.
        models: Set of models.
        baseline: What scores 1000; None for a result without scores.

    Raises:
        InputError: the device is unknown, or no model has an estimate.
    """
    from lydite.api.devices import device_and_sources
    from lydite.api.score.combinations import combinations
    from lydite.measure.environment import utc_now
    from lydite.score.pipeline import task_of
    from lydite.score.sets import prompt_tokens

    with device_and_sources(session, on) as (device, _):
        pass
    tokens = prompt_tokens(wanted.questions)
    runtime = None if device.kind == "cpu" else _RUNTIMES.get(wanted.backend)
    rows: list[dict[str, Any]] = []
    figures: list[dict[str, Any]] = []
    with session.bar("score, estimated") as progress:
        combined = combinations(wanted, models, device.kind)
        for place, (name, entry, precision, batch, is_board) in enumerate(combined):
            progress(place, len(combined), name)
            task = task_of(name, entry, precision, batch, tokens, device="estimated")
            row, figure = _estimate(session, task, device, runtime, entry, is_board)
            rows.append(row)
            figures.append(figure)
        progress(len(combined), len(combined), "")
    if not any(figure["latency_s"] for figure in figures):
        raise InputError("no model has an estimate", where=device.name)
    weights = {name: entry.weight for name, entry in models.models.items()}
    from lydite import __version__

    document: dict[str, Any] = {
        "kind": "estimated",
        "status": "complete",
        "set": {
            "name": models.name,
            "title": models.title,
            "digest": models.digest,
            "weights": weights,
            "prompt_tokens": tokens,
        },
        "baseline": baseline.to_document() if baseline else None,
        "price_usd": wanted.price,
        "environment": {
            "device": device.title,
            "device_name": device.name,
            "kind": device.kind,
            "backend": wanted.backend,
            "runtime": runtime,
            "lydite": __version__,
            "utc": utc_now(),
        },
        "rows": rows,
        "figures": figures,
        "scores": {"equal": _scores(rows, figures, baseline, weights, wanted.price)}
        if baseline
        else {},
        "digests": {},
    }
    return document


def _estimate(
    session: Session,
    task: Task,
    device: Device,
    runtime: str | None,
    entry: Entry,
    is_board: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    from lydite.score.pipeline import calls_of
    from lydite.score.sets import DTYPES

    seconds = np.zeros(3)
    sources: set[str] = set()
    reason = ""
    for part in task.parts:
        try:
            graph = _graph(part, task)
            dtype = None if task.precision in ("fp32", "tf32", "int4") else DTYPES[task.precision]
            found = session.predict(graph, on=device.name, dtype=dtype, runtime=runtime)
            if not found.complete:
                missing = ", ".join(found.coverage.uncovered)
                raise InputError(f"no estimate for {missing}", where=part.model)
            seconds += calls_of(part, task) * np.array([found.seconds, found.low_s, found.high_s])
            sources.add(found.source)
        except LyditeError as error:
            reason = str(error)
    known = not reason
    each = seconds / task.units
    row = {
        "key": task.key,
        "model": task.name,
        "title": entry.title,
        "unit": entry.unit,
        "units": task.units,
        "precision": task.precision,
        "batch": task.batch,
        "is_board": is_board,
        "networks": [part.model for part in task.parts],
        "parameters": None,
        "flops": None,
        "bound_s": None,
        "status": "ok" if known else "refused",
        "reason": reason,
        "memory_bytes": None,
        "launch_share": None,
        "fidelity": None,
        "warm": {},
        "turns": [],
        "sources": sorted(sources),
    }
    figure = {
        "model": task.name,
        "precision": task.precision,
        "batch": task.batch,
        "is_board": is_board,
        "latency_s": float(each[0]) if known else None,
        "latency_low_s": float(each[1]) if known else None,
        "latency_high_s": float(each[2]) if known else None,
        "throughput_per_s": float(1 / each[0]) if known else None,
        "energy_j": None,
        "energy_source": "none",
        "mean_power_w": None,
        "iterations": 0,
    }
    return row, figure


def _graph(part: Any, task: Task) -> Any:
    """A network without weights, with those of four bits packed."""
    from lydite.graph.passes import in_precision
    from lydite.score.pipeline import float_graph

    graph = float_graph(part, task)
    return in_precision(graph, "int4") if task.precision == "int4" else graph


def _scores(
    rows: Any,
    figures: Any,
    baseline: Baseline,
    weights: Mapping[str, float],
    price_usd: float | None,
) -> dict[str, Any]:
    """Scores with intervals by Monte Carlo; there is no energy."""
    from lydite.score.scoring import POINTS, board, geometric_mean

    taken = board(rows, figures, baseline, "equal")
    models: dict[str, Any] = {}
    logs, spreads = [], []
    for name, place in taken.items():
        figure, known = figures[place], baseline.models[name]
        score = POINTS * known.latency_ms * 1e-3 / figure["latency_s"]
        wider = rows[place]["precision"] != known.precision
        models[name] = {
            "precision": rows[place]["precision"],
            "note": f"{rows[place]['precision']}, and {known.precision} in the baseline" * wider,
            "latency": score,
            "latency_low": score * figure["latency_s"] / figure["latency_high_s"],
            "latency_high": score * figure["latency_s"] / figure["latency_low_s"],
            "latency_mean": score,
            "energy": None,
            "energy_source": "none",
            "per_watt": None,
            "per_dollar": score / price_usd if price_usd else None,
        }
        logs.append(math.log(score))
        ratio = figure["latency_high_s"] / figure["latency_low_s"]
        spreads.append(math.log(ratio) / (2 * _Z90))
    missing = {name: "no estimate" for name in weights if name not in taken}
    energy = {"score": None, "is_partial": True, "missing": dict.fromkeys(weights, "estimated")}
    if not models:
        return {
            "board": "equal",
            "models": {},
            "device": {
                "latency": {"score": None, "is_partial": True, "missing": missing},
                "energy": energy,
            },
        }
    share = [weights[name] for name in taken]
    values = [row["latency"] for row in models.values()]
    low, high = monte_carlo(np.array(spreads), np.array(share))
    score = geometric_mean(values, share)
    absent = [weights[name] for name in missing]
    ends = [
        geometric_mean([*values, *[end] * len(absent)], [*share, *absent])
        for end in (min(values), max(values))
    ]
    times_ms = [figures[place]["latency_s"] * 1e3 for place in taken.values()]
    return {
        "board": "equal",
        "models": models,
        "device": {
            "latency": {
                "score": score,
                "low": score * math.exp(low),
                "high": score * math.exp(high),
                "arithmetic": float(np.mean(values)),
                "thousand_over_geomean_ms": POINTS / geometric_mean(times_ms, share),
                "missing": missing,
                "is_partial": bool(missing),
                "whole_low": ends[0],
                "whole_high": ends[1],
            },
            "energy": energy,
        },
    }


def monte_carlo(spreads: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Ends of the 90 % interval of a weighted mean of logarithms, about its centre.

    Args:
        spreads: Standard deviation of each model's logarithm.
        weights: Weight of each model.
    """
    draw = np.random.default_rng(0)
    common = draw.standard_normal((_DRAWS, 1))
    own = draw.standard_normal((_DRAWS, len(spreads)))
    errors = (math.sqrt(COMMON) * common + math.sqrt(1 - COMMON) * own) * spreads
    total = errors @ (weights / weights.sum())
    low, high = np.percentile(total, [5, 95])
    return float(low), float(high)
