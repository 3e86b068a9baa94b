"""Gradients of normalisations and pooling, which reuse what the forward pass saved."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lydite.graph.builder import Tensor
from lydite.graph.training.call import GradientCall, GradientRule


def _saved_statistics(call: GradientCall) -> Sequence[Tensor | None]:
    """Mean and inverse deviation are the forward operator's second and third output."""
    name = call.op.op_type.removesuffix("Training")
    attrs = {k: v for k, v in call.op.attrs.items() if k in ("axis", "epsilon", "num_groups")}
    count = 3 if call.has(2) else 2
    return call.emit(
        f"{name}Grad", call.dy(), call.x(0), call.x(1), call.y(1), call.y(2), outputs=count, **attrs
    )


def _rms(call: GradientCall) -> Sequence[Tensor | None]:
    attrs = {k: v for k, v in call.op.attrs.items() if k in ("axis", "epsilon")}
    return call.emit("RMSNormalizationGrad", call.dy(), call.x(0), call.x(1), outputs=2, **attrs)


def _local_response(call: GradientCall) -> Sequence[Tensor | None]:
    return [call.emit("LRNGrad", call.dy(), call.x(0), call.y(), **call.attrs)]


def _max_pool(call: GradientCall) -> Sequence[Tensor | None]:
    return [call.emit("MaxPoolGrad", call.dy(), call.x(0), call.y(1), **call.attrs)]


def _average_pool(call: GradientCall) -> Sequence[Tensor | None]:
    return [call.emit("AveragePoolGrad", call.dy(), shape=call.shape(0), **call.attrs)]


def _global_average(call: GradientCall) -> Sequence[Tensor | None]:
    dims = call.shape(0)
    share = call.std("Div", call.dy(), call.number(math.prod(dims[2:]), call.dy()))
    return [call.std("Expand", share, call.integers(dims))]


def _global_max(call: GradientCall) -> Sequence[Tensor | None]:
    hit = call.std("Equal", call.x(), call.y())
    return [call.std("Where", hit, call.dy(), call.number(0, call.dy()))]


RULES: dict[str, GradientRule] = {
    "lydite:BatchNormalizationTraining": _saved_statistics,
    "lydite:GroupNormalizationTraining": _saved_statistics,
    "lydite:InstanceNormalizationTraining": _saved_statistics,
    "LayerNormalization": _saved_statistics,
    "RMSNormalization": _rms,
    "LRN": _local_response,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
}
