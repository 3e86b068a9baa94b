"""Chips that are not built yet: tiles, dataflows, the system around them; cycles before silicon."""

from lydite.chip.estimator import ChipEstimator
from lydite.chip.plan import ChipPlan, LayerCost
from lydite.chip.result import ChipRun
from lydite.chip.run import run_chip, varied

__all__ = ["ChipEstimator", "ChipPlan", "ChipRun", "LayerCost", "run_chip", "varied"]
