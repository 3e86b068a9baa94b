"""Measuring: the timing protocol, operators in worker processes, whole models."""

from lydite.measure.profile import Profile, profile, profile_in_graph
from lydite.measure.session import Failure, Progress, Session
from lydite.measure.timing import Plan, Timing, measure
from lydite.measure.whole import Bench, Validation, bench, validate

__all__ = [
    "Bench",
    "Failure",
    "Plan",
    "Profile",
    "Progress",
    "Session",
    "Timing",
    "Validation",
    "bench",
    "measure",
    "profile",
    "profile_in_graph",
    "validate",
]
