"""Measurement: the timing protocol, operators in worker processes, whole models."""

from lydite.measure.profile import Profile, profile, profile_in_graph
from lydite.measure.session import Failure, MeasuringSession, Progress
from lydite.measure.timing import Timing, TimingPlan, measure
from lydite.measure.whole import Bench, Validation, bench, validate

__all__ = [
    "Bench",
    "Failure",
    "MeasuringSession",
    "Profile",
    "Progress",
    "Timing",
    "TimingPlan",
    "Validation",
    "bench",
    "measure",
    "profile",
    "profile_in_graph",
    "validate",
]
