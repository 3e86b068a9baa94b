"""Common to both directions of SMAUG's translation: logical sizes, operators, weights.

Logical tensors are NCHW, and matrices SMAUG's NC; layouts exist only in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lydite.compat.smaug.topology.network import Spec
from lydite.graph import Op

EPSILON = 1e-5
"""Epsilon that is removed from SMAUG's stored 1 / sqrt(variance + epsilon)."""

TO_LOGICAL: dict[str, tuple[int, ...]] = {"NHWC": (0, 3, 1, 2), "CN": (1, 0)}
"""Stored axis of each logical axis, by layout; other layouts are unchanged."""

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
"""SMAUG's defaults of parameters."""

ACT_ATTRS = {
    "LReLU": {"slope": "alpha"},
    "ELU": {"alpha": "alpha"},
    "SELU": {"alpha": "alpha", "lambda_param": "gamma"},
}
"""SMAUG's names of parameters, with ONNX's."""

WEIGHT_INPUTS = {
    "Convolution3d": (1,),
    "ConvolutionDepthwise": (1,),
    "InnerProduct": (1,),
    "BatchNorm": (1, 2, 3, 4),
}
CONSTANT, FEED = "/constant", "/feed"
"""Suffixes of a Data tensor's name that override what its use would suggest."""


def free_outputs(ops: Iterable[Op]) -> list[str]:
    """Outputs of operators none of whose outputs is read: the outputs of a SMAUG network."""
    ops = list(ops)
    read = {name for op in ops for name in op.inputs}
    return [name for op in ops if not read & set(op.outputs) for name in op.outputs if name]


def logical_dims(spec: Spec) -> tuple[int, ...]:
    """Sizes in logical order."""
    order = TO_LOGICAL.get(spec.layout, range(len(spec.dims)))
    return tuple(spec.dims[axis] for axis in order)


def to_logical(array: np.ndarray, layout: str) -> np.ndarray:
    """Values of a stored tensor in logical order."""
    order = TO_LOGICAL.get(layout)
    return np.ascontiguousarray(array.transpose(order)) if order else array


def stored_dims(dims: Sequence[int], layout: str) -> tuple[int, ...]:
    """Sizes of a logical tensor in a layout."""
    order = FROM_LOGICAL.get(layout, range(len(dims)))
    return tuple(dims[axis] for axis in order)


def to_stored(array: np.ndarray, layout: str) -> np.ndarray:
    """Values of a logical tensor in a layout."""
    order = FROM_LOGICAL.get(layout)
    return array.transpose(order) if order else array


def same_order(spec: Spec) -> bool:
    """Whether the elements are in memory in logical order."""
    dims = logical_dims(spec)
    return spec.layout != "NHWC" or dims[1] == 1 or dims[2] * dims[3] == 1


def same_pads(kernel: Sequence[int]) -> list[int]:
    """ONNX pads of SMAUG's "same": k - 1 in total for any stride, the larger half first."""
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
    """The variance of SMAUG's 1 / sqrt(variance + epsilon), in the same type."""
    with np.errstate(all="ignore"):
        return (1 / stored.astype(np.float64) ** 2 - EPSILON).astype(stored.dtype)


def stored_variance(variance: np.ndarray) -> np.ndarray:
    """The inverse of `variance_of`: the neighbouring number that maps back to `variance`."""
    with np.errstate(all="ignore"):
        best = (1 / np.sqrt(variance.astype(np.float64) + EPSILON)).astype(variance.dtype)
        for direction in (-np.inf, np.inf):
            other = best
            for _ in range(2):
                other = np.nextafter(other, np.asarray(direction, variance.dtype))
                exact = (variance_of(best) != variance) & (variance_of(other) == variance)
                best = np.where(exact, other, best)
    return best
