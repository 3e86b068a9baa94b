"""How far predictions for a device that was left out lie from its rows, beside simple rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from lydite.learn.fit import bounds_of, left_out
from lydite.learn.rows import Rows, stream_name


def evaluate(rows: Sequence[Rows]) -> list[dict[str, Any]]:
    """Errors of one family by device that was left out.

    Only rows with sizes as models have them are judged, where the data tell them apart. Beside the
    learned prediction stand the roofline, the base time of `lydite.estimate.learned.physics`, and
    that base times one constant fitted on the other devices.

    Args:
        rows: Rows of one family, by device.

    Raises:
        InputError: there is only one device.
    """
    guesses = left_out(rows)
    found: list[dict[str, Any]] = []
    for part in rows:
        others = [other for other in rows if other.device != part.device]
        constant = float(
            np.exp(
                np.median(
                    [np.median(np.log(other.seconds / other.problem.base_s)) for other in others]
                )
            )
        )
        base_s, bound_s = part.problem.base_s, part.problem.bound_s
        edges, bounds = bounds_of(others, guesses)
        for kind in np.unique(part.kind[part.aligned]).tolist():
            chosen = part.aligned & (part.kind == kind)
            seconds = part.seconds[chosen]
            guess = guesses[part.device][chosen]
            low, high = np.array(bounds)[np.digitize(base_s[chosen], edges)].T
            ratio = guess / seconds
            found.append(
                {
                    "family": part.family if part.family != "stream" else stream_name(kind),
                    "device": part.device,
                    "rows": int(chosen.sum()),
                    **_errors(ratio),
                    "rank": _rank(guess, seconds),
                    "inside": float(np.mean((guess * low <= seconds) & (seconds <= guess * high))),
                    "width": float(np.median(high / low)),
                    "roofline": _mean(bound_s[chosen] / seconds),
                    "physics": _mean(base_s[chosen] / seconds),
                    "constant": _mean(constant * base_s[chosen] / seconds),
                }
            )
    return found


def _errors(ratio: np.ndarray) -> dict[str, float]:
    error = np.abs(ratio - 1)
    return {
        "mean": float(error.mean()),
        "median": float(np.median(error)),
        "p90": float(np.percentile(error, 90)),
        "worst": float(error.max()),
        "bias": float(np.median(ratio)) - 1,
    }


def _rank(guess: np.ndarray, seconds: np.ndarray) -> float:
    """Spearman's correlation of ranks."""
    found: Any = spearmanr(guess, seconds)
    return float(found.statistic)


def _mean(ratio: np.ndarray) -> float:
    return float(np.abs(ratio - 1).mean())
