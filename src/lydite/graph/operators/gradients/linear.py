"""Gradients of convolutions and matrix products, for the data and for the weights.

For y = x w the gradient of the data is dy w^T and that of the weights x^T dy, each with as many
multiply-adds as the forward product. A convolution's are called Conv2DBackpropInput and
-Filter by TensorFlow, ConvolutionBackwardData and -Filter by cuDNN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lydite.errors import GraphError
from lydite.graph.operators.gradients.call import GradientCall
from lydite.graph.tensor import Tensor

_CONV_ATTRS = ("kernel_shape", "strides", "pads", "dilations", "group", "auto_pad")
_FUSED = "com.microsoft"


def _conv_attrs(call: GradientCall) -> dict[str, Any]:
    return {name: call.op.attrs[name] for name in _CONV_ATTRS if name in call.op.attrs}


def _bias(call: GradientCall) -> Tensor | None:
    """Gradient of the bias: dy summed over everything but the channels."""
    if not call.wants(2):
        return None
    axes = [i for i in range(len(call.dy().shape)) if i != 1]
    return call.std("ReduceSum", call.dy(), call.integers(axes), keepdims=0)


def conv(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradients of the data, the weights and the bias."""
    attrs = _conv_attrs(call)
    data = weight = None
    if call.wants(0):
        data = call.emit("ConvInputGrad", call.dy(), call.x(1), shape=call.shape(0), **attrs)
    if call.wants(1):
        weight = call.emit("ConvWeightGrad", call.dy(), call.x(0), shape=call.shape(1), **attrs)
    return [data, weight, _bias(call)]


def conv_transpose(call: GradientCall) -> Sequence[Tensor | None]:
    """The data gradient is a convolution; the weight gradient swaps the roles of x and dy."""
    attrs = _conv_attrs(call)
    data = weight = None
    if call.wants(0):
        data = call.std("Conv", call.dy(), call.x(1), **attrs)
    if call.wants(1):
        weight = call.emit("ConvWeightGrad", call.x(0), call.dy(), shape=call.shape(1), **attrs)
    return [data, weight, _bias(call)]


def gemm(call: GradientCall) -> Sequence[Tensor | None]:
    """y = alpha a' b' + beta c, where a' and b' may be transposed."""
    flip_a, flip_b = bool(call.attr("transA", 0)), bool(call.attr("transB", 0))
    scale = {"alpha": call.attr("alpha")}
    dy, first, second, third = call.dy(), None, None, None
    if call.wants(0):
        pair, flips = (
            ((call.x(1), dy), (flip_b, True)) if flip_a else ((dy, call.x(1)), (False, not flip_b))
        )
        first = _product(call, *pair, *flips, **scale)
    if call.wants(1):
        pair, flips = (
            ((dy, call.x(0)), (True, flip_a)) if flip_b else ((call.x(0), dy), (not flip_a, False))
        )
        second = _product(call, *pair, *flips, **scale)
    if call.wants(2):
        third = call.summed_to(dy, call.shape(2))
        if call.attr("beta", 1.0) != 1.0:
            third = call.std("Mul", third, call.number(call.attr("beta"), third))
    return [first, second, third]


def _product(
    call: GradientCall, a: Tensor, b: Tensor, flip_a: bool, flip_b: bool, **rest: Any
) -> Tensor:
    return call.std("Gemm", a, b, transA=int(flip_a) or None, transB=int(flip_b) or None, **rest)


def matmul(call: GradientCall) -> Sequence[Tensor | None]:
    """With a weight matrix, leading axes are merged into one; batches of matrices stay batches."""
    first, second = call.shape(0), call.shape(1)
    if len(first) < 2 or len(second) < 2:
        raise GraphError(
            f"no gradient for the product of {call.type(0)} and {call.type(1)}; vectors need two "
            "axes",
            where=f"{call.op.name} (MatMul)",
        )
    if len(second) == 2:
        return _by_matrix(call, first, second)
    data = other = None
    if call.wants(0):
        product = call.std("FusedMatMul", call.dy(), call.x(1), domain=_FUSED, transB=1)
        data = call.summed_to(product, first)
    if call.wants(1):
        product = call.std("FusedMatMul", call.x(0), call.dy(), domain=_FUSED, transA=1)
        other = call.summed_to(product, second)
    return [data, other]


def _by_matrix(
    call: GradientCall, first: Sequence[int], second: Sequence[int]
) -> Sequence[Tensor | None]:
    rows = math.prod(first[:-1])
    dy = call.reshaped(call.dy(), (rows, second[1]))
    data = weight = None
    if call.wants(0):
        data = call.reshaped(_product(call, dy, call.x(1), False, True), first)
    if call.wants(1):
        weight = _product(call, call.reshaped(call.x(0), (rows, first[-1])), dy, True, False)
    return [data, weight]


def einsum(call: GradientCall) -> Sequence[Tensor | None]:
    """Two operands without repeated or unmatched labels: swaps an operand with the output."""
    equation = str(call.attr("equation")).replace(" ", "")
    terms, arrow, out = equation.partition("->")
    left, _, right = terms.partition(",")
    if not (arrow and right) or "." in equation or "," in right:
        raise GraphError(f"no gradient for the equation '{equation}'", where=call.op.name)
    for operand, others in ((left, out + right), (right, out + left)):
        if len(set(operand)) < len(operand) or not set(operand) <= set(others):
            raise GraphError(f"no gradient for the equation '{equation}'", where=call.op.name)
    data = other = None
    if call.wants(0):
        data = call.std("Einsum", call.dy(), call.x(1), equation=f"{out},{right}->{left}")
    if call.wants(1):
        other = call.std("Einsum", call.x(0), call.dy(), equation=f"{left},{out}->{right}")
    return [data, other]
