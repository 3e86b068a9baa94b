"""Steps of models on clusters: parallel plans, collectives, memory, time."""

from lydite.cluster.collectives import Group, group_of, link_between
from lydite.cluster.plan import RECOMPUTE, Plan, checked, filled
from lydite.cluster.schedules import SCHEDULES
from lydite.cluster.simulate import (
    StepResult,
    fitting,
    groups_of,
    require_fit,
    simulate_step,
)
from lydite.cluster.tensor import tensor_parallel

__all__ = [
    "RECOMPUTE",
    "SCHEDULES",
    "Group",
    "Plan",
    "StepResult",
    "checked",
    "filled",
    "fitting",
    "group_of",
    "groups_of",
    "link_between",
    "require_fit",
    "simulate_step",
    "tensor_parallel",
]
