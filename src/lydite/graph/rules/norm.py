"""Normalisations: statistics over a set of elements, then each element centred and scaled."""

from __future__ import annotations

import math

from lydite.graph.rules.call import DIVIDE, FUNCTION, SQRT, Call, Cost, Rule, at
from lydite.graph.rules.elementwise import SIGMOID, activation

_MEAN_VARIANCE = 4  # sum; subtract, square, sum
_NORMALISE = 1  # multiply by 1 / deviation
LAYER_NORM = _MEAN_VARIANCE + _NORMALISE + 2  # and scale, shift
RMS_NORM = 2 + _NORMALISE + 1  # square, sum; normalise; scale
_PER_GROUP = SQRT + 3 * DIVIDE + 1  # two means, epsilon, 1 / root; once a group, mostly negligible


def _per_element(flops: float, *, adds: tuple[int, ...] = ()) -> Rule:
    """So many FLOPs per element of the first input, one more for each of the inputs `adds`."""

    def rule(call: Call) -> Cost:
        return Cost((flops + sum(call.has(i) for i in adds)) * call.count(0))

    return rule


def _batch(call: Call) -> Cost:
    """One multiply-add an element, its factors made once a channel; statistics in training."""
    dims = call.shape(0)
    channels = at(dims, 1) if len(dims) > 1 else 1
    training = call.integer("training_mode", 0) or len(call.outs) > 1
    each = 2 + (_MEAN_VARIANCE if training else 0)
    return Cost(each * call.count(0) + channels * (4 + SQRT + DIVIDE))


def _layer(each: float) -> Rule:
    """Over the axes from `axis` on; a bias is one more."""

    def rule(call: Call) -> Cost:
        dims = call.shape(0)
        axis = call.integer("axis", -1)
        at(dims, axis)
        groups = math.prod(dims[: axis % len(dims)])
        return Cost((each + call.has(2)) * call.count(0) + _PER_GROUP * groups)

    return rule


def _instance(call: Call) -> Cost:
    groups = math.prod(call.shape(0)[:2])
    return Cost(LAYER_NORM * call.count(0) + _PER_GROUP * groups)


def _group(name: str) -> Rule:
    def rule(call: Call) -> Cost:
        groups = call.shape(0)[0] * call.integer(name)
        swish = SIGMOID + 1 if call.integer("activation", 0) else 0
        return Cost((LAYER_NORM + swish) * call.count(0) + _PER_GROUP * groups)

    return rule


def _skip_group(call: Call) -> Cost:
    base = _group("groups")(call)
    return Cost(base.flops + (1 + call.has(4)) * call.count(0))


def _local_response(call: Call) -> Cost:
    """A square, a window of sums over channels, a power and a division."""
    each = 1 + call.integer("size") + 2 + FUNCTION + DIVIDE
    return Cost(each * call.count(0))


def _lp(call: Call) -> Cost:
    return Cost((2 + DIVIDE) * call.count(0))


def _embedded(call: Call) -> Cost:
    """Rows of two or three tables, added and normalised; of the tables only these rows are read."""
    out = call.out_count()
    hidden = call.out_shape()[-1]
    tables = [i for i in (2, 3, 4) if call.has(i)]
    rows = sum(call.bytes_of(i) / call.shape(i)[0] for i in tables)
    tokens = out / max(1, hidden)
    others = [i for i in range(len(call.ins)) if i not in tables]
    flops = (len(tables) - 1 + LAYER_NORM) * out + _PER_GROUP * tokens
    return Cost(flops, rows * tokens + call.bytes_of(*others))


def _gated(call: Call) -> Cost:
    gate = activation(call.text("activation", "silu")) + 1
    return Cost((RMS_NORM + gate) * call.count(0))


def _engram(call: Call) -> Cost:
    """Two normalised vectors multiplied into one gate a row, which scales the value."""
    rows = call.count(0) / max(1, at(call.shape(0), -1))
    return Cost((2 * RMS_NORM + 2) * call.count(0) + call.out_count() + SIGMOID * rows)


_MS = "com.microsoft:"

RULES: dict[str, Rule] = {
    "BatchNormalization": _batch,
    "InstanceNormalization": _instance,
    "LayerNormalization": _layer(LAYER_NORM - 1),
    "RMSNormalization": _layer(RMS_NORM),
    "SimplifiedLayerNormalization": _layer(RMS_NORM),
    "GroupNormalization": _group("num_groups"),
    "MeanVarianceNormalization": _per_element(_MEAN_VARIANCE + DIVIDE),
    "LpNormalization": _lp,
    "LRN": _local_response,
    "com.ms.internal.nhwc:BatchNormalization": _batch,
    "com.ms.internal.nhwc:InstanceNormalization": _instance,
    "com.ms.internal.nhwc:LRN": _local_response,
    _MS + "LayerNormalization": _layer(LAYER_NORM - 1),
    _MS + "SkipLayerNormalization": _per_element(LAYER_NORM, adds=(1, 4)),
    _MS + "SkipSimplifiedLayerNormalization": _per_element(RMS_NORM, adds=(1, 3)),
    _MS + "EmbedLayerNormalization": _embedded,
    _MS + "QEmbedLayerNormalization": _embedded,
    _MS + "GroupNorm": _group("groups"),
    _MS + "SkipGroupNorm": _skip_group,
    _MS + "BranchwiseRMSNorm": _per_element(RMS_NORM),
    _MS + "GatedRMSNorm": _gated,
    _MS + "EngramGate": _engram,
    _MS + "HyperConnectionPreMix": lambda call: Cost(2 * call.count(0)),
    _MS + "HyperConnectionPostMix": lambda call: Cost(
        2 * call.out_count() * (1 + (call.shape(3)[-1] if call.has(3) else 0))
    ),
}
