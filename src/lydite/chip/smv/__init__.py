"""SMV, SMAUG's accelerator: its tiles, the order of its invocations, and their results.

    plan = schedule_graph(graph)
    plan.invocations.kernel_names, plan.host          # columns; operators left to the CPU, and why

The constraints of its tiles are `SMV`; `SMV_COMPAT` reproduces an error of SMAUG's.
"""

from lydite.chip.smv.invocations import KERNELS, Invocations
from lydite.chip.smv.limits import SMV, SMV_COMPAT, smv_constraints
from lydite.chip.smv.lower import lower
from lydite.chip.smv.program import Activation, HostOp, SmvOp, SmvProgram
from lydite.chip.smv.schedule import SmvSchedule, schedule, schedule_graph

__all__ = [
    "KERNELS",
    "SMV",
    "SMV_COMPAT",
    "Activation",
    "HostOp",
    "Invocations",
    "SmvOp",
    "SmvProgram",
    "SmvSchedule",
    "lower",
    "schedule",
    "schedule_graph",
    "smv_constraints",
]
