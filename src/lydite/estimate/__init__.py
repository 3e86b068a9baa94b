"""Operator times: estimators, chains of estimators, and the sum over a model."""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.estimate.accuracy import Accuracy, Point
    from lydite.estimate.base import CONFIDENCE, SOURCES, Chain, Estimate, Estimator, Sum, add_up
    from lydite.estimate.interpolated import Interpolated
    from lydite.estimate.measured import Measured, Rows, by_digest
    from lydite.estimate.prediction import Coverage, PredictedNode, Prediction, coverage, predict
    from lydite.estimate.roofline import (
        AchievedEfficiency,
        Efficiency,
        Roofline,
        fit_efficiency,
        roofline_seconds,
    )

__all__ = [
    "CONFIDENCE",
    "SOURCES",
    "Accuracy",
    "AchievedEfficiency",
    "Chain",
    "Coverage",
    "Efficiency",
    "Estimate",
    "Estimator",
    "Interpolated",
    "Measured",
    "Point",
    "PredictedNode",
    "Prediction",
    "Roofline",
    "Rows",
    "Sum",
    "add_up",
    "by_digest",
    "coverage",
    "fit_efficiency",
    "predict",
    "roofline_seconds",
]

_WHERE = {
    **dict.fromkeys(("Accuracy", "Point"), "accuracy"),
    **dict.fromkeys(("CONFIDENCE", "SOURCES", "Estimate", "Estimator"), "base"),
    **dict.fromkeys(("Chain", "Sum", "add_up"), "base"),
    **dict.fromkeys(("Interpolated",), "interpolated"),
    **dict.fromkeys(("Measured", "Rows", "by_digest"), "measured"),
    **dict.fromkeys(("Coverage", "PredictedNode", "Prediction"), "prediction"),
    **dict.fromkeys(("coverage", "predict"), "prediction"),
    **dict.fromkeys(("AchievedEfficiency", "Efficiency", "Roofline"), "roofline"),
    **dict.fromkeys(("fit_efficiency", "roofline_seconds"), "roofline"),
}

__getattr__ = lazily(__name__, _WHERE)
