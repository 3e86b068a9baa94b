"""Output types of the domain "lydite".

A gradient has the type of the tensor that it belongs to: that of an input, or the attribute `shape`
where that tensor itself is not an input.
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
"""Functions whose gradient follows from their output, and from their input: the tensor that an
operator `lydite:<name>Grad` reads besides the gradient of the output, as PyTorch saves them."""

SAVED = {**dict.fromkeys(_BY_OUTPUT, "output"), **dict.fromkeys(_BY_INPUT, "input")}

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _at(inputs: InputTypes, index: int) -> TensorType:
    type_ = inputs[index] if index < len(inputs) else None
    if type_ is None or type_.shape is None:
        raise ValueError(f"input {index} is missing or has no known rank")
    return type_


def _dims(inputs: InputTypes, index: int) -> tuple[int, ...]:
    type_ = _at(inputs, index)
    if not type_.is_static:
        raise ValueError(f"input {index} has an unknown size: {type_}")
    return tuple(int(dim) for dim in type_.shape or ())


def like(*indices: int) -> TypeRule:
    """Each output has the type of one of the inputs."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        return [_at(inputs, index) for index in indices[: len(op.outputs)]]

    return rule


def like_named(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """Each output has the type of the input whose index the attribute `of` gives."""
    named = op.attrs.get("of")
    if not isinstance(named, tuple):
        raise ValueError("the attribute of is missing")
    return [_at(inputs, int(index)) for index in named]


def by_shape(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """Sizes are given by the attribute `shape`."""
    shape = op.attrs.get("shape")
    if not isinstance(shape, tuple):
        raise ValueError("the attribute shape is missing")
    return [TensorType(_at(inputs, 0).dtype, tuple(int(dim) for dim in shape))]


def statistics(kept: Callable[[tuple[int, ...], Op], Sequence[int]]) -> TypeRule:
    """The type of the first input, and those of its mean and inverse deviation."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        saved = TensorType("float32", tuple(kept(_dims(inputs, 0), op)))
        return [_at(inputs, 0), saved, saved]

    return rule


def forward(name: str) -> TypeRule:
    """Training form of a recurrent layer: Y, its last states, and what its gradient needs."""

    def rule(_op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        (steps, batch, _length), (directions, _rows, hidden) = _dims(inputs, 0), _dims(inputs, 2)
        dtype = _at(inputs, 0).dtype
        whole = TensorType(dtype, (steps, directions, batch, hidden))
        last = TensorType(dtype, (directions, batch, hidden))
        # a GRU also saves the state's contribution to the new gate, before the reset
        gates = TensorType(dtype, (steps, directions, batch, 4 * hidden))
        return {
            "RNN": [whole, last],
            "GRU": [whole, last, gates],
            "LSTM": [whole, last, last, gates, whole],
        }[name]

    return rule


def data_gradient(name: str) -> TypeRule:
    """Gradients of X, of the gates, and of the initial states."""

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
    """Batch size, heads, length and head size of [B, H, L, D] or [B, L, H * D]."""
    dims = _dims(inputs, index)
    if len(dims) == 4:
        return dims[0], dims[1], dims[2], dims[3]
    count = op.attrs.get(attr)
    if not isinstance(count, int) or len(dims) != 3 or dims[2] % count:
        raise ValueError(f"input {index} does not divide into {attr}")
    return dims[0], count, dims[1], dims[2] // count


def attention(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """The output, and the log-sum-exp of each query's scores."""
    batch, count, length, _size = heads(inputs, op, 0, "q_num_heads")
    *_rest, value = heads(inputs, op, 2, "kv_num_heads")
    flat = len(_dims(inputs, 0)) == 3
    shape = (batch, length, count * value) if flat else (batch, count, length, value)
    out = TensorType(_at(inputs, 0).dtype, shape)
    return [out, TensorType("float32", (batch, count, length))]


def experts(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
    """Tokens, and the result of the first product for each chosen expert of each token."""
    tokens, (_count, rows, hidden) = _at(inputs, 0), _dims(inputs, 2)
    chosen = op.attrs.get("k", 1)
    if not isinstance(chosen, int):
        raise ValueError("the attribute k is not a number")
    routed = (tokens.numel or 0) // hidden * chosen
    return [tokens, TensorType(tokens.dtype, (routed, rows))]


def updated(states: int) -> TypeRule:
    """Weights and states; inputs are rate, step, then groups of weights, gradients and states."""

    def rule(op: Op, inputs: InputTypes, _: object) -> list[TensorType]:
        count = (len(inputs) - 2) // (2 + states)
        kept = [*range(2, 2 + count), *range(2 + 2 * count, len(inputs))]
        for weight, gradient in zip(kept, range(2 + count, 2 + 2 * count), strict=False):
            if _at(inputs, weight).shape != _at(inputs, gradient).shape:
                raise ValueError("a gradient's shape differs from its weight's")
        return [_at(inputs, index) for index in kept[: len(op.outputs)]]

    return rule


def resized(factor: Callable[[int, int], int]) -> TypeRule:
    """The axis `axis` becomes `size` times as long, or as short."""

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
        raise ValueError(f"{dim} is not divisible by {size} ranks")
    return dim // size
