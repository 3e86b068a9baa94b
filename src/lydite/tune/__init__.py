"""Tuning: trials of schedules in worker processes, tuners, logs, and what is decided from them."""

from lydite.tune.compare import WITHIN, Race, good_share, race
from lydite.tune.logs import FORMATS, Log, read_log, write_log
from lydite.tune.operators import (
    OPERATORS,
    Sizes,
    no_space,
    parse_shape,
    single_operator,
    task_of_operator,
)
from lydite.tune.problem import Problem, problem_for
from lydite.tune.trials import Trier
from lydite.tune.tuners import TUNERS, Tuner
from lydite.tune.tuning import Tuned, decide, run_search, tune_task

__all__ = [
    "FORMATS",
    "OPERATORS",
    "TUNERS",
    "WITHIN",
    "Log",
    "Problem",
    "Race",
    "Sizes",
    "Trier",
    "Tuned",
    "Tuner",
    "decide",
    "good_share",
    "no_space",
    "parse_shape",
    "problem_for",
    "race",
    "read_log",
    "run_search",
    "single_operator",
    "task_of_operator",
    "tune_task",
    "write_log",
]
