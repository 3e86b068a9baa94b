"""Decompositions shared by operators of several systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lydite.graph.operators.decompositions.call import Decomposition, DecompositionCall
from lydite.graph.tensor import Tensor


def renamed(op_type: str, *, keep: Sequence[str] = (), **attrs: Any) -> Decomposition:
    """The ONNX operator of the same meaning, with the attributes in `keep` and `attrs`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        kept = {name: call.attrs[name] for name in keep if name in call.attrs}
        return [call.op_(op_type, *call.inputs, **kept, **attrs)]

    return rule


def reshaped(call: DecompositionCall) -> Sequence[Tensor]:
    """The first input, reshaped to the sizes of the output."""
    return [call.op_("Reshape", call.x(), call.integers(call.shape()))]


def same(call: DecompositionCall) -> Sequence[Tensor]:
    """The input itself."""
    return [call.op_("Identity", call.x())]


def with_alpha(op_type: str, name: str, default: float) -> Decomposition:
    """An activation with the attribute `alpha`, read from the attribute `name`."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        return [call.op_(op_type, call.x(), alpha=float(call.attr(name, default)))]

    return rule


def between(low: float, high: float) -> Decomposition:
    """Clip to constant bounds."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        x = call.x()
        return [call.op_("Clip", x, call.number(low, x), call.number(high, x))]

    return rule


def inverse_root(call: DecompositionCall) -> Sequence[Tensor]:
    """1 / sqrt(x)."""
    return [call.op_("Reciprocal", call.op_("Sqrt", call.x()))]


def square(call: DecompositionCall) -> Sequence[Tensor]:
    """x * x."""
    return [call.op_("Mul", call.x(), call.x())]


def scaled(call: DecompositionCall, x: Tensor, factor: float, shift: float = 0.0) -> Tensor:
    """factor * x + shift."""
    made = x if factor == 1 else call.op_("Mul", x, call.number(factor, x))
    return made if shift == 0 else call.op_("Add", made, call.number(shift, made))


def of_scaled(op_type: str) -> Decomposition:
    """alpha f(beta x), where both attributes default to 1."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        inner = scaled(call, call.x(), float(call.attr("beta", 1.0)))
        return [scaled(call, call.op_(op_type, inner), float(call.attr("alpha", 1.0)))]

    return rule


def affine(call: DecompositionCall) -> Sequence[Tensor]:
    """alpha x + beta."""
    return [scaled(call, call.x(), float(call.attr("alpha", 1.0)), float(call.attr("beta", 0.0)))]


def factor_of(call: DecompositionCall) -> Sequence[Tensor]:
    """x times the attribute `scale`."""
    return [scaled(call, call.x(), float(call.attr("scale", 1.0)))]
