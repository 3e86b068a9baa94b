"""Output types of the domain "lydite".

A gradient is typed as the tensor that it is the gradient of: one of the inputs, or the attribute
`shape` where that tensor itself is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lydite.graph.op import Op
from lydite.graph.operators.typing.contrib import InputTypes, TypeRule
from lydite.opkey import TensorType

_BY_OUTPUT = ("Relu", "Sigmoid", "Tanh", "Exp", "Sqrt", "Reciprocal")
_BY_INPUT = (
    "Gelu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Celu",
    "HardSigmoid",
    "HardSwish",
    "Swish",
    "Softplus",
    "Softsign",
    "Mish",
    "ThresholdedRelu",
    "Erf",
    "Log",
    "Abs",
    "Sin",
    "Cos",
)
"""Functions whose gradient follows from what came out, and from what went in: the tensor that an
operator `lydite:<name>Grad` reads beside the gradient of the output, as PyTorch saves them."""

SAVED = {**dict.fromkeys(_BY_OUTPUT, "output"), **dict.fromkeys(_BY_INPUT, "input")}

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _at(inputs: InputTypes, index: int) -> TensorType:
    found = inputs[index] if index < len(inputs) else None
    if found is None or found.shape is None:
        raise ValueError(f"input {index} is missing or has no known rank")
    return found


def _dims(inputs: InputTypes, index: int) -> tuple[int, ...]:
    type_ = _at(inputs, index)
    if not type_.is_static:
        raise ValueError(f"input {index} has an open size: {type_}")
    return tuple(int(dim) for dim in type_.shape or ())


def like(*indices: int) -> TypeRule:
    """Each output as one of the inputs."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        return [_at(inputs, index) for index in indices[: len(op.outputs)]]

    return rule


def by_shape(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """Sizes from the attribute `shape`."""
    shape = op.attrs.get("shape")
    if not isinstance(shape, tuple):
        raise ValueError("the attribute shape is missing")
    return [TensorType(_at(inputs, 0).dtype, tuple(int(dim) for dim in shape))]


def statistics(kept: Callable[[tuple[int, ...], Op], Sequence[int]]) -> TypeRule:
    """The first input, and its mean and inverse deviation."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        saved = TensorType("float32", tuple(kept(_dims(inputs, 0), op)))
        return [_at(inputs, 0), saved, saved]

    return rule


def forward(name: str) -> TypeRule:
    """A recurrent layer: Y, its last states, and what its gradient needs."""

    def rule(_op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        (steps, batch, _length), (directions, _rows, hidden) = _dims(inputs, 0), _dims(inputs, 2)
        dtype = _at(inputs, 0).dtype
        whole = TensorType(dtype, (steps, directions, batch, hidden))
        last = TensorType(dtype, (directions, batch, hidden))
        # of a GRU also the state's part of the new gate, before it is reset
        gates = TensorType(dtype, (steps, directions, batch, 4 * hidden))
        return {
            "RNN": [whole, last],
            "GRU": [whole, last, gates],
            "LSTM": [whole, last, last, gates, whole],
        }[name]

    return rule


def data_gradient(name: str) -> TypeRule:
    """Gradients of X, of the gates, and of the first states."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        steps, directions, batch, hidden = _dims(inputs, 4)
        dtype = _at(inputs, 0).dtype
        width = {"RNN": 1, "GRU": 4, "LSTM": 4}[name] * hidden
        gates = TensorType(dtype, (steps, directions, batch, width))
        first = TensorType(dtype, (directions, batch, hidden))
        return [_at(inputs, 0), gates, first, first][: len(op.outputs)]

    return rule


def weight_gradient(name: str) -> TypeRule:
    """Gradients of W, R and B."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        _steps, directions, _batch, hidden = _dims(inputs, 2)
        rows, dtype = GATES[name] * hidden, _at(inputs, 1).dtype
        shapes = [
            (directions, rows, _dims(inputs, 1)[2]),
            (directions, rows, hidden),
            (directions, 2 * rows),
        ]
        return [TensorType(dtype, shape) for shape in shapes][: len(op.outputs)]

    return rule


def heads(inputs: InputTypes, op: Op, index: int, attr: str) -> tuple[int, int, int, int]:
    """Batch, heads, length and size of [B, H, L, D] or [B, L, H * D]."""
    dims = _dims(inputs, index)
    if len(dims) == 4:
        return dims[0], dims[1], dims[2], dims[3]
    count = op.attrs.get(attr)
    if not isinstance(count, int) or len(dims) != 3 or dims[2] % count:
        raise ValueError(f"input {index} does not divide into {attr}")
    return dims[0], count, dims[1], dims[2] // count


def attention(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """The output, and a logarithm for each query."""
    batch, count, length, _size = heads(inputs, op, 0, "q_num_heads")
    *_rest, value = heads(inputs, op, 2, "kv_num_heads")
    flat = len(_dims(inputs, 0)) == 3
    shape = (batch, length, count * value) if flat else (batch, count, length, value)
    out = TensorType(_at(inputs, 0).dtype, shape)
    return [out, TensorType("float32", (batch, count, length))]


def experts(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """Tokens, and what comes out of the first product for each that each token chose."""
    tokens, (_count, rows, hidden) = _at(inputs, 0), _dims(inputs, 2)
    chosen = op.attrs.get("k", 1)
    if not isinstance(chosen, int):
        raise ValueError("the attribute k is not a number")
    routed = (tokens.numel or 0) // hidden * chosen
    return [tokens, TensorType(tokens.dtype, (routed, rows))]


def updated(states: int) -> TypeRule:
    """Rate, step, then weights, gradients and states in groups: weights and states come out."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        count = (len(inputs) - 2) // (2 + states)
        kept = [*range(2, 2 + count), *range(2 + 2 * count, len(inputs))]
        for weight, gradient in zip(kept, range(2 + count, 2 + 2 * count), strict=False):
            if _at(inputs, weight).shape != _at(inputs, gradient).shape:
                raise ValueError("a gradient has another shape than its weight")
        return [_at(inputs, index) for index in kept[: len(op.outputs)]]

    return rule


def resized(factor: Callable[[int, int], int]) -> TypeRule:
    """The axis `axis` is `size` times as long, or as short."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        axis, size, dims = op.attrs.get("axis"), op.attrs.get("size"), list(_dims(inputs, 0))
        if not isinstance(axis, int) or not isinstance(size, int) or size < 1:
            raise ValueError("the attributes axis and size are missing")
        dims[axis] = factor(dims[axis], size)
        return [TensorType(_at(inputs, 0).dtype, tuple(dims))]

    return rule


def shared(dim: int, size: int) -> int:
    """A rank's share of a size."""
    if dim % size:
        raise ValueError(f"{dim} is not divisible among {size} ranks")
    return dim // size
