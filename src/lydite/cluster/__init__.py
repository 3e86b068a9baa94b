"""Steps of models on clusters: parallel plans, collectives, memory, time."""

from lydite.cluster.baseline_file import Baselines, read_baselines
from lydite.cluster.collectives import Group, group_of, link_between
from lydite.cluster.constants import ASSUMED
from lydite.cluster.groups import groups_of
from lydite.cluster.plan import RECOMPUTE, Plan
from lydite.cluster.planning import checked, filled
from lydite.cluster.schedules import SCHEDULES
from lydite.cluster.simulate import simulate_step
from lydite.cluster.step_accuracy import MeasuredStep, average_loss, summaries, summary_json
from lydite.cluster.step_result import StepResult, fitting, require_fit
from lydite.cluster.tensor import tensor_parallel

__all__ = [
    "ASSUMED",
    "RECOMPUTE",
    "SCHEDULES",
    "Baselines",
    "Group",
    "MeasuredStep",
    "Plan",
    "StepResult",
    "average_loss",
    "checked",
    "filled",
    "fitting",
    "group_of",
    "groups_of",
    "link_between",
    "read_baselines",
    "require_fit",
    "simulate_step",
    "summaries",
    "summary_json",
    "tensor_parallel",
]
