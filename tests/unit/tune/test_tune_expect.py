"""What tuning promises, on rows whose law is known."""

from __future__ import annotations

import numpy as np
import pytest
from tune_samples import HERE, gemm_key, task

pytest.importorskip("lightgbm", reason="lightgbm is not installed")

from lydite.backends.tuned import all_configs, ranked
from lydite.store import Software, Trial
from lydite.tune.expect import expect


def rows(factor: float, noise: float = 0.02, step: int = 9) -> list[Trial]:
    """Rows of another shape that take `factor` times the formula, five times that with unroll 1."""
    made, random = task(gemm_key(196, 512, 256)), np.random.default_rng(0)
    configs = all_configs(made, HERE)[::step]
    return [
        Trial(
            made.key,
            "cpu",
            Software("tvm", {}),
            HERE.target,
            config.space,
            config.factors,
            seconds=seconds
            * factor
            * (5 if config.factors["unroll"] == 1 else 1)
            * float(np.exp(random.normal(0, noise))),
        )
        for config, seconds in zip(configs, ranked(made, HERE, configs), strict=True)
    ]


def test_rows_at_another_shape_set_the_scale():
    made = task(gemm_key(128, 768, 768))
    best = min(ranked(made, HERE, all_configs(made, HERE)))
    found = expect(made, HERE, rows(2.0), trials=5)
    assert found.source == "trials"
    assert found.low <= found.seconds <= found.high
    assert 1.7 * best < found.seconds < 2.2 * best


def test_the_factor_that_matters_is_named():
    found = expect(task(gemm_key(128, 768, 768)), HERE, rows(1.0), trials=5)
    assert found.factors[0].factor == "unroll"
    assert found.factors[0].low > max(0.0, found.factors[1].high)


def test_more_trials_promise_no_less():
    made = task(gemm_key(128, 768, 768))
    noisy = rows(1.0, noise=0.2)
    few, many = (expect(made, HERE, noisy, trials=n).seconds for n in (1, 100))
    assert many < few


def test_without_rows_the_formula_answers_and_says_so():
    found = expect(task(gemm_key(128, 768, 768)), HERE, [], trials=5)
    assert (found.source, found.rows, found.factors) == ("formula", 0, ())
    assert found.low < found.seconds < found.high
