"""Requests of language models under load, in virtual time."""

from lydite.serving.fleet import Failure, Fleet, Scale
from lydite.serving.outcome import Outcome
from lydite.serving.profiles import read_profile
from lydite.serving.replicas import Replica, Scheduler, Speculation, Traffic
from lydite.serving.requests import Requests, made
from lydite.serving.simulate import simulate_serving
from lydite.serving.tiers import KvTiers, TierUse
from lydite.serving.times import StepTimes

__all__ = [
    "Failure",
    "Fleet",
    "KvTiers",
    "Outcome",
    "Replica",
    "Requests",
    "Scale",
    "Scheduler",
    "Speculation",
    "StepTimes",
    "TierUse",
    "Traffic",
    "made",
    "read_profile",
    "simulate_serving",
]
