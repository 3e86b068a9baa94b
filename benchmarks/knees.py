"""Turning points of curves whose turning point is known.

    python benchmarks/knees.py [COUNT]

Eight families, 16 values, 5 % noise. The generator writes each family from its physics and finds
the turning point by its definition; it shares no code with the fit.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable

import numpy as np
from _figures import Figure, publish

from lydite.knee import find_turning_point

X = np.arange(1, 17, dtype=float)
NOISE = 0.05
Draw = Callable[[np.random.Generator], np.ndarray]


def amdahl(rng: np.random.Generator, _extent: int) -> np.ndarray:
    serial = rng.uniform(0.02, 0.5)
    return serial + (1 - serial) / X


def scalability(rng: np.random.Generator, _extent: int) -> np.ndarray:
    queueing, crosstalk = rng.uniform(0.01, 0.2), 10 ** rng.uniform(-3.2, -1.7)
    return (1 + queueing * (X - 1) + crosstalk * X * (X - 1)) / X


def roof(rng: np.random.Generator, _extent: int) -> np.ndarray:
    full, fixed = rng.integers(2, 15), rng.choice([0.0, rng.uniform(0.02, 0.3)])
    bandwidth = np.array([1.0 / min(int(x), full) for x in X])
    return fixed + (1 - fixed) * bandwidth


def cliff(rng: np.random.Generator, _extent: int) -> np.ndarray:
    """The working set of more than `full` does not fit: a constant or a factor on top."""
    full, fixed, worse = rng.integers(2, 14), rng.uniform(0, 0.1), rng.uniform(0.3, 1.0)
    fits = fixed + (1 - fixed) / X
    if rng.random() < 0.5:
        return np.where(full >= X, fits, fits * (1 + worse))
    return np.where(full >= X, fits, fits + worse * fits[full - 1])


def numa(rng: np.random.Generator, _extent: int) -> np.ndarray:
    """Beyond a socket every access is slower on average."""
    socket, remote = rng.integers(3, 13), rng.uniform(0.2, 0.8)
    fixed = rng.choice([0.0, rng.uniform(0, 0.05)])
    return fixed + (1 - fixed) * np.where(socket >= X, 1.0, 1.0 + remote) / X


def staircase(rng: np.random.Generator, extent: int) -> np.ndarray:
    """The longest list when `extent` equal pieces are dealt to x hands."""
    lists = np.array([max(len(range(hand, extent, int(x))) for hand in range(int(x))) for x in X])
    return rng.uniform(0, 0.1) * extent + lists


def flat(_rng: np.random.Generator, _extent: int) -> np.ndarray:
    return np.ones(16)


def perfect(_rng: np.random.Generator, _extent: int) -> np.ndarray:
    return 1 / X


FAMILIES = (amdahl, scalability, roof, cliff, numa, staircase, flat, perfect)


def known(y: np.ndarray, gain: float) -> int:
    """By the definition: the first value from which no later one gains `gain` a step."""
    return next(
        i
        for i in range(len(y))
        if all(y[j] >= y[i] * (1 - gain) ** (j - i) for j in range(i + 1, len(y)))
    )


def judge(family: Callable[..., np.ndarray], samples: int, count: int) -> dict[str, float]:
    """Share right within one step, share of intervals that hold it, each curve's time."""
    rng = np.random.default_rng(zlib.crc32(family.__name__.encode()) + samples)
    right, held, doubtful, spent = [], [], [], 0.0
    for number in range(count):
        extent = int(rng.integers(3, 33))
        y = family(rng, extent) * 10 ** rng.uniform(-4, 0)
        truth = known(y, 0.05)
        taken = y[:, None] * np.exp(NOISE * rng.standard_normal((16, samples)))
        start = time.perf_counter()
        found = find_turning_point(X, taken, extent=extent, seed=number)
        spent += time.perf_counter() - start
        if found.value is None or found.low is None or found.high is None:
            right.append(False)
            continue
        right.append(abs(found.value - X[truth]) <= 1)
        held.append(found.low <= X[truth] <= found.high)
        doubtful.append(found.low < found.high)
    sure = np.array(doubtful)
    return {
        "right": float(np.mean(right)),
        "held": float(np.mean(held)),
        "held_in_doubt": float(np.mean(np.array(held)[sure])) if sure.any() else float("nan"),
        "in_doubt": float(sure.mean()),
        "seconds": spent / count,
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    figures: list[Figure] = []
    slowest = 0.0
    for samples in (1, 5):
        judged = {family.__name__: judge(family, samples, count) for family in FAMILIES}
        slowest = max(slowest, *(row["seconds"] for row in judged.values()))
        label = f"{samples} sample{'s' * (samples > 1)}"
        right = [row["right"] for row in judged.values()]
        told = {name: {k: round(v, 3) for k, v in row.items()} for name, row in judged.items()}
        shown = {"curves_per_family": count, "families": told}
        goals = (0.95, 0.85) if samples == 1 else (None, 0.95)
        figures += [
            Figure(
                f"right within a step, {label}, mean",
                float(np.mean(right)),
                "share",
                goals[0],
                "higher",
                shown,
            ),
            Figure(
                f"right within a step, {label}, worst family",
                min(right),
                "share",
                goals[1],
                "higher",
            ),
            Figure(
                f"held by the 90 % interval, {label}",
                float(np.mean([row["held"] for row in judged.values()])),
                "share",
                0.85,
                "higher",
            ),
        ]
        weights = np.array([row["in_doubt"] for row in judged.values()])
        doubtful = np.nan_to_num([row["held_in_doubt"] for row in judged.values()])
        figures.append(
            Figure(
                f"held where the interval is wider than a value, {label}",
                float((weights * doubtful).sum() / max(weights.sum(), 1e-9)),
                "share",
                0.85,
                "higher",
                {"share_of_curves": float(weights.mean())},
            )
        )
    figures.append(Figure("time per curve", slowest, "s", 0.1, "lower"))
    publish("knees", figures)


if __name__ == "__main__":
    main()
