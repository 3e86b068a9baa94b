"""Tuning: trials of schedules in worker processes, tuners, logs, and what is decided from them."""

from lydite.tune.problem import Problem, problem_for
from lydite.tune.trials import Trier
from lydite.tune.tuners import TUNERS, Tuner
from lydite.tune.tuning import Tuned, decide, run_search, tune_task

__all__ = [
    "TUNERS",
    "Problem",
    "Trier",
    "Tuned",
    "Tuner",
    "decide",
    "problem_for",
    "run_search",
    "tune_task",
]
