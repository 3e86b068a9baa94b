"""Gradients of operators that move, select, repeat or sum data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lydite.errors import GraphError
from lydite.graph.operators.gradients.call import GradientCall, GradientRule
from lydite.graph.tensor import Tensor


def reshape(call: GradientCall) -> Sequence[Tensor | None]:
    """dy reshaped to the input's sizes."""
    return [call.reshaped(call.dy(), call.shape(0))]


def transpose(call: GradientCall) -> Sequence[Tensor | None]:
    """dy transposed back."""
    rank = len(call.shape(0))
    perm = call.attr("perm", tuple(reversed(range(rank))))
    return [call.std("Transpose", call.dy(), perm=[perm.index(i) for i in range(rank)])]


def concat(call: GradientCall) -> Sequence[Tensor | None]:
    """dy split into the parts' sizes."""
    axis = call.attr("axis")
    sizes = [call.shape(i)[axis] for i in range(len(call.op.inputs))]
    return call.g.ops(
        "Split",
        call.dy(),
        call.integers(sizes),
        outputs=len(sizes),
        axis=axis,
        name=f"{call.op.name}/SplitGrad",
    )


def split(call: GradientCall) -> Sequence[Tensor | None]:
    """The parts' gradients concatenated, with zeros for parts that no operator reads."""
    parts = [
        dy if dy is not None else _zeros(call, call.g.tensor(name))
        for dy, name in zip(call.dys, call.op.outputs, strict=True)
    ]
    return [call.std("Concat", *parts, axis=call.attr("axis", 0))]


def _zeros(call: GradientCall, like: Tensor) -> Tensor:
    value = np.zeros(1, like.type.dtype)
    return call.std("ConstantOfShape", call.integers(like.shape), value=value)


def gather(call: GradientCall) -> Sequence[Tensor | None]:
    """Every row of dy is added to the row it came from."""
    axis = call.attr("axis", 0)
    return [call.emit("GatherGrad", call.dy(), call.x(1), axis=axis, shape=call.shape(0))]


def sliced(call: GradientCall) -> Sequence[Tensor | None]:
    """dy inserted into zeros."""
    steering = [call.x(i) if call.has(i) else None for i in range(1, len(call.op.inputs))]
    return [call.emit("SliceGrad", call.dy(), *steering, shape=call.shape(0), **call.attrs)]


def pad(call: GradientCall) -> Sequence[Tensor | None]:
    """The reverse of padding: added elements are cut off, cropped ones become zeros."""
    pads = call.value(1)
    if pads is None or call.attr("mode", "constant") != "constant" or call.has(3):
        raise GraphError("no gradient for this way of padding", where=f"{call.op.name} (Pad)")
    return [call.std("Pad", call.dy(), call.integers([-int(side) for side in pads]))]


def expand(call: GradientCall) -> Sequence[Tensor | None]:
    """dy summed over the broadcast axes."""
    return [call.summed_to(call.dy(), call.shape(0))]


def tile(call: GradientCall) -> Sequence[Tensor | None]:
    """Repetitions become axes of their own, which are summed."""
    repeats, dims = call.value(1), call.shape(0)
    if repeats is None:
        raise GraphError(
            "no gradient for repeats that are not constant", where=f"{call.op.name} (Tile)"
        )
    pairs = [size for pair in zip(repeats.tolist(), dims, strict=True) for size in pair]
    apart = call.reshaped(call.dy(), pairs)
    axes = call.integers(range(0, len(pairs), 2))
    return [call.std("ReduceSum", apart, axes, keepdims=0)]


def _axes(call: GradientCall) -> list[int]:
    """The reduced axes."""
    rank = len(call.shape(0))
    given = call.attr("axes")
    if given is None and call.has(1):
        axes_value = call.value(1)
        if axes_value is None:
            raise GraphError("no gradient for axes that are not constant", where=call.op.name)
        given = axes_value.ravel().tolist()
    return sorted(axis % rank for axis in (given or range(rank)))


def _kept(call: GradientCall) -> list[int]:
    """Sizes of the output with every reduced axis kept at 1."""
    axes = _axes(call)
    return [1 if i in axes else size for i, size in enumerate(call.shape(0))]


def reduce(call: GradientCall) -> Sequence[Tensor | None]:
    """Sum and mean: dy broadcast over the reduced axes, for the mean divided by their length."""
    dims, axes = call.shape(0), _axes(call)
    dy = call.reshaped(call.dy(), _kept(call))
    if call.op.op_type == "ReduceMean":
        dy = call.std("Div", dy, call.number(math.prod(dims[i] for i in axes), dy))
    return [call.std("Expand", dy, call.integers(dims))]


def reduce_extreme(call: GradientCall) -> Sequence[Tensor | None]:
    """dy where the input equals the extreme value."""
    kept = _kept(call)
    hit = call.std("Equal", call.x(), call.reshaped(call.y(), kept))
    dy = call.reshaped(call.dy(), kept)
    return [call.std("Where", hit, dy, call.number(0, dy))]


def reduce_nonlinear(call: GradientCall) -> Sequence[Tensor | None]:
    """dy times the derivative of a norm, product or logarithm of sums by each element."""
    kept = _kept(call)
    dy = call.reshaped(call.dy(), kept)

    def y() -> Tensor:
        return call.reshaped(call.y(), kept)

    def times(factor: Tensor) -> list[Tensor | None]:
        return [call.std("Mul", dy, factor)]

    match call.op.op_type:
        case "ReduceL1":
            return times(call.std("Sign", call.x()))
        case "ReduceL2":
            return times(call.std("Div", call.x(), y()))
        case "ReduceSumSquare":
            return times(call.std("Mul", call.x(), call.number(2, dy)))
        case "ReduceProd":
            return times(call.std("Div", y(), call.x()))
        case "ReduceLogSum":  # 1 / sum(x), the same for every element
            slope = call.std("Div", dy, call.std("Exp", y()))
            return [call.std("Expand", slope, call.integers(call.shape(0)))]
        case _:  # ReduceLogSumExp: a softmax
            return times(call.std("Exp", call.std("Sub", call.x(), y())))


def resize(call: GradientCall) -> Sequence[Tensor | None]:
    """Every pixel of dy is added to the pixels it came from."""
    return [call.emit("ResizeGrad", call.dy(), shape=call.shape(0), **call.attrs)]


def depth_space(other: str) -> GradientRule:
    """Rule for SpaceToDepth and DepthToSpace, each of which is the gradient of the other."""

    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        if call.attr("mode", "DCR") != "DCR":
            raise GraphError("no gradient for the mode CRD", where=call.op.name)
        return [call.std(other, call.dy(), blocksize=call.attr("blocksize"))]

    return rule


def trilu(call: GradientCall) -> Sequence[Tensor | None]:
    """The same triangle of dy."""
    diagonal = call.x(1) if call.has(1) else None
    return [call.std("Trilu", call.dy(), diagonal, upper=call.attr("upper", 1))]


def running_sum(call: GradientCall) -> Sequence[Tensor | None]:
    """A cumulative sum in the opposite direction."""
    flipped = 1 - int(call.attr("reverse", 0))
    return [
        call.std(
            "CumSum", call.dy(), call.x(1), exclusive=call.attr("exclusive", 0), reverse=flipped
        )
    ]


def gather_elements(call: GradientCall) -> Sequence[Tensor | None]:
    """dy added into zeros at the gathered positions."""
    zeros = _zeros(call, call.g.tensor(call.op.inputs[0]))
    axis = call.attr("axis", 0)
    return [call.std("ScatterElements", zeros, call.x(1), call.dy(), axis=axis, reduction="add")]


def scattered(gather: str, scatter: str) -> GradientRule:
    """Data gradient: dy, but zero where overwritten; update gradient: dy at those positions."""

    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        if call.attr("reduction", "none") != "none":
            raise GraphError("no gradient with a reduction", where=call.op.name)
        kept = {"axis": call.attr("axis", 0)} if scatter == "ScatterElements" else {}
        zeros = _zeros(call, call.g.tensor(call.op.inputs[2]))
        data = call.std(scatter, call.dy(), call.x(1), zeros, **kept)
        return [data, None, call.std(gather, call.dy(), call.x(1), **kept)]

    return rule


def top_k(call: GradientCall) -> Sequence[Tensor | None]:
    """dy inserted into zeros at the positions of the selected elements."""
    zeros = _zeros(call, call.g.tensor(call.op.inputs[0]))
    return [call.std("ScatterElements", zeros, call.y(1), call.dy(), axis=call.attr("axis", -1))]


def reverse_sequence(call: GradientCall) -> Sequence[Tensor | None]:
    """dy reversed again."""
    return [call.std("ReverseSequence", call.dy(), call.x(1), **call.attrs)]


def gather_nd(call: GradientCall) -> Sequence[Tensor | None]:
    """dy added into zeros at the gathered positions."""
    if call.attr("batch_dims", 0):
        raise GraphError("no gradient with batch dimensions", where=f"{call.op.name} (GatherND)")
    zeros = _zeros(call, call.g.tensor(call.op.inputs[0]))
    return [call.std("ScatterND", zeros, call.x(1), call.dy(), reduction="add")]
