"""Measurement: the timing protocol, operators in worker processes, whole models, telemetry.

Names are imported on first use, so that a telemetry sampler starts without backends.
"""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.measure.profiling import Profile, profile, profile_in_graph, profile_keys
    from lydite.measure.session import Failure, MeasuringSession, Progress, known_rows
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
    "known_rows",
    "measure",
    "profile",
    "profile_in_graph",
    "profile_keys",
    "validate",
]

_WHERE = {
    **dict.fromkeys(("Profile", "profile", "profile_in_graph", "profile_keys"), "profiling"),
    **dict.fromkeys(("Failure", "MeasuringSession", "Progress", "known_rows"), "session"),
    **dict.fromkeys(("Timing", "TimingPlan", "measure"), "timing"),
    **dict.fromkeys(("Bench", "Validation", "bench", "validate"), "whole"),
}

__getattr__ = lazily(__name__, _WHERE)
