"""Normalisations: statistics over a set of elements, then each element is centred and scaled."""

from __future__ import annotations

import math

from lydite.graph.operators import split
from lydite.graph.operators.call import DIVIDE, FUNCTION, SQRT, Call, Cost, WorkRule, at
from lydite.graph.operators.decompositions import common, fused
from lydite.graph.operators.elementwise import SIGMOID, activation
from lydite.graph.operators.gradients import norm as gradients
from lydite.graph.operators.missing import INFERENCE, WHOLE, runtimes, usual
from lydite.graph.operators.operator import SAVED_FORM, Family, Operator, Saving
from lydite.graph.operators.typing.contrib import embed_norm, layer_norm, like, skip_norm

_MEAN_VARIANCE = 4  # sum; subtract, square, sum
_NORMALISE = 1  # multiply by 1 / deviation
LAYER_NORM = _MEAN_VARIANCE + _NORMALISE + 2  # and scale, shift
RMS_NORM = 2 + _NORMALISE + 1  # square, sum; normalise; scale
_PER_GROUP = SQRT + 3 * DIVIDE + 1  # two means, epsilon, 1 / root; per group, mostly negligible


def _per_element(flops: float, *, adds: tuple[int, ...] = ()) -> WorkRule:
    """`flops` per element of the first input, plus one for each of the inputs `adds` if given."""

    def rule(call: Call) -> Cost:
        return Cost((flops + sum(call.has(i) for i in adds)) * call.count(0))

    return rule


def _batch(call: Call) -> Cost:
    """A multiply-add per element with factors computed per channel; statistics too in training."""
    dims = call.shape(0)
    channels = at(dims, 1) if len(dims) > 1 else 1
    training = call.integer("training_mode", 0) or len(call.outs) > 1
    each = 2 + (_MEAN_VARIANCE if training else 0)
    return Cost(each * call.count(0) + channels * (4 + SQRT + DIVIDE))


def _layer(each: float) -> WorkRule:
    """Normalises over the axes from `axis` on; a bias adds one FLOP per element."""

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


def _group(name: str) -> WorkRule:
    def rule(call: Call) -> Cost:
        groups = call.shape(0)[0] * call.integer(name)
        swish = SIGMOID + 1 if call.integer("activation", 0) else 0
        return Cost((LAYER_NORM + swish) * call.count(0) + _PER_GROUP * groups)

    return rule


def _skip_group(call: Call) -> Cost:
    base = _group("groups")(call)
    return Cost(base.flops + (1 + call.has(4)) * call.count(0))


def _local_response(call: Call) -> Cost:
    """Per element a square, a sum over a window of channels, a power and a division."""
    each = 1 + call.integer("size") + 2 + FUNCTION + DIVIDE
    return Cost(each * call.count(0))


def _lp(call: Call) -> Cost:
    return Cost((2 + DIVIDE) * call.count(0))


def _embedded(call: Call) -> Cost:
    """Rows of two or three tables, added and normalised; only these rows are read of the tables."""
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
    """Two normalised vectors are multiplied into one gate per row, which scales the value."""
    rows = call.count(0) / max(1, at(call.shape(0), -1))
    return Cost((2 * RMS_NORM + 2) * call.count(0) + call.out_count() + SIGMOID * rows)


_MS, _NHWC = "com.microsoft:", "com.ms.internal.nhwc:"
_standard = Family("norm", usual(split=split.per_channel))
_runtime = Family("norm", runtimes(split=split.per_channel))
_rows = {"types": like(0), "split": split.last_axis, "special": True}

OPERATORS: tuple[Operator, ...] = (
    _standard.row(
        "BatchNormalization",
        _batch,
        gradient=SAVED_FORM,
        saving=Saving("BatchNormalizationTraining", "lydite", 3),
        fixed_inputs=(3, 5),
        precision="mixed",
    ),
    _standard.row(
        "InstanceNormalization",
        _instance,
        gradient=SAVED_FORM,
        saving=Saving("InstanceNormalizationTraining", "lydite", 3),
    ),
    _standard.row(
        "LayerNormalization",
        _layer(LAYER_NORM - 1),
        gradient=gradients.saved_statistics,
        saving=Saving("LayerNormalization", "", 3),
        split=split.normalised,
        precision="float32",
        special=True,
    ),
    _standard.row(
        "RMSNormalization",
        _layer(RMS_NORM),
        gradient=gradients.rms,
        split=split.normalised,
        special=True,
    ),
    _standard.row(
        "SimplifiedLayerNormalization",
        _layer(RMS_NORM),
        types=layer_norm,
        split=split.normalised,
        special=True,
        gradient=INFERENCE,
        decomposition=fused.rms_norm,
    ),
    _standard.row(
        "GroupNormalization",
        _group("num_groups"),
        types=like(0),  # ONNX has no shape inference for it
        gradient=SAVED_FORM,
        saving=Saving("GroupNormalizationTraining", "lydite", 3),
        precision="float32",
    ),
    _standard.row("MeanVarianceNormalization", _per_element(_MEAN_VARIANCE + DIVIDE), special=True),
    _standard.row("LpNormalization", _lp, split=split.along(), special=True),
    _standard.row("LRN", _local_response, gradient=gradients.local_response, special=True),
    _runtime.row(
        _NHWC + "BatchNormalization",
        _batch,
        types=like(0),
        fixed_inputs=(3, 5),
        decomposition=fused.channels_last("BatchNormalization", keep=("epsilon",)),
    ),
    _runtime.row(
        _NHWC + "InstanceNormalization",
        _instance,
        types=like(0),
        decomposition=fused.channels_last("InstanceNormalization", keep=("epsilon",)),
    ),
    _runtime.row(
        _NHWC + "LRN",
        _local_response,
        types=like(0),
        special=True,
        decomposition=fused.channels_last("LRN", keep=("alpha", "beta", "bias", "size")),
    ),
    _runtime.row(
        _MS + "LayerNormalization",
        _layer(LAYER_NORM - 1),
        types=layer_norm,
        split=split.normalised,
        special=True,
        decomposition=common.renamed("LayerNormalization", keep=("axis", "epsilon")),
    ),
    _runtime.row(
        _MS + "SkipLayerNormalization",
        _per_element(LAYER_NORM, adds=(1, 4)),
        types=skip_norm,
        split=WHOLE,
        special=True,
        decomposition=fused.skip_norm("LayerNormalization", 2, 3, 4),
    ),
    _runtime.row(
        _MS + "SkipSimplifiedLayerNormalization",
        _per_element(RMS_NORM, adds=(1, 3)),
        types=skip_norm,
        split=WHOLE,
        special=True,
        decomposition=fused.skip_norm("RMSNormalization", 2, None, 3),
    ),
    _runtime.row(_MS + "EmbedLayerNormalization", _embedded, types=embed_norm, split=WHOLE),
    _runtime.row(_MS + "QEmbedLayerNormalization", _embedded, split=WHOLE),
    _runtime.row(
        _MS + "GroupNorm", _group("groups"), types=like(0), decomposition=fused.image_group_norm
    ),
    _runtime.row(_MS + "SkipGroupNorm", _skip_group, types=like(0), split=WHOLE),
    _runtime.row(_MS + "BranchwiseRMSNorm", _per_element(RMS_NORM), **_rows),
    _runtime.row(_MS + "GatedRMSNorm", _gated, **{**_rows, "split": WHOLE}),
    _runtime.row(_MS + "EngramGate", _engram, split=WHOLE),
    _runtime.row(_MS + "HyperConnectionPreMix", lambda call: Cost(2 * call.count(0)), split=WHOLE),
    _runtime.row(
        _MS + "HyperConnectionPostMix",
        lambda call: Cost(2 * call.out_count() * (1 + (call.shape(3)[-1] if call.has(3) else 0))),
        split=WHOLE,
    ),
)
