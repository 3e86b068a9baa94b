"""Quantised kernels as standard operators between dequantising and quantising."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lydite.graph.operators.decompositions.call import Decomposition, DecompositionCall
from lydite.graph.operators.decompositions.fused import CONV_ATTRS
from lydite.graph.tensor import Tensor


def around(
    inner: Callable[[DecompositionCall, Sequence[Tensor]], Tensor], inputs: int
) -> Decomposition:
    """Dequantise inputs given as [x, scale, zero point], apply `inner`, and quantise the result."""

    def rule(call: DecompositionCall) -> Sequence[Tensor]:
        numbers = [_dequantised(call, 3 * index) for index in range(inputs)]
        made = inner(call, numbers)
        return [_quantised(call, made, 3 * inputs)]

    return rule


def function(op_type: str, *, keep: Sequence[str] = ()) -> Callable[..., Tensor]:
    """A standard operator applied to dequantised tensors."""

    def inner(call: DecompositionCall, numbers: Sequence[Tensor]) -> Tensor:
        kept = {name: call.attrs[name] for name in keep if name in call.attrs}
        return call.op_(op_type, *numbers, **kept)

    return inner


def _dequantised(call: DecompositionCall, at: int, axis: int = 1) -> Tensor:
    zero = call.inputs[at + 2] if call.has(at + 2) else None
    return call.op_("DequantizeLinear", call.x(at), call.x(at + 1), zero, axis=axis)


def _quantised(call: DecompositionCall, x: Tensor, at: int) -> Tensor:
    zero = call.inputs[at + 1] if call.has(at + 1) else None
    return call.op_("QuantizeLinear", x, call.x(at), zero)


def quantised_conv(call: DecompositionCall) -> Sequence[Tensor]:
    """QLinearConv: one scale per filter, and a bias in the scale of the product."""
    kept = {name: call.attrs[name] for name in CONV_ATTRS if name in call.attrs}
    x, weight = _dequantised(call, 0), _dequantised(call, 3, axis=0)
    sides = [x, weight]
    if call.has(8):
        scale = call.op_("Mul", call.x(1), call.x(4))
        sides.append(call.op_("DequantizeLinear", call.x(8), scale, axis=0))
    return [_quantised(call, call.op_("Conv", *sides, **kept), 6)]


def quantised_matmul(call: DecompositionCall) -> Sequence[Tensor]:
    """QLinearMatMul."""
    sides = [_dequantised(call, 0, axis=-2), _dequantised(call, 3, axis=-1)]
    return [_quantised(call, call.op_("MatMul", *sides), 6)]


def integer_to_float(call: DecompositionCall) -> Sequence[Tensor]:
    """Integer product scaled to floats; inputs A, B, their scales, their zero points, a bias."""
    zeros = [call.inputs[i] if call.has(i) else None for i in (4, 5)]
    sides = [
        call.op_("DequantizeLinear", call.x(i), call.x(2 + i), zeros[i], axis=axis)
        for i, axis in ((0, -2), (1, -1))
    ]
    product = call.op_("MatMul", *sides)
    return [call.op_("Add", product, call.x(6)) if call.has(6) else product]
