"""What both directions of SMAUG's translation share: logical sizes, operators, weights.

A logical tensor is NCHW, and a matrix stands as SMAUG's NC; layouts are a matter of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lydite.compat.smaug.topology.network import Spec
from lydite.graph import Op

EPSILON = 1e-5
"""SMAUG stores 1 / sqrt(variance + epsilon); this epsilon is taken out of it."""

TO_LOGICAL: dict[str, tuple[int, ...]] = {"NHWC": (0, 3, 1, 2), "CN": (1, 0)}
"""By layout, the stored axis that each logical axis comes from; others stand as they are."""

FROM_LOGICAL: dict[str, tuple[int, ...]] = {"NHWC": (0, 2, 3, 1), "CN": (1, 0)}
UNARY = {
    "ReLU": "Relu",
    "LReLU": "LeakyRelu",
    "ELU": "Elu",
    "SELU": "Selu",
    "Tanh": "Tanh",
    "HardTanh": "Clip",
    "Sigmoid": "Sigmoid",
    "Softmax": "Softmax",
}
BINARY = {
    "EltwiseAdd": "Add",
    "EltwiseMul": "Mul",
    "Less": "Less",
    "LessEqual": "LessOrEqual",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
}
ACT_DEFAULTS = {
    "LReLU": {"slope": 0.2},
    "ELU": {"alpha": 0.1},
    "SELU": {"alpha": 1.6733, "lambda_param": 1.0507},
    "HardTanh": {"min": -1.0, "max": 1.0},
}
"""Parameters that SMAUG takes where none are given."""

ACT_ATTRS = {
    "LReLU": {"slope": "alpha"},
    "ELU": {"alpha": "alpha"},
    "SELU": {"alpha": "alpha", "lambda_param": "gamma"},
}
"""SMAUG's name of a parameter and ONNX's."""

WEIGHT_INPUTS = {
    "Convolution3d": (1,),
    "ConvolutionDepthwise": (1,),
    "InnerProduct": (1,),
    "BatchNorm": (1, 2, 3, 4),
}
CONSTANT, FEED = "/constant", "/feed"
"""Ends of a Data tensor's name that say what it is where its use would tell otherwise."""


def free_outputs(ops: Iterable[Op]) -> list[str]:
    """Outputs of the operators that nobody reads anything of: what a network of SMAUG yields."""
    ops = list(ops)
    read = {name for op in ops for name in op.inputs}
    return [name for op in ops if not read & set(op.outputs) for name in op.outputs if name]


def logical_dims(spec: Spec) -> tuple[int, ...]:
    """Sizes as the graph has them."""
    order = TO_LOGICAL.get(spec.layout, range(len(spec.dims)))
    return tuple(spec.dims[axis] for axis in order)


def to_logical(array: np.ndarray, layout: str) -> np.ndarray:
    """The numbers of a stored tensor in logical order."""
    order = TO_LOGICAL.get(layout)
    return np.ascontiguousarray(array.transpose(order)) if order else array


def stored_dims(dims: Sequence[int], layout: str) -> tuple[int, ...]:
    """Sizes of a logical tensor in a layout."""
    order = FROM_LOGICAL.get(layout, range(len(dims)))
    return tuple(dims[axis] for axis in order)


def to_stored(array: np.ndarray, layout: str) -> np.ndarray:
    """The numbers of a logical tensor in a layout."""
    order = FROM_LOGICAL.get(layout)
    return array.transpose(order) if order else array


def same_order(spec: Spec) -> bool:
    """Whether the elements lie in memory as in the logical tensor."""
    dims = logical_dims(spec)
    return spec.layout != "NHWC" or dims[1] == 1 or dims[2] * dims[3] == 1


def same_pads(kernel: Sequence[int]) -> list[int]:
    """ONNX pads of SMAUG's "same": k - 1 in all, the larger half first, whatever the stride."""
    before = [size // 2 for size in kernel]
    return [*before, *(size - 1 - low for size, low in zip(kernel, before, strict=True))]


def columns_to_nchw(array: np.ndarray, chw: tuple[int, int, int]) -> np.ndarray:
    """Dense weights [units, h * w * c] for an image that is flattened as c, h, w."""
    c, h, w = chw
    return array.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(array.shape)


def columns_to_nhwc(array: np.ndarray, chw: tuple[int, int, int]) -> np.ndarray:
    """The inverse of `columns_to_nchw`."""
    return array.reshape(-1, *chw).transpose(0, 2, 3, 1).reshape(array.shape)


def variance_of(stored: np.ndarray) -> np.ndarray:
    """The variance behind SMAUG's 1 / sqrt(variance + epsilon), in the same type."""
    with np.errstate(all="ignore"):
        return (1 / stored.astype(np.float64) ** 2 - EPSILON).astype(stored.dtype)


def stored_variance(variance: np.ndarray) -> np.ndarray:
    """The inverse of `variance_of`: of neighbouring numbers the one that gives `variance` back."""
    with np.errstate(all="ignore"):
        best = (1 / np.sqrt(variance.astype(np.float64) + EPSILON)).astype(variance.dtype)
        for direction in (-np.inf, np.inf):
            other = best
            for _ in range(2):
                other = np.nextafter(other, np.asarray(direction, variance.dtype))
                exact = (variance_of(best) != variance) & (variance_of(other) == variance)
                best = np.where(exact, other, best)
    return best
