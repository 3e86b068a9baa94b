"""Translations to PyTorch: elementwise functions, reductions and selections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

Rule = Callable[[Sequence[Any], Mapping[str, Any]], Any]

_UNARY: dict[str, Callable[[Any], Any]] = {
    "Sign": torch.sign,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "IsNaN": torch.isnan,
    "IsInf": torch.isinf,
    "BitwiseNot": torch.bitwise_not,
    "Tan": torch.tan,
    "Asin": torch.asin,
    "Acos": torch.acos,
    "Atan": torch.atan,
    "Sinh": torch.sinh,
    "Cosh": torch.cosh,
    "Asinh": torch.asinh,
    "Acosh": torch.acosh,
    "Atanh": torch.atanh,
    "Det": torch.linalg.det,
    "com.microsoft:Inverse": torch.linalg.inv,
    "Size": lambda x: torch.tensor(x.numel()),
    "NonZero": lambda x: torch.nonzero(x).T,
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "GreaterOrEqual": torch.ge,
    "LessOrEqual": torch.le,
    "CastLike": lambda x, like: x.to(like.dtype),
    "GatherND": lambda x, indices: x[tuple(indices.long().movedim(-1, 0))],
    "SwiGLU": lambda x, gate: F.silu(x) * gate,
}


def _modulo(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    remainder = torch.fmod if attrs.get("fmod") else torch.remainder
    return remainder(inputs[0], inputs[1])


def _shifted(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    left = attrs["direction"] == "LEFT"
    return inputs[0] << inputs[1] if left else inputs[0] >> inputs[1]


def _extreme_index(function: Callable[..., Any]) -> Rule:
    def rule(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
        axis, keep = attrs.get("axis", 0), bool(attrs.get("keepdims", 1))
        return function(inputs[0], dim=axis, keepdim=keep)

    return rule


def _running(function: Callable[..., Any]) -> Rule:
    def rule(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
        x, axis = inputs[0], int(inputs[1].item())
        if attrs.get("reverse"):
            x = x.flip(axis)
        result = function(x, axis)
        if attrs.get("exclusive"):
            result = result - x if function is torch.cumsum else result / x
        return result.flip(axis) if attrs.get("reverse") else result

    return rule


def _top_k(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    count = int(inputs[1].item())
    return torch.topk(inputs[0], count, attrs.get("axis", -1), bool(attrs.get("largest", 1)))


def _axes(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> list[int]:
    given = inputs[1].flatten().tolist() if len(inputs) > 1 and inputs[1] is not None else []
    axes = [int(axis) for axis in given] or list(attrs.get("axes", []))
    return axes or list(range(inputs[0].dim()))


def _over(function: Callable[[Any, list[int], bool], Any]) -> Rule:
    def rule(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
        return function(inputs[0], _axes(inputs, attrs), bool(attrs.get("keepdims", 1)))

    return rule


def _product(x: Any, axes: list[int], keep: bool) -> Any:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _triangle(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    diagonal = int(inputs[1].item()) if len(inputs) > 1 and inputs[1] is not None else 0
    part = torch.triu if attrs.get("upper", 1) else torch.tril
    return part(inputs[0], diagonal)


def _hardmax(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, axis = inputs[0], attrs.get("axis", -1)
    return torch.zeros_like(x).scatter_(axis, x.argmax(axis, keepdim=True), 1.0)


def _gathered(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, indices, axis = inputs[0], inputs[1].long(), attrs.get("axis", 0)
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


def _scattered(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, indices, updates = inputs[0], inputs[1].long(), inputs[2]
    axis, reduction = attrs.get("axis", 0), attrs.get("reduction", "none")
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    return x.scatter_reduce(axis, indices, updates, names[reduction])


def _one_hot(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    depth, values, axis = int(inputs[1].item()), inputs[2], attrs.get("axis", -1)
    hot = F.one_hot(inputs[0].long() % depth, depth).bool()
    result = torch.where(hot, values[1], values[0])
    return result if axis == -1 else result.movedim(-1, axis)


def _scale_of(x: Any, scale: Any, axis: int) -> Any:
    """The scale, shaped to broadcast along `axis` unless it is a single number."""
    if scale is None or scale.numel() == 1:
        return scale
    shape = [1] * x.dim()
    shape[axis] = -1
    return scale.reshape(shape)


def _quantised(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, axis = inputs[0], attrs.get("axis", 1)
    zero = inputs[2] if len(inputs) > 2 else None
    dtype = zero.dtype if zero is not None else torch.uint8
    result = torch.round(x / _scale_of(x, inputs[1], axis))
    if zero is not None:
        result = result + _scale_of(x, zero, axis)
    limits = torch.iinfo(dtype)
    return result.clamp(limits.min, limits.max).to(dtype)


def _dequantised(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, scale, axis = inputs[0], inputs[1], attrs.get("axis", 1)
    shifted = x.to(scale.dtype)
    if len(inputs) > 2 and inputs[2] is not None:
        shifted = shifted - _scale_of(x, inputs[2], axis).to(scale.dtype)
    return shifted * _scale_of(x, scale, axis)


def _integer_product(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    del attrs
    sides = [side.to(torch.int32) for side in inputs[:2]]
    for index, zero in enumerate(inputs[2:4]):
        if zero is not None:
            sides[index] = sides[index] - zero.to(torch.int32)
    return torch.matmul(*sides)


def _lp(x: Any, axis: int, order: int) -> Any:
    return x / torch.linalg.vector_norm(x, order, axis, keepdim=True).clamp_min(1e-30)


def _reversed(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, lengths = inputs[0], inputs[1]
    time, batch = attrs.get("time_axis", 0), attrs.get("batch_axis", 1)
    x = x.movedim((batch, time), (0, 1)).clone()
    for row, length in enumerate(lengths.tolist()):
        x[row, : int(length)] = x[row, : int(length)].flip(0)
    return x.movedim((0, 1), (batch, time))


def _constant(_: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    (value,) = attrs.values()
    return torch.as_tensor(value)


def _scattered_nd(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    x, indices, updates = inputs[0].clone(), inputs[1].long(), inputs[2]
    reduction = attrs.get("reduction", "none")
    place = tuple(indices.movedim(-1, 0))
    if reduction not in ("none", "add"):
        raise NotImplementedError(f"ScatterND with the reduction {reduction}")
    return x.index_put(place, updates, accumulate=reduction == "add")


def _grid_sample(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    modes = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest"}
    return F.grid_sample(
        inputs[0],
        inputs[1],
        modes.get(attrs.get("mode", "linear"), "bicubic"),
        attrs.get("padding_mode", "zeros"),
        bool(attrs.get("align_corners", 0)),
    )


RULES: dict[str, Rule] = {
    **{name: (lambda inputs, _, f=f: f(inputs[0])) for name, f in _UNARY.items()},
    **{name: (lambda inputs, _, f=f: f(inputs[0], inputs[1])) for name, f in _BINARY.items()},
    "Mod": _modulo,
    "BitShift": _shifted,
    "ArgMax": _extreme_index(torch.argmax),
    "ArgMin": _extreme_index(torch.argmin),
    "CumSum": _running(torch.cumsum),
    "CumProd": _running(torch.cumprod),
    "TopK": _top_k,
    "ReduceMin": _over(torch.amin),
    "ReduceProd": _over(_product),
    "ReduceL2": _over(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keepdim=keep)),
    "ReduceL1": _over(lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keepdim=keep)),
    "ReduceSumSquare": _over(lambda x, axes, keep: (x * x).sum(axes, keepdim=keep)),
    "ReduceLogSum": _over(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "ReduceLogSumExp": _over(torch.logsumexp),
    "Mean": lambda inputs, _: sum(inputs[1:], inputs[0]) / len(inputs),
    "Trilu": _triangle,
    "Hardmax": _hardmax,
    "GatherElements": _gathered,
    "ScatterElements": _scattered,
    "Scatter": _scattered,
    "OneHot": _one_hot,
    "QuantizeLinear": _quantised,
    "DequantizeLinear": _dequantised,
    "MatMulInteger": _integer_product,
    "LpNormalization": lambda inputs, attrs: _lp(
        inputs[0], attrs.get("axis", -1), attrs.get("p", 2)
    ),
    "ReverseSequence": _reversed,
    "Constant": _constant,
    "ScatterND": _scattered_nd,
    "GridSample": _grid_sample,
    "AffineGrid": lambda inputs, attrs: F.affine_grid(
        inputs[0], [int(n) for n in inputs[1].tolist()], bool(attrs.get("align_corners", 0))
    ),
    "EyeLike": lambda inputs, attrs: (
        torch.ones_like(inputs[0]).triu(attrs.get("k", 0)).tril(attrs.get("k", 0))
    ),
    "RandomNormalLike": lambda inputs, _: torch.randn_like(inputs[0]),
    "RandomUniformLike": lambda inputs, _: torch.rand_like(inputs[0]),
    "RandomNormal": lambda _, attrs: torch.randn(list(attrs["shape"])),
    "RandomUniform": lambda _, attrs: torch.rand(list(attrs["shape"])),
}
