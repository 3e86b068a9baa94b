"""Turning points: where more threads or a larger batch stop paying, and why."""

from lydite.knee.curves import CURVES, Curve
from lydite.knee.find import CONFIDENCE, FEWEST, TurningPoint, find_turning_point
from lydite.knee.turning import GAIN, turning_index

__all__ = [
    "CONFIDENCE",
    "CURVES",
    "FEWEST",
    "GAIN",
    "Curve",
    "TurningPoint",
    "find_turning_point",
    "turning_index",
]
