"""The discrete-event core: tasks on servers and links, in integer picoseconds."""

from lydite.engine.build import NetworkBuilder, TaskBuilder
from lydite.engine.columns import LIMIT_PS, distinct
from lydite.engine.repeated import Repeated
from lydite.engine.simulate import max_min_rates, simulate, simulate_ranks
from lydite.engine.system import Interference, LinkNetwork, Servers
from lydite.engine.tasks import NOWHERE, Tasks
from lydite.engine.timeline import Timeline

__all__ = [
    "LIMIT_PS",
    "NOWHERE",
    "Interference",
    "LinkNetwork",
    "NetworkBuilder",
    "Repeated",
    "Servers",
    "TaskBuilder",
    "Tasks",
    "Timeline",
    "distinct",
    "max_min_rates",
    "simulate",
    "simulate_ranks",
]
