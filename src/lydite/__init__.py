"""Lydite: how fast is a deep-learning model on a system, what does it cost, and why?

    import lydite as ly

    model = ly.load("resnet50", batch=8)
    prediction = ly.predict(model, on="h100", dtype="bfloat16")
    prediction.seconds, prediction.low_s, prediction.high_s

Everything is imported when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ERRORS = (
    "BackendError",
    "GraphError",
    "InputError",
    "LyditeError",
    "MissingExtra",
    "StoreError",
    "UnitError",
)
_VERBS = (
    "aisim",
    "bench",
    "calibrate",
    "chip",
    "collective",
    "corun",
    "coverage",
    "db_export",
    "db_import",
    "db_merge",
    "db_query",
    "db_stats",
    "demo",
    "doctor",
    "farm_drain",
    "farm_profile",
    "farm_status",
    "farm_worker",
    "inspect",
    "learn_evaluate",
    "learn_fit",
    "load",
    "mlperf_audit",
    "mlperf_build",
    "mlperf_calibrate",
    "mlperf_check",
    "mlperf_explain",
    "mlperf_peak",
    "mlperf_preprocess",
    "mlperf_run",
    "mlperf_submission",
    "mlperf_tune",
    "models",
    "monitor",
    "ops",
    "place",
    "predict",
    "profile",
    "profile_plan",
    "profile_planned",
    "record",
    "run",
    "runs",
    "scalesim",
    "score",
    "score_board",
    "score_compare",
    "score_verify",
    "search",
    "serve",
    "simulate",
    "smaug",
    "sweep",
    "tune",
    "tune_compare",
    "tune_expect",
    "tune_export",
    "tune_import",
    "tune_op",
    "turning_point",
    "validate",
    "validate_steps",
)
_ROOMS = ("chip", "models", "score", "tune")
"""Verbs whose names are packages too: `lydite.chip` holds chips, `lydite.chip(...)` runs one."""
_WHERE = {
    "Graph": "lydite.graph",
    "Model": "lydite.api.load",
    "ModelOptions": "lydite.api.options",
    "Result": "lydite.results",
    "Session": "lydite.api.session",
    **dict.fromkeys(_ERRORS, "lydite.errors"),
}

if TYPE_CHECKING:
    from inspect import Signature

    from lydite.api.load import Model
    from lydite.api.options import ModelOptions
    from lydite.api.session import Session
    from lydite.errors import (
        BackendError,
        GraphError,
        InputError,
        LyditeError,
        MissingExtra,
        StoreError,
        UnitError,
    )
    from lydite.graph import Graph
    from lydite.results import Result

    _session = Session()
    aisim = _session.aisim
    bench = _session.bench
    calibrate = _session.calibrate
    chip = _session.chip
    collective = _session.collective
    coverage = _session.coverage
    db_export = _session.db_export
    db_import = _session.db_import
    db_merge = _session.db_merge
    db_query = _session.db_query
    db_stats = _session.db_stats
    demo = _session.demo
    doctor = _session.doctor
    farm_drain = _session.farm_drain
    farm_profile = _session.farm_profile
    farm_status = _session.farm_status
    farm_worker = _session.farm_worker
    inspect = _session.inspect
    learn_evaluate = _session.learn_evaluate
    learn_fit = _session.learn_fit
    load = _session.load
    mlperf_audit = _session.mlperf_audit
    mlperf_build = _session.mlperf_build
    mlperf_calibrate = _session.mlperf_calibrate
    mlperf_check = _session.mlperf_check
    mlperf_explain = _session.mlperf_explain
    mlperf_peak = _session.mlperf_peak
    mlperf_preprocess = _session.mlperf_preprocess
    mlperf_run = _session.mlperf_run
    mlperf_submission = _session.mlperf_submission
    mlperf_tune = _session.mlperf_tune
    models = _session.models
    monitor = _session.monitor
    ops = _session.ops
    predict = _session.predict
    profile = _session.profile
    profile_plan = _session.profile_plan
    profile_planned = _session.profile_planned
    record = _session.record
    run = _session.run
    runs = _session.runs
    scalesim = _session.scalesim
    score = _session.score
    score_board = _session.score_board
    score_compare = _session.score_compare
    score_verify = _session.score_verify
    search = _session.search
    serve = _session.serve
    simulate = _session.simulate
    smaug = _session.smaug
    sweep = _session.sweep
    tune = _session.tune
    tune_compare = _session.tune_compare
    tune_expect = _session.tune_expect
    tune_export = _session.tune_export
    tune_import = _session.tune_import
    tune_op = _session.tune_op
    turning_point = _session.turning_point
    corun = _session.corun
    place = _session.place
    validate = _session.validate
    validate_steps = _session.validate_steps

__all__ = [
    "BackendError",
    "Graph",
    "GraphError",
    "InputError",
    "LyditeError",
    "MissingExtra",
    "Model",
    "ModelOptions",
    "Result",
    "Session",
    "StoreError",
    "UnitError",
    "__version__",
    "aisim",
    "bench",
    "calibrate",
    "chip",
    "collective",
    "corun",
    "coverage",
    "db_export",
    "db_import",
    "db_merge",
    "db_query",
    "db_stats",
    "demo",
    "doctor",
    "farm_drain",
    "farm_profile",
    "farm_status",
    "farm_worker",
    "inspect",
    "learn_evaluate",
    "learn_fit",
    "load",
    "mlperf_audit",
    "mlperf_build",
    "mlperf_calibrate",
    "mlperf_check",
    "mlperf_explain",
    "mlperf_peak",
    "mlperf_preprocess",
    "mlperf_run",
    "mlperf_submission",
    "mlperf_tune",
    "models",
    "monitor",
    "ops",
    "place",
    "predict",
    "profile",
    "profile_plan",
    "profile_planned",
    "record",
    "run",
    "runs",
    "scalesim",
    "score",
    "score_board",
    "score_compare",
    "score_verify",
    "search",
    "serve",
    "simulate",
    "smaug",
    "sweep",
    "tune",
    "tune_compare",
    "tune_expect",
    "tune_export",
    "tune_import",
    "tune_op",
    "turning_point",
    "validate",
    "validate_steps",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"lydite.{name}")
    if name in _VERBS:
        return _verb(name)
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if not name.startswith("_") and name in import_module("lydite.api.verbs").VERBS:
        return _verb(name)  # of another package
    raise AttributeError(f"module 'lydite' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})


def _verb(name: str) -> Any:
    return getattr(import_module("lydite.api.session").default(), name)


class _Room(ModuleType):
    """A package that can be called as the verb of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _verb(self.__name__.rpartition(".")[2])(*arguments, **options)

    @property
    def __signature__(self) -> Signature:
        from inspect import signature  # slow, and only for help

        return signature(_verb(self.__name__.rpartition(".")[2]))


class _Lydite(ModuleType):
    """This package: those of its rooms that are verbs can be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in (*_ROOMS, "smaug") and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Lydite
