"""Simulation of chips before they are built: tiles, dataflows, and the system around the arrays."""

from lydite.chip.estimator import ChipEstimator
from lydite.chip.plan import ChipPlan, LayerCost
from lydite.chip.result import ChipRun
from lydite.chip.run import run_chip, varied

__all__ = ["ChipEstimator", "ChipPlan", "ChipRun", "LayerCost", "run_chip", "varied"]
