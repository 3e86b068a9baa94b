"""Decompositions of aten's elementwise functions into ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lydite.graph.operators.decompositions.call import Decomposition, DecompositionCall
from lydite.graph.operators.decompositions.common import scaled
from lydite.graph.tensor import Tensor


def swish(call: DecompositionCall) -> Sequence[Tensor]:
    """x * sigmoid(x)."""
    return [call.op_("Mul", call.x(), call.op_("Sigmoid", call.x()))]


def arithmetic(op_type: str) -> Decomposition:
    """Two tensors, or a tensor and the number in the attribute `other`, scaled by `alpha`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        x = call.x()
        other = call.x(1) if call.has(1) else call.number(float(call.attr("other", 0.0)), x)
        alpha = float(call.attr("alpha", 1.0))
        if alpha != 1 and op_type in ("Add", "Sub"):
            other = call.op_("Mul", other, call.number(alpha, x))
        return [call.op_(op_type, x, other)]

    return rule


def along(op_type: str, attribute: str = "axis", default: int = -1) -> Decomposition:
    """A function along the axis in the attribute `dim`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        attrs: dict[str, Any] = {attribute: int(call.attr("dim", default))}
        return [call.op_(op_type, *call.inputs, **attrs)]

    return rule


def clamped(call: DecompositionCall) -> Sequence[Tensor]:
    """Clip to the attributes `min` and `max`, either of which may be absent."""
    x, made = call.x(), call.x()
    low = call.attr("min", call.attr("min_val"))
    high = call.attr("max", call.attr("max_val"))
    if low is not None:
        made = call.op_("Max", made, call.number(float(low), x))
    if high is not None:
        made = call.op_("Min", made, call.number(float(high), x))
    return [made]


def power(call: DecompositionCall) -> Sequence[Tensor]:
    """x to the power of the attribute `exponent` or of the second input."""
    x = call.x()
    if call.has(1):
        return [call.op_("Pow", x, call.x(1))]
    return [call.op_("Pow", x, call.number(float(call.attr("exponent", 2.0)), x))]


def logarithm(base: float, shift: float = 0.0) -> Decomposition:
    """log(x + shift) to the given base."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        made = call.op_("Log", scaled(call, call.x(), 1.0, shift))
        return [scaled(call, made, 1 / math.log(base) if base != math.e else 1.0)]

    return rule


def exponential(base: float, shift: float = 0.0) -> Decomposition:
    """base ** x + shift."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        inner = scaled(call, call.x(), math.log(base) if base != math.e else 1.0)
        return [scaled(call, call.op_("Exp", inner), 1.0, shift)]

    return rule


def interpolated(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's lerp: x + weight (end - x)."""
    apart = call.op_("Sub", call.x(1), call.x(0))
    weight = call.x(2) if call.has(2) else call.number(float(call.attr("weight", 0.5)), apart)
    return [call.op_("Add", call.x(0), call.op_("Mul", weight, apart))]


def added(op_type: str) -> Decomposition:
    """aten's addcmul and addcdiv: x + value (a op b)."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        made = call.op_(op_type, call.x(1), call.x(2))
        return [call.op_("Add", call.x(0), scaled(call, made, float(call.attr("value", 1.0))))]

    return rule


def reversed_difference(call: DecompositionCall) -> Sequence[Tensor]:
    """aten's rsub: other - alpha x."""
    x = scaled(call, call.x(), float(call.attr("alpha", 1.0)))
    other = call.x(1) if call.has(1) else call.number(float(call.attr("other", 0.0)), x)
    return [call.op_("Sub", other, x)]


def log_sigmoid(call: DecompositionCall) -> Sequence[Tensor]:
    """-softplus(-x)."""
    return [call.op_("Neg", call.op_("Softplus", call.op_("Neg", call.x())))]
