"""SMV, SMAUG's accelerator: which tiles it works on in which order, and what comes out.

    plan = schedule_graph(graph)
    plan.invocations.kernel_names, plan.host          # columns; what is left to the CPU, and why

The constraints of its tiles are `SMV`; `SMV_COMPAT` repeats a mistake of SMAUG's.
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
