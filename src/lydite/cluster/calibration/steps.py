"""Calibration of host, framework and device constants to measured steps, within physical limits.

The fit lowers the mean of |log(simulated / measured)| by Nelder and Mead's simplex (Computer
Journal 7(4), 1965) over the logarithms of the constants, each held within `LIMITS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lydite.cluster.constants import ASSUMED, LIMITS, Constants
from lydite.cluster.plan import Plan
from lydite.cluster.simulate import RankStep, played_step, rank_costs
from lydite.errors import InputError
from lydite.estimate.base import Estimator
from lydite.hardware.cluster import Cluster

START = {
    "products": 0.75,
    "streams": 0.75,
    "misaligned": 0.5,
    "kernel_s": 2e-6,
    "dispatch_s": 2e-5,
    "step_s": 2e-3,
}
"""Starting point of the fit."""

_LEAST = {"kernel_s": 1e-7, "dispatch_s": 1e-7, "step_s": 1e-7}


@dataclass(frozen=True)
class Observed:
    """A measured step.

    Attributes:
        rank: Operators and messages of one rank.
        cluster, plan: Cluster and parallel plan of the measurement.
        seconds: Measured time of the step in seconds.
    """

    rank: RankStep
    cluster: Cluster
    plan: Plan
    seconds: float


EstimatorOf = Callable[[Constants], Estimator]


def simulated(
    observed: Sequence[Observed], constants: Constants, estimator_of: EstimatorOf
) -> np.ndarray:
    """Simulated seconds of measured steps; float64[steps]. Equal ranks are costed once."""
    estimator = estimator_of(constants)
    costs = {}
    seconds: list[float] = []
    for step in observed:
        key = id(step.rank), step.cluster.device.name
        if key not in costs:
            costs[key] = rank_costs(step.rank, estimator, step.cluster.device)
        seconds.append(
            played_step(step.rank, costs[key], step.cluster, step.plan, constants).seconds
        )
    return np.array(seconds)


def calibrated(
    observed: Sequence[Observed],
    estimator_of: EstimatorOf,
    *,
    rounds: int = 160,
    start: Constants = ASSUMED,
    source: str = "calibrated",
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Constants:
    """The constants that fit measured steps best.

    Args:
        observed: Measured steps, at least as many as there are constants to fit.
        estimator_of: Function that returns the estimator of operator times for given constants.
        rounds: Number of times that the steps are simulated.
        start: Constants that supply everything that is not fitted, such as the collectives.
        source: Source to record in the constants.
        progress: Called with the rounds done, their total and the error so far.

    Raises:
        InputError: there are too few steps, or a step took no time.
    """
    if len(observed) < len(START):
        raise InputError(
            f"{len(observed)} measured steps for {len(START)} constants",
            allowed=f"{len(START)} and more, of several sizes and plans",
        )
    measured = np.array([step.seconds for step in observed])
    if not (measured > 0).all():
        raise InputError("a measured step took no time", where=f"step {int(measured.argmin())}")
    from scipy.optimize import minimize

    names = list(START)
    low = np.log([max(LIMITS[n][0], _LEAST.get(n, 0.0)) for n in names])
    high = np.log([LIMITS[n][1] for n in names])
    done = [0]

    def constants_at(point: np.ndarray) -> Constants:
        values = np.exp(np.clip(point, low, high)).tolist()
        return start.with_values(dict(zip(names, values, strict=True)), source)

    def error(point: np.ndarray) -> float:
        predicted = simulated(observed, constants_at(point), estimator_of)
        outside = np.maximum(0, point - high) + np.maximum(0, low - point)
        wrong = float(np.abs(np.log(predicted / measured)).mean())
        done[0] += 1
        progress(min(done[0], rounds), rounds, f"error {wrong:.1%}")
        return wrong + float(outside.sum())

    begin = np.log([START[n] for n in names])
    shares = np.array([n in ("products", "streams", "misaligned") for n in names])
    steps = np.diag(np.where(shares, -0.3, 0.4))
    simplex = np.vstack([begin, begin + steps])
    optimum = minimize(
        error, begin, method="Nelder-Mead", options={"maxfev": rounds, "initial_simplex": simplex}
    )
    return constants_at(optimum.x)


def with_spread(
    constants: Constants, observed: Sequence[Observed], estimator_of: EstimatorOf
) -> Constants:
    """The constants with bounds, relative to simulated times, that hold nine of ten measured steps.

    Args:
        constants: Fitted constants.
        observed: Measured steps, preferably ones that were not used in the fit.
        estimator_of: As for `calibrated`.
    """
    measured = np.array([step.seconds for step in observed])
    ratios = measured / simulated(observed, constants, estimator_of)
    low, high = (float(share) for share in np.percentile(ratios, [5, 95]))
    achieved = replace(constants.achieved, spread=(min(low, 1.0), max(high, 1.0)))
    return replace(constants, achieved=achieved)
