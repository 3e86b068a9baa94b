"""Chips that are not built yet: tiles, dataflows, the system around them; cycles before silicon."""

from lydite.chip.estimator import ChipEstimator
from lydite.chip.network import run_chip, varied
from lydite.chip.plan import ChipPlan, LayerCost
from lydite.chip.result import ChipResult

__all__ = ["ChipEstimator", "ChipPlan", "ChipResult", "LayerCost", "run_chip", "varied"]
