"""Placement of operators over unlike devices: exact, by heuristics, and as a game of jobs."""

from lydite.placement.exact import Exact, exact
from lydite.placement.game import Game, Job, Outcome, best_responses, optimum, pure_equilibria
from lydite.placement.groups import grouped
from lydite.placement.heuristics import fastest, heft, improved, single_device
from lydite.placement.played import play, play_jobs
from lydite.placement.problem import Placement, Problem, schedule

__all__ = [
    "Exact",
    "Game",
    "Job",
    "Outcome",
    "Placement",
    "Problem",
    "best_responses",
    "exact",
    "fastest",
    "grouped",
    "heft",
    "improved",
    "optimum",
    "play",
    "play_jobs",
    "pure_equilibria",
    "schedule",
    "single_device",
]
