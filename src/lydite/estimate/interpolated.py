"""Estimates from measured rows of the same operator type at neighbouring shapes.

Per operator type, the logarithm of time is a Gaussian process over the logarithms of the work and
of the sizes (Rasmussen and Williams 2006, chapter 2), around the trend that a fitted roofline
gives. Length scale and noise maximise the leave-one-out predictive probability (section 5.4.2),
which has a closed form. The interval is that of the process, widened so that 90 % of the rows fall
inside theirs when a third of all rows is left out: conformal calibration on held-out residuals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lydite.estimate.base import CONFIDENCE, Estimate
from lydite.estimate.roofline import key_dtype, roofline_seconds
from lydite.graph import OpKey
from lydite.graph.work import work_of_key
from lydite.hardware import Device
from lydite.records import dataclass

_FEWEST = 6
_MOST = 1500
_LENGTHS = (0.5, 1.0, 2.0, 4.0)
_NOISES = (0.02, 0.05, 0.1, 0.2)
_WIDEST = 3.0
_FOLDS = 3
_SMALL_SAMPLE = 3.0
"""Widening for small families, whose length scale was chosen on the same few rows."""


def family(key: OpKey) -> tuple[object, ...]:
    """Operators that differ only in sizes: one process is fitted per family."""
    ranks = tuple(len(t.shape or ()) if t is not None else -1 for t in key.operand_types())
    return (key.domain, key.op_type, key.fused, key_dtype(key), ranks[:1])


def features(key: OpKey, device: Device, threads: int | None) -> np.ndarray | None:
    """Logarithms of bound, FLOPs, bytes and sizes, and the attributes; None for unknown work."""
    work = work_of_key(key)
    if work is None or not key.outputs:
        return None
    bound = roofline_seconds(work, device, key_dtype(key), threads, caches=False)
    types = key.operand_types()
    first = _dims(types[0].shape if types and types[0] is not None else ())
    second = _dims(types[1].shape if len(types) > 1 and types[1] is not None else ())
    numbers = [
        max(bound, 1e-9) * 1e9,
        work.flops + 1,
        work.bytes_read + 1,
        work.bytes_written + 1,
        *first,
        *second,
        *_dims(key.outputs[0].shape),
    ]
    return np.array([*np.log(numbers), *_attributes(key)])


def _dims(shape: Iterable[int | str] | None) -> list[float]:
    sizes = [float(dim) if isinstance(dim, int) and dim > 0 else 1.0 for dim in shape or ()]
    return (sizes + [1.0] * 5)[:5]


def _attributes(key: OpKey) -> list[float]:
    strides, kernel = key.attrs.get("strides", [1]), key.attrs.get("kernel_shape", [1])
    group = key.attrs.get("group", 1)
    return [
        math.log(max(1, math.prod(strides))) if isinstance(strides, list) else 0.0,
        math.log(max(1, math.prod(kernel))) if isinstance(kernel, list) else 0.0,
        math.log(max(1, group)) if isinstance(group, int) else 0.0,
        2.0 * (isinstance(group, int) and group > 1),
        float("activation" in key.attrs),
        0.5 * len(key.inputs),
    ]


@dataclass(frozen=True)
class Process:
    """One fitted process; `predict` gives the mean and 90 % half-width of log seconds."""

    points: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    trend: np.ndarray
    length: float
    amplitude: float
    noise: float
    weights: np.ndarray
    factor: np.ndarray
    width: float

    def predict(self, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and half-width of log seconds for rows of features, each with shape [n]."""
        from scipy.linalg import solve_triangular

        points = (where - self.centre) / self.scale
        cross = self.amplitude * _kernel(points, self.points, self.length)
        solved = solve_triangular(self.factor, cross.T, lower=True)
        variance = self.amplitude + self.noise**2 - np.sum(solved**2, axis=0)
        mean = _trend(where) @ self.trend + cross @ self.weights
        return mean, self.width * np.sqrt(np.maximum(variance, self.noise**2))


def _kernel(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    """Matern 5/2 kernel (Rasmussen and Williams, equation 4.17)."""
    squares = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1)[None, :] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(squares, 0.0)) * math.sqrt(5) / length
    return (1 + distance + distance**2 / 3) * np.exp(-distance)


def _trend(rows: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(rows)), rows[:, 0]])


def fit(rows: np.ndarray, log_seconds: np.ndarray) -> Process:
    """Fit a process to features [n, d] and log seconds [n]."""
    centre, spread = rows.mean(0), rows.std(0)
    scale = np.where(spread > 1e-9, 1.0, 1e9)  # features are logarithms; constant ones drop out
    points = (rows - centre) / scale
    trend_rows = _trend(rows)
    trend = np.linalg.lstsq(trend_rows, log_seconds, rcond=1e-9)[0]
    residual = log_seconds - trend_rows @ trend
    amplitude = float(max(np.var(residual), 1e-3))
    best: tuple[float, Process] | None = None
    span = math.sqrt(points.shape[1])
    for length in _LENGTHS:
        for noise in _NOISES:
            score, process = _candidate(
                points,
                residual,
                length * span,
                noise,
                amplitude,
                (centre, scale, trend),
            )
            if best is None or score > best[0]:
                best = score, process
    assert best is not None
    return best[1]


def _candidate(
    points: np.ndarray,
    residual: np.ndarray,
    length: float,
    noise: float,
    amplitude: float,
    rest: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[float, Process]:
    covariance = amplitude * _kernel(points, points, length) + noise**2 * np.eye(len(points))
    factor = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ residual
    variance = 1 / np.diag(inverse)
    error = weights * variance
    score = float(np.sum(-0.5 * np.log(variance) - 0.5 * error**2 / variance))
    width = _calibrated(inverse, weights) * (1 + _SMALL_SAMPLE / len(points))
    centre, scale, trend = rest
    return score, Process(
        points, centre, scale, trend, length, amplitude, noise, weights, factor, width
    )


def _calibrated(inverse: np.ndarray, weights: np.ndarray) -> float:
    """Factor on the process's deviation that covers 90 % of left-out rows; at least 1.

    Thirds of the rows are left out as blocks, so that the neighbours of a left-out row are as far
    away as those of an unmeasured shape. For a block B of the inverse covariance Q, the errors are
    inv(Q_BB) w_B with covariance inv(Q_BB) (Rasmussen and Williams, section 5.4.2, for blocks).
    """
    scaled: list[float] = []
    for fold in range(_FOLDS):
        block = np.arange(fold, len(weights), _FOLDS)
        covariance = np.linalg.inv(inverse[np.ix_(block, block)])
        error = covariance @ weights[block]
        scaled += (np.abs(error) / np.sqrt(np.diag(covariance))).tolist()
    index = min(len(scaled) - 1, math.ceil(CONFIDENCE * (len(scaled) + 1)) - 1)
    return max(sorted(scaled)[index], 1.0)


class Interpolated:
    """Interpolation with one process per family of operators.

    Args:
        rows: (key, seconds) of everything measured on the device under the requested conditions.
        device: Device of the rows.
        threads: Number of active cores.
    """

    name = "interpolated"

    def __init__(
        self, rows: Sequence[tuple[OpKey, float]], device: Device, threads: int | None = None
    ) -> None:
        self._device, self._threads = device, threads
        self._rows: dict[tuple[object, ...], list[tuple[np.ndarray, float]]] = {}
        for key, seconds in rows:
            found = features(key, device, threads)
            if found is not None and not key.subnormal:
                self._rows.setdefault(family(key), []).append((found, math.log(seconds)))
        self._fitted: dict[tuple[object, ...], Process | None] = {}

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Estimate families with at least 6 measured shapes; None far outside these shapes."""
        answers: list[Estimate | None] = [None] * len(keys)
        if device.name != self._device.name:
            return answers
        groups: dict[tuple[object, ...], list[tuple[int, np.ndarray]]] = {}
        for index, key in enumerate(keys):
            kind = family(key)
            if key.subnormal or len(self._rows.get(kind, ())) < _FEWEST:
                continue
            found = features(key, device, self._threads)
            if found is not None:
                groups.setdefault(kind, []).append((index, found))
        for kind, members in groups.items():
            process = self._process(kind)
            mean, half = process.predict(np.array([row for _, row in members]))
            for (index, _), log_s, width in zip(members, mean, half, strict=True):
                if width <= _WIDEST:
                    answers[index] = self._answer(float(log_s), float(width), kind)
        return answers

    def _process(self, kind: tuple[object, ...]) -> Process:
        process = self._fitted.get(kind)
        if process is None:
            rows = self._rows[kind][:_MOST]
            process = fit(np.array([r for r, _ in rows]), np.array([t for _, t in rows]))
            self._fitted[kind] = process
        return process

    def _answer(self, log_s: float, width: float, kind: tuple[object, ...]) -> Estimate:
        seconds = math.exp(log_s)
        return Estimate(
            seconds,
            seconds * math.exp(-width),
            seconds * math.exp(width),
            "interpolated",
            f"over {len(self._rows[kind])} measured shapes",
        )
