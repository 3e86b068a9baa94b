"""Running a graph's operators side by side on pinned workers: stages, costs, execution."""

from lydite.parallel.corun import Corun, Measured, corun
from lydite.parallel.runner import cores_for
from lydite.parallel.stages import Costs, Stage, Units, best_stages, side_seconds

__all__ = [
    "Corun",
    "Costs",
    "Measured",
    "Stage",
    "Units",
    "best_stages",
    "cores_for",
    "corun",
    "side_seconds",
]
