"""Decompositions of aten's shape operators, reductions and windows into ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lydite.graph.operators.decompositions.call import Decomposition, DecompositionCall
from lydite.graph.tensor import Tensor


def linear(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's linear: x W^T + b."""
    product = call.op_("MatMul", call.x(0), call.op_("Transpose", call.x(1), perm=[1, 0]))
    return [call.op_("Add", product, call.x(2)) if call.has(2) else product]


def added_product(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's addmm and baddbmm with alpha = beta = 1."""
    product = call.op_("MatMul", call.x(1), call.x(2))
    return [call.op_("Add", product, call.x(0))]


def swapped_axes(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's transpose: exchanges two axes."""
    rank = len(call.x().shape)
    first, second = int(call.attr("dim0", -2)) % rank, int(call.attr("dim1", -1)) % rank
    perm = list(range(rank))
    perm[first], perm[second] = perm[second], perm[first]
    return [call.op_("Transpose", call.x(), perm=perm)]


def permuted(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's permute, with the axis order in the attribute `dims`."""
    rank = len(call.x().shape)
    return [call.op_("Transpose", call.x(), perm=[int(d) % rank for d in call.attr("dims")])]


def layer_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """Normalises over trailing axes `normalized_shape`; also returns mean, inverse deviation."""
    axis = -len(call.attr("normalized_shape", (0,)))
    epsilon = float(call.attr("eps", 1e-5))
    scale = call.x(1)
    rest = [call.x(2)] if call.has(2) else []
    outputs = call.g.ops(
        "LayerNormalization",
        call.x(),
        scale,
        *rest,
        outputs=3,
        name=f"{call.op.name}/LayerNormalization",
        axis=axis,
        epsilon=epsilon,
    )
    return outputs[: len(call.op.outputs)]


def reduced(op_type: str) -> Decomposition:
    """A reduction over the axes in the attribute `dim`, over all axes if it is absent."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        given = call.attr("dim")
        axes = [given] if isinstance(given, int) else list(given or ())
        keep = int(bool(call.attr("keepdim", False)))
        inputs = [call.x(), call.integers(axes)] if axes else [call.x()]
        return [call.op_(op_type, *inputs, keepdims=keep)][: len(call.op.outputs)]

    return rule


def expanded(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's expand: broadcast to the output's sizes."""
    return [call.op_("Expand", call.x(), call.integers(call.shape()))]


def chosen(call: DecompositionCall) -> Sequence[Tensor]:
    """torch.where of three tensors."""
    return [call.op_("Where", *call.inputs[:3])]


def picked(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's select: one index along an axis."""
    index = call.g.constant(int(call.attr("index", 0)), f"{call.op.name}/index")
    return [call.op_("Gather", call.x(), index, axis=int(call.attr("dim", 0)))]


def sliced(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's slice along one axis."""
    ends = min(int(call.attr("end", 2**31 - 1) or 2**31 - 1), 2**31 - 1)
    settings = (call.attr("start", 0) or 0, ends, call.attr("dim", 0), call.attr("step", 1))
    start, end, axis, step = (call.integers([int(value)]) for value in settings)
    return [call.op_("Slice", call.x(), start, end, axis, step)]


def in_pieces(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's split, split_with_sizes and chunk, with the sizes of the outputs."""
    axis = int(call.attr("dim", 0))
    sizes = [call.shape(i)[axis] for i in range(len(call.outs))]
    return call.g.ops(
        "Split",
        call.x(),
        call.integers(sizes),
        outputs=len(sizes),
        name=f"{call.op.name}/Split",
        axis=axis,
    )


def averaged(call: DecompositionCall) -> Sequence[Tensor]:
    """Adaptive average pooling to one pixel."""
    if any(size != 1 for size in call.shape()[2:]):
        return [call.op_("AveragePool", call.x(), **_adaptive(call))]
    return [call.op_("GlobalAveragePool", call.x())]


def _adaptive(call: DecompositionCall) -> dict[str, Any]:
    """Window attributes of adaptive pooling, for output sizes that divide the input sizes."""
    kernel = [a // b for a, b in zip(call.x().shape[2:], call.shape()[2:], strict=True)]
    return {"kernel_shape": kernel, "strides": kernel}


def convolution(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's convolution; scalar arguments apply to every axis."""
    rank = len(call.x().shape) - 2
    pads = _per_axis(call.attr("padding", 0), rank)
    attrs: dict[str, Any] = {
        "strides": _per_axis(call.attr("stride", 1), rank),
        "pads": [*pads, *pads],
        "dilations": _per_axis(call.attr("dilation", 1), rank),
        "group": int(call.attr("groups", 1)),
    }
    transposed = bool(call.attr("transposed")) or "transpose" in call.op.op_type
    return [call.op_("ConvTranspose" if transposed else "Conv", *call.inputs[:3], **attrs)]


def _per_axis(value: Any, rank: int) -> list[int]:
    sizes = [int(size) for size in value] if isinstance(value, list | tuple) else [int(value)]
    return sizes * rank if len(sizes) == 1 else sizes


def pooled_window(op_type: str) -> Decomposition:
    """aten's pooling; scalar arguments apply to every axis."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        rank = len(call.x().shape) - 2
        kernel = _per_axis(call.attr("kernel_size"), rank)
        pads = _per_axis(call.attr("padding", 0), rank)
        strides = call.attr("stride") or kernel
        attrs: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": _per_axis(strides, rank),
            "pads": [*pads, *pads],
            "ceil_mode": int(bool(call.attr("ceil_mode", False))),
        }
        if op_type == "AveragePool":
            attrs["count_include_pad"] = int(bool(call.attr("count_include_pad", True)))
        return [call.op_(op_type, call.x(), **attrs)]

    return rule


def batch_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """Batch normalisation; scale, shift, running mean and variance in ONNX's order."""
    epsilon = float(call.attr("eps", 1e-5))
    return [call.op_("BatchNormalization", *call.inputs[:5], epsilon=epsilon)]


def scaled_attention(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's attention of [batch, heads, length, head size]."""
    causal = int(bool(call.attr("is_causal", False)))
    return [call.op_("Attention", *call.inputs[:4], is_causal=causal)]


def stacked(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's stack: concatenation along a new axis."""
    axis = int(call.attr("dim", 0))
    parts = [call.op_("Unsqueeze", x, call.integers([axis])) for x in call.inputs if x is not None]
    return [call.op_("Concat", *parts, axis=axis)]


def padded(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's pad, whose pairs begin with the last axis."""
    rank, pairs = len(call.x().shape), [int(size) for size in call.attr("pad", ())]
    before, after = [0] * rank, [0] * rank
    for place in range(len(pairs) // 2):
        before[rank - 1 - place], after[rank - 1 - place] = pairs[2 * place : 2 * place + 2]
    return [call.op_("Pad", call.x(), call.integers([*before, *after]))]


def tiled(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's repeat and tile."""
    repeats = [int(size) for size in call.attr("repeats", call.attr("dims", ()))]
    x, extra = call.x(), len(repeats) - len(call.x().shape)
    if extra > 0:
        x = call.op_("Reshape", x, call.integers([*[1] * extra, *x.shape]))
    return [call.op_("Tile", x, call.integers([*[1] * -extra, *repeats]))]


def triangle(upper: int) -> Decomposition:
    """aten's triu (`upper` 1) and tril (0)."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        diagonal = call.g.constant(int(call.attr("diagonal", 0)), f"{call.op.name}/diagonal")
        return [call.op_("Trilu", call.x(), diagonal, upper=upper)]

    return rule


def running(op_type: str) -> Decomposition:
    """aten's cumulative sums and products."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        axis = call.g.constant(int(call.attr("dim", 0)), f"{call.op.name}/axis")
        return [call.op_(op_type, call.x(), axis)]

    return rule


def nearest(call: DecompositionCall) -> Sequence[Tensor]:
    """Nearest-neighbour resizing to the output's sizes."""
    sizes = call.integers(call.shape())
    return [
        call.op_(
            "Resize",
            call.x(),
            None,
            None,
            sizes,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    ]


def group_norm(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's group_norm."""
    groups, epsilon = int(call.attr("num_groups", 1)), float(call.attr("eps", 1e-5))
    return [call.op_("GroupNormalization", *call.inputs[:3], num_groups=groups, epsilon=epsilon)]


def masked(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's masked_fill: the value where the mask is set, the data elsewhere."""
    x = call.x()
    value = call.x(2) if call.has(2) else call.number(float(call.attr("value", 0.0)), x)
    return [call.op_("Where", call.x(1), value, x)]


def taken(op_type: str) -> Decomposition:
    """A selection along the axis in the attribute `dim`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        return [call.op_(op_type, call.x(), call.x(1), axis=int(call.attr("dim", 0)))]

    return rule
