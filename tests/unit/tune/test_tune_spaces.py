"""Schedule spaces without a compiler: what they are for, their points, their arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from tune_samples import HERE, conv_key, floats, gemm_key, norm_key, row_key, task

from lydite.backends.tuned import (
    SPACES,
    Machine,
    all_configs,
    config_from,
    default_config,
    ranked,
    spaces_for,
    task_of,
)
from lydite.backends.tuned.spaces.conv import plain_weights
from lydite.backends.tuned.spaces.product import packed
from lydite.backends.tuned.spaces.winograd_transforms import (
    WEIGHTS,
    inputs_2,
    inputs_4,
    outputs_2,
    outputs_4,
)
from lydite.backends.tuned.tile import column_tiles, live_taps
from lydite.errors import InputError
from lydite.opkey import Operand, OpKey

KEYS = {
    "3x3": conv_key(64, 56, 64),
    "1x1": conv_key(64, 56, 64, 1),
    "stride 2": conv_key(64, 56, 128, 3, 2),
    "stem": conv_key(3, 224, 64, 7, 2),
    "depthwise": conv_key(144, 56, 144, group=144),
    "matmul": gemm_key(128, 768, 768),
    "gemv": gemm_key(1, 1000, 2048),
    "softmax": row_key("Softmax", 1536, 128),
    "gelu": row_key("Gelu", 128, 3072, version=20),
    "norm": norm_key(128, 768),
    "prime": gemm_key(197, 1009, 769),
}


@pytest.mark.parametrize("name", KEYS)
def test_every_task_has_a_default_that_is_valid(name):
    made = task(KEYS[name])
    config = default_config(made, HERE)
    space = SPACES.find(config.space)
    assert space.valid(made, HERE, config.factors)
    assert config_from(config.space, config.factors, made, HERE) == config
    assert config in all_configs(made, HERE)


@pytest.mark.parametrize("name", KEYS)
def test_formulas_and_features_are_finite_everywhere(name):
    made = task(KEYS[name])
    for space in spaces_for(made, HERE):
        configs = space.configs(made, HERE)
        seconds = ranked(made, HERE, configs)
        assert np.isfinite(seconds).all()
        assert min(seconds) > made.flops / 1e13
        lengths = {len(space.features(made, HERE, config.factors)) for config in configs}
        assert len(lengths) == 1


def test_the_algorithm_is_a_factor():
    assert {s.name for s in spaces_for(task(KEYS["3x3"]), HERE)} == {"conv-direct", "conv-winograd"}
    assert {s.name for s in spaces_for(task(KEYS["1x1"]), HERE)} == {
        "conv-direct",
        "conv-pointwise",
    }
    assert {s.name for s in spaces_for(task(KEYS["stride 2"]), HERE)} == {"conv-direct"}
    assert default_config(task(KEYS["3x3"]), HERE).space == "conv-winograd"


def test_large_spaces_are_large():
    assert len(all_configs(task(KEYS["3x3"]), HERE)) >= 1000
    assert len(all_configs(task(KEYS["matmul"]), HERE)) >= 500


@pytest.mark.parametrize(
    "key",
    [
        row_key("Relu", 4, 4),
        row_key("Softmax", 4, 64, version=11),
        conv_key(64, 56, 64, activation="Tanh"),
        conv_key(64, 56, 64, group=4),
        OpKey("MatMul", (Operand(floats(4, "n")), Operand(floats("n", 4))), (floats(4, 4),)),
    ],
)
def test_other_operators_have_no_task(key):
    assert task_of(key) is None


def test_fused_activations_are_in_the_task():
    made = task(conv_key(64, 56, 64, activation="Clip", activation_params=[0.0, 6.0]))
    assert (made.epilogue.low, made.epilogue.high) == (0.0, 6.0)
    assert task(conv_key(64, 56, 64, activation="Relu")).epilogue.high == np.inf


def test_registers_of_a_smaller_processor():
    small = Machine("x86-64-v3", 8, 16)
    assert default_config(task(gemm_key(128, 768, 768)), small).factors["rows"] <= 14


def test_unknown_points_are_refused():
    made = task(KEYS["matmul"])
    good = default_config(made, HERE).factors
    with pytest.raises(InputError, match="did you mean 'matmul'"):
        config_from("matmull", good, made, HERE)
    with pytest.raises(InputError, match="rows is 99"):
        config_from("matmul", {**good, "rows": 99}, made, HERE)
    with pytest.raises(InputError, match="factor"):
        config_from("matmul", {**good, "speed": 1}, made, HERE)
    with pytest.raises(InputError, match="does not fit"):
        config_from("softmax", good, made, HERE)


@pytest.mark.parametrize("m", [2, 4])
def test_winograd_is_a_convolution(m):
    """A^T ((G w) (B^T d)) against numpy's correlation, in one dimension."""
    random = np.random.default_rng(m)
    d, w = random.standard_normal(m + 2), random.standard_normal(3)
    if m == 2:
        inputs, outputs = inputs_2(d), outputs_2
    else:
        inputs = inputs_4(d, lambda a, b: a * b, lambda v: v)

        def outputs(p):
            return outputs_4(p, lambda a, b: a * b, lambda v: v)

    products = np.array(WEIGHTS[m]) @ w * np.array(inputs)
    np.testing.assert_allclose(outputs(products), np.correlate(d, w), rtol=1e-12, atol=1e-12)


def test_packed_panels_hold_every_column():
    weights = np.arange(3 * 40, dtype=np.float32).reshape(3, 40)
    panels = packed(weights, 32).reshape(2, 3, 32)
    np.testing.assert_array_equal(panels[0], weights[:, :32])
    np.testing.assert_array_equal(panels[1], weights[:, 8:])


def test_blocked_weights_are_read_back():
    made = task(conv_key(32, 8, 16))
    weights = np.arange(16 * 32 * 9, dtype=np.float32).reshape(16, 32, 3, 3)
    # OIHWBiBo: blocks of outputs and inputs, then the kernel, then both within the block
    stored = weights.reshape(1, 16, 2, 16, 3, 3).transpose(0, 2, 4, 5, 3, 1)
    np.testing.assert_array_equal(plain_weights(made, HERE, stored.reshape(16, 32, 3, 3)), weights)


@pytest.mark.parametrize("width", [5, 7, 13, 56])
@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_tiles_of_a_row_cover_it_and_clip_what_lies_outside(width, rows, stride):
    out = (width + 2 - 3) // stride + 1
    if rows > out:
        return
    covered: set[int] = set()
    for start, count, edge in column_tiles(out, rows, 3, stride, 1, width):
        for tile in range(count):
            first = start + tile * rows
            covered |= set(range(first, first + rows))
            for tap in range(3):
                inside = [i for i in range(rows) if 0 <= (first + i) * stride + tap - 1 < width]
                live = live_taps(rows, tap, first, stride, 1, width)
                assert live == inside
                assert edge or live == list(range(rows))
    assert covered == set(range(out))
