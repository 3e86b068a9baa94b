"""SMV's activations on fp32 arrays (SMAUG's activation_functions_simd.h and softmax)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lydite.chip.smv.program import Activation

Array = np.ndarray


def activated(values: Array, activation: Activation) -> Array:
    """Apply an activation to every element."""
    with np.errstate(over="ignore"):
        return _FUNCTIONS[activation.name](values, activation)


def softmax(rows: Array) -> Array:
    """Softmax of rows [N, C] as on SMV: no maximum is subtracted, and 1e-6 is added to the sum.

    SMAUG leaves out the last C mod 8 elements of a row; here they count.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(rows)
        return powers * (1 / (powers.sum(axis=-1, keepdims=True) + np.float32(1e-6)))


def _elu(x: Array, a: Activation) -> Array:
    return np.where(x < 0, np.float32(a.alpha) * np.expm1(np.minimum(x, 0)), x)


def _sigmoid(x: Array, _: Activation) -> Array:
    return 1 / (1 + np.exp(-x))


_FUNCTIONS: dict[str, Callable[[Array, Activation], Array]] = {
    "relu": lambda x, _: np.maximum(x, 0),
    "lrelu": lambda x, a: np.where(x < 0, np.float32(a.alpha) * x, x),
    "elu": _elu,
    "selu": lambda x, a: np.float32(a.gamma) * _elu(x, a),
    "tanh": lambda x, a: 2 * _sigmoid(2 * x, a) - 1,
    "hard_tanh": lambda x, a: np.clip(x, np.float32(a.low), np.float32(a.high)),
    "sigmoid": _sigmoid,
}
