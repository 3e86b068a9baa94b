"""Gradients of normalisations and pooling, which reuse what the forward pass saved."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lydite.graph.operators.gradients.call import GradientCall
from lydite.graph.tensor import Tensor


def saved_statistics(call: GradientCall) -> Sequence[Tensor | None]:
    """Uses mean and inverse deviation, the forward operator's second and third output."""
    name = call.op.op_type.removesuffix("Training")
    attrs = {k: v for k, v in call.op.attrs.items() if k in ("axis", "epsilon", "num_groups")}
    count = 3 if call.has(2) else 2
    return call.emit(
        f"{name}Grad", call.dy(), call.x(0), call.x(1), call.y(1), call.y(2), outputs=count, **attrs
    )


def rms(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradients of data and scale, from the input."""
    attrs = {k: v for k, v in call.op.attrs.items() if k in ("axis", "epsilon")}
    return call.emit("RMSNormalizationGrad", call.dy(), call.x(0), call.x(1), outputs=2, **attrs)


def local_response(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradient from input and output."""
    return [call.emit("LRNGrad", call.dy(), call.x(0), call.y(), **call.attrs)]


def max_pool(call: GradientCall) -> Sequence[Tensor | None]:
    """dy at the positions of the maxima."""
    return [call.emit("MaxPoolGrad", call.dy(), call.x(0), call.y(1), **call.attrs)]


def average_pool(call: GradientCall) -> Sequence[Tensor | None]:
    """dy distributed evenly over each window."""
    return [call.emit("AveragePoolGrad", call.dy(), shape=call.shape(0), **call.attrs)]


def global_average(call: GradientCall) -> Sequence[Tensor | None]:
    """dy distributed evenly over all pixels."""
    dims = call.shape(0)
    share = call.std("Div", call.dy(), call.number(math.prod(dims[2:]), call.dy()))
    return [call.std("Expand", share, call.integers(dims))]


def global_max(call: GradientCall) -> Sequence[Tensor | None]:
    """dy where the input equals the maximum."""
    hit = call.std("Equal", call.x(), call.y())
    return [call.std("Where", hit, call.dy(), call.number(0, call.dy()))]
