"""Chips that are not built yet: tiles, dataflows, the system around them; cycles before silicon."""

from lydite.chip.estimator import ChipEstimator
from lydite.chip.network import ChipResult, run_chip, varied
from lydite.chip.plan import ChipPlan, LayerCost

__all__ = ["ChipEstimator", "ChipPlan", "ChipResult", "LayerCost", "run_chip", "varied"]
