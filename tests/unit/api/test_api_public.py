"""What `import lydite` offers: a frozen list, lazily imported, with types."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lydite as ly
from lydite.api import VERBS, default

NAMES = [
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


def test_the_public_names_are_these():
    assert ly.__all__ == NAMES
    assert set(NAMES) <= set(dir(ly))
    assert {name for name in NAMES if name.islower() and not name.startswith("_")} == set(VERBS)
    for name in NAMES:
        assert getattr(ly, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'predit'"):
        _ = ly.predit


def test_importing_it_loads_nothing_heavy():
    code = "import sys, lydite; print([n for n in ('numpy', 'onnx', 'typer') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_verb_takes_its_arguments_by_documented_names():
    for name in VERBS:
        function = getattr(default(), name).__func__
        text = inspect.getdoc(function) or ""
        assert text.endswith(".") or "Raises:" in text or "Args:" in text
        for parameter in list(inspect.signature(function).parameters)[1:]:
            assert parameter in text, (name, parameter)


def test_rooms_that_are_verbs_are_still_packages():
    import lydite.chip
    from lydite.models import build_model

    assert callable(lydite.chip)
    assert callable(ly.models)
    assert lydite.chip.run_chip is not None
    assert build_model is ly.models.build_model  # type: ignore[attr-defined]
    assert "model" in inspect.signature(ly.chip).parameters


def test_errors_say_what_where_and_what_is_allowed():
    with pytest.raises(ly.InputError) as caught:
        ly.load("resnet5")
    error = caught.value
    assert error.what == "unknown model 'resnet5'"
    assert "alexnet" in error.allowed
    assert "resnet50" in error.hint
    assert error.where == ""


def test_the_package_is_typed():
    assert (Path(ly.__file__).parent / "py.typed").is_file()
