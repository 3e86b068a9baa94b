"""Two results side by side: ratios with intervals, significance, and what makes them unlike."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

from lydite.errors import InputError
from lydite.score.scoring import geometric_mean

SIGNIFICANT = 0.05


def comparison(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """How much faster the second result is, by model and together.

    A ratio above 1 says that the second is faster. The medians of the rounds are compared by
    Welch's t test on their logarithms (Welch 1947), with Holm's correction (Holm 1979) for the
    number of models.

    Raises:
        InputError: the results are of different sets, or share no model.
    """
    if first["set"]["digest"] != second["set"]["digest"]:
        raise InputError(
            f"the results are of different sets: '{first['set']['name']}' and "
            f"'{second['set']['name']}'",
            hint="compare results of one set",
        )
    pairs = _pairs(first, second)
    if not pairs:
        raise InputError("the results share no model in one precision and batch")
    models = [_model(key, one, other) for key, (one, other) in pairs.items()]
    _holm(models)
    weights = [first["set"]["weights"].get(row["model"], 1.0) for row in models]
    return {
        "first": _label(first),
        "second": _label(second),
        "models": models,
        "ratio": geometric_mean([row["ratio"] for row in models], weights),
        "only_first": sorted(_measured(first).keys() - pairs.keys()),
        "only_second": sorted(_measured(second).keys() - pairs.keys()),
        "warnings": unlike(first["environment"], second["environment"]),
    }


def _label(document: Mapping[str, Any]) -> dict[str, Any]:
    device = document["scores"].get("equal", {}).get("device", {}).get("latency", {})
    return {
        "device": document["environment"]["device"],
        "utc": document["environment"]["utc"],
        "kind": document["kind"],
        "score": device.get("score"),
        "low": device.get("low"),
        "high": device.get("high"),
        "is_partial": device.get("is_partial"),
    }


def _measured(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        f"{figure['model']}/{figure['precision']}/{figure['batch']}": figure
        for figure in document["figures"]
        if figure["latency_s"] is not None
    }


def _pairs(first: Any, second: Any) -> dict[str, tuple[Any, Any]]:
    one, other = _measured(first), _measured(second)
    return {key: (one[key], other[key]) for key in one if key in other}


def _model(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    logs = [np.log(each.get("round_medians_s") or [each["latency_s"]]) for each in (one, other)]
    p = low = high = None
    # Times that do not vary at all, as of a replay, have no variance to test with.
    if min(len(log) for log in logs) >= 2 and max(float(np.ptp(log)) for log in logs) > 1e-9:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            test: Any = ttest_ind(logs[0], logs[1], equal_var=False)
        p = float(test.pvalue) if math.isfinite(float(test.pvalue)) else None
        interval = test.confidence_interval(0.95)
        low, high = (math.exp(float(end)) for end in (interval.low, interval.high))
    joules: tuple[Any, Any] = (one.get("energy_j"), other.get("energy_j"))
    same_source = one.get("energy_source") == other.get("energy_source")
    return {
        "key": key,
        "model": one["model"],
        "precision": one["precision"],
        "batch": one["batch"],
        "first_s": one["latency_s"],
        "second_s": other["latency_s"],
        "ratio": one["latency_s"] / other["latency_s"],
        "low": low,
        "high": high,
        "p": p,
        "is_significant": None,
        "energy_ratio": joules[0] / joules[1] if all(joules) and same_source else None,
    }


def _holm(models: list[dict[str, Any]]) -> None:
    """Mark the models that differ, at 5 % for all of them together."""
    ordered = sorted((row for row in models if row["p"] is not None), key=lambda row: row["p"])
    still = True
    for place, row in enumerate(ordered):
        still = still and row["p"] <= SIGNIFICANT / (len(ordered) - place)
        row["is_significant"] = still


_SAME = {
    "processor": "processors",
    "driver": "drivers",
    "versions": "versions of the software",
    "backend": "backends",
    "threads": "numbers of threads",
    "clock_limit_hz": "clock limits",
    "power_limit_w": "power limits",
    "inputs": "places of the inputs",
    "lydite": "versions of Lydite",
}


def unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Warnings about conditions in which two results differ, or that were bad."""
    found = [
        f"{words} differ: {first.get(name)} and {second.get(name)}"
        for name, words in _SAME.items()
        if first.get(name) != second.get(name)
    ]
    for place, environment in (("first", first), ("second", second)):
        if environment.get("busy"):
            found.append(f"the {place} was measured beside {'; '.join(environment['busy'][:3])}")
    return found
