"""A race of tuners on a measured table: every tuner sees the same times, at no cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.backends.tuned.space import Config
from lydite.backends.tuned.task import Task
from lydite.records import dataclass
from lydite.tune.problem import Problem
from lydite.tune.rig import Outcome
from lydite.tune.tuners import TUNERS
from lydite.tune.tuning import run_search

WITHIN = (0.05, 0.02)
"""Distances from the table's best at which trials are counted."""


@dataclass(frozen=True)
class Race:
    """How a tuner did.

    Attributes:
        tuner: Name.
        trials: Median number of trials until within each distance of `WITHIN`; None if more than
            half of the seeds never came there.
        best: Median of the best time after all trials over the table's best.
    """

    tuner: str
    trials: tuple[float | None, ...]
    best: float


def race(
    problem: Problem, seconds: Sequence[float | None], tuners: Sequence[str], seeds: int, most: int
) -> list[Race]:
    """Let tuners search a table.

    Args:
        problem: Task with exactly the configurations of the table.
        seconds: Time of each configuration; None where it failed.
        tuners: Names.
        seeds: Number of searches by each tuner.
        most: Most trials of a search.
    """
    best = min(s for s in seconds if s is not None)

    def attempt(_task: Task, config: Config) -> Outcome:
        found = seconds[problem.number[config]]
        return Outcome("ok", seconds=found) if found else Outcome("compile_error")

    rows: list[Race] = []
    for name in tuners:
        counts: list[list[float]] = [[] for _ in WITHIN]
        finals: list[float] = []
        for seed in range(seeds):
            search = TUNERS.find(name)(problem, seed)
            outcomes = run_search(problem, search, attempt, most)
            times = np.array([o.seconds or np.inf for o in outcomes.values()])
            reached = np.minimum.accumulate(times) / best
            finals.append(float(reached[-1]))
            for kept, share in zip(counts, WITHIN, strict=True):
                there = np.flatnonzero(reached <= 1 + share)
                kept.append(float(there[0] + 1) if len(there) else np.inf)
        medians = [float(np.median(c)) for c in counts]
        known = tuple(m if np.isfinite(m) else None for m in medians)
        rows.append(Race(name, known, float(np.median(finals))))
    return rows


def good_share(seconds: Sequence[float | None], share: float) -> float:
    """Share of the configurations within a distance of the best: its inverse is what luck needs."""
    known = np.array([s for s in seconds if s is not None])
    return float((known <= known.min() * (1 + share)).sum() / len(seconds))
