"""Calibration of host, framework and device constants to measured steps, within physical limits.

The fit lowers the mean of |log(simulated / measured)| by Nelder and Mead's simplex (Computer
Journal 7(4), 1965) over the logarithms of the constants, each held within `LIMITS`. The steps are
played a few times; in between they change as the computation of their ranks does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lydite.cluster.calibration.linear import NearSteps, RankSums
from lydite.cluster.constants import ASSUMED, LIMITS, Constants
from lydite.cluster.plan import Plan
from lydite.cluster.rank import RankStep, rank_costs
from lydite.cluster.seen import ranges
from lydite.cluster.simulate import played_step
from lydite.cluster.step_result import StepResult
from lydite.errors import InputError
from lydite.estimate.base import Estimator
from lydite.graph import OpKey
from lydite.hardware.cluster import Cluster
from lydite.records import dataclass

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

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.rank.name


EstimatorOf = Callable[[Constants], Estimator]


def simulated(
    observed: Sequence[Observed], constants: Constants, estimator_of: EstimatorOf
) -> np.ndarray:
    """Simulated seconds of measured steps; float64[steps]. Equal ranks are costed once."""
    return np.array([step.seconds for step in played(observed, constants, estimator_of)])


def played(
    observed: Sequence[Observed], constants: Constants, estimator_of: EstimatorOf
) -> list[StepResult]:
    """The simulated steps; equal ranks are costed once."""
    estimator = estimator_of(constants)
    costs = {}
    found: list[StepResult] = []
    for step in observed:
        key = id(step.rank), step.cluster.device.name
        if key not in costs:
            costs[key] = rank_costs(step.rank, estimator, step.cluster.device)
        found.append(played_step(step.rank, costs[key], step.cluster, step.plan, constants))
    return found


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
        rounds: Number of constants that are tried from one play of the steps to the next.
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
    fit = _Fit(observed, estimator_of, start, source, measured)
    point = np.log([START[name] for name in START])
    for number in range(PLAYS):
        point = fit.from_point(point, number * rounds, rounds, progress)
    return fit.constants_at(point)


PLAYS = 4
"""Times that all steps are played in a fit; in between they are taken as linear (see `linear`)."""


class _Fit:
    def __init__(
        self,
        observed: Sequence[Observed],
        estimator_of: EstimatorOf,
        start: Constants,
        source: str,
        measured: np.ndarray,
    ) -> None:
        self.observed, self.estimator_of, self.measured = observed, estimator_of, measured
        self.start, self.source = start, source
        self.low = np.log([max(LIMITS[n][0], _LEAST.get(n, 0.0)) for n in START])
        self.high = np.log([LIMITS[n][1] for n in START])
        # Clusters of one device: its name tells the keys' times apart.
        self.groups: dict[str, list[int]] = {}
        for at, step in enumerate(observed):
            self.groups.setdefault(step.cluster.device.name, []).append(at)
        self.known: dict[str, tuple[dict[str, int], list[OpKey]]] = {}
        self.sums: dict[tuple[int, str, str], RankSums] = {}

    def constants_at(self, point: np.ndarray) -> Constants:
        """The constants of a point, held within their limits."""
        values = np.exp(np.clip(point, self.low, self.high)).tolist()
        return self.start.with_values(dict(zip(START, values, strict=True)), self.source)

    def from_point(
        self,
        begin: np.ndarray,
        done: int,
        rounds: int,
        progress: Callable[[int, int, str], None],
    ) -> np.ndarray:
        """The best point near one at which all steps are played."""
        from scipy.optimize import minimize

        near = self._near(self.constants_at(begin))
        tried = [done]

        def error(point: np.ndarray) -> float:
            constants = self.constants_at(point)
            estimator = self.estimator_of(constants)
            outside = np.maximum(0, point - self.high) + np.maximum(0, self.low - point)
            wrong = 0.0
            for name, rows in self.groups.items():
                seconds = near[name].seconds(constants, estimator)
                wrong += float(np.abs(np.log(seconds / self.measured[rows])).sum())
            tried[0] += 1
            whole = PLAYS * rounds
            progress(min(tried[0], whole), whole, f"error {wrong / len(self.measured):.1%}")
            return wrong / len(self.measured) + float(outside.sum())

        first = done == 0
        shares = np.array([n in ("products", "streams", "misaligned") for n in START])
        steps = np.diag(np.where(shares, -0.3, 0.4)) * (1.0 if first else 0.4)
        simplex = np.vstack([begin, begin + steps])
        options = {"maxfev": rounds, "initial_simplex": simplex}
        return minimize(error, begin, method="Nelder-Mead", options=options).x

    def _near(self, constants: Constants) -> dict[str, NearSteps]:
        estimator = self.estimator_of(constants)
        found = {}
        for name, rows in self.groups.items():
            some = [self.observed[at] for at in rows]
            sums = [self._sums(step) for step in some]
            steps = played(some, constants, self.estimator_of)
            keys, device = self.known[name][1], some[0].cluster.device
            found[name] = NearSteps(sums, keys, device, steps, constants, estimator)
        return found

    def _sums(self, step: Observed) -> RankSums:
        name = step.cluster.device.name
        keys, known = self.known.setdefault(name, ({}, []))
        place = id(step.rank), step.plan.recompute, name
        if place not in self.sums:
            self.sums[place] = RankSums.of(step.rank, keys, known, step.plan.recompute)
        return self.sums[place]


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
    seen = ranges((step.cluster, step.plan) for step in observed)
    return replace(constants, achieved=achieved, seen=seen)
