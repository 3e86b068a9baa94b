"""Operator times: estimators, chains of estimators, and the sum over a model."""

from lydite.estimate.accuracy import Accuracy, Point
from lydite.estimate.base import CONFIDENCE, SOURCES, Chain, Estimate, Estimator, Sum, add_up
from lydite.estimate.interpolated import Interpolated
from lydite.estimate.measured import Measured, Rows, by_digest
from lydite.estimate.predict import Coverage, PredictedNode, Prediction, coverage, predict
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
