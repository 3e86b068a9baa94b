"""Convolutions: 2 x outputs x (input channels of a group x kernel volume), bias and activation.

The weight's shape [out, in / group, kernel...] determines the work, so that strides, dilations and
groups need not be read. In ONNX Runtime's blocked layout ("nchwc"), channels are padded to the
block, and the padding counts because it is computed.
"""

from __future__ import annotations

import math

from lydite.graph.operators import products, split_heads
from lydite.graph.operators.call import FUNCTION, Call, Cost, WorkRule
from lydite.graph.operators.decompositions import fused, quantised
from lydite.graph.operators.elementwise import activation
from lydite.graph.operators.gradients import linear as gradients
from lydite.graph.operators.gradients import states
from lydite.graph.operators.missing import (
    NOT_IN_TORCH,
    QUANTISED,
    final,
    no_array,
    runtimes,
    usual,
)
from lydite.graph.operators.operator import VECTOR, ZERO, Family, Operator
from lydite.graph.operators.typing.contrib import channels_last, nchwc_conv, standard

REQUANTISE = 5  # scale, round, shift, two clamps
_SAMPLE = 11  # bilinear: position of 2 coordinates, 3 interpolations of 3


def _conv(call: Call, weight: int, bias: int, *, extra: float = 0) -> Cost:
    """FLOPs of a convolution; `extra` is added per output element."""
    taps = math.prod(call.shape(weight)[1:])
    per_output = 2 * taps + call.has(bias) + extra
    return Cost(per_output * call.out_count())


def _plain(call: Call) -> Cost:
    return _conv(call, 1, 2)


def _fused(call: Call) -> Cost:
    """With an activation given by name, and a tensor added before it."""
    extra = call.has(3) + activation(call.text("activation"))
    return _conv(call, 1, 2, extra=extra)


def _transposed(call: Call) -> Cost:
    """Each input element contributes to (output channels of its group x kernel volume) outputs."""
    taps = math.prod(call.shape(1)[1:])
    return Cost(2 * taps * call.count(0) + call.has(2) * call.out_count())


def _transposed_dynamic(call: Call) -> Cost:
    taps = math.prod(call.shape(1)[1:])
    return Cost(2 * taps * call.count(0) + call.has(3) * call.out_count())


def _deformable(call: Call) -> Cost:
    """A convolution over interpolated samples, which are weighted if there is a mask."""
    taps = math.prod(call.shape(1)[1:])
    positions = math.prod(call.out_shape()[2:]) * call.shape(0)[0]
    samples = positions * call.shape(0)[1] * math.prod(call.shape(1)[2:])
    flops = (2 * taps + call.has(3)) * call.out_count() + (_SAMPLE + call.has(4)) * samples
    return Cost(flops)


def _integer(call: Call) -> Cost:
    """Zero points, if given, are subtracted first."""
    shifted = call.has(2) * call.count(0) + call.has(3) * call.count(1)
    return Cost(2 * math.prod(call.shape(1)[1:]) * call.out_count() + shifted)


def _quantised(call: Call) -> Cost:
    return _conv(call, 3, 8, extra=REQUANTISE)


def _quantised_transposed(call: Call) -> Cost:
    taps = math.prod(call.shape(3)[1:])
    return Cost(2 * taps * call.count(0) + (call.has(8) + REQUANTISE) * call.out_count())


def _causal(bias: int) -> WorkRule:
    """A depthwise convolution over past samples; the carried state is copied."""

    def rule(call: Call) -> Cost:
        taps = math.prod(call.shape(1)[1:])
        extra = call.has(bias) + activation(call.text("activation", "none"))
        return Cost((2 * taps + extra) * call.out_count())

    return rule


def _word_embedding(call: Call) -> Cost:
    """Character embeddings, a convolution over them with tanh, and the maximum over positions."""
    words = math.prod(call.shape(0)[:-1])
    filters, _, window, size = call.shape(1)
    places = max(1, call.shape(0)[-1] - window + 1)
    each = 2 * window * size + 2 + FUNCTION
    return Cost(words * places * filters * each)


_MS, _NCHWC, _NHWC = "com.microsoft:", "com.microsoft.nchwc:", "com.ms.internal.nhwc:"
LAYOUT = "no rule for its products in this layout yet"
_MS, _NCHWC, _NHWC = "com.microsoft:", "com.microsoft.nchwc:", "com.ms.internal.nhwc:"
_standard = Family("conv", usual())
_runtime = Family("conv", runtimes())

OPERATORS: tuple[Operator, ...] = (
    _standard.row("Conv", _plain, gradient=gradients.conv, array=products.conv(), precision="low"),
    _standard.row(
        "ConvTranspose",
        _transposed,
        gradient=gradients.conv_transpose,
        array=products.spread(),
        precision="low",
    ),
    _standard.row("DeformConv", _deformable, array=products.conv()),
    _standard.row("ConvInteger", _integer, gradient=ZERO, array=products.conv()),
    _standard.row(
        "QLinearConv",
        _quantised,
        gradient=QUANTISED,
        array=products.conv(3),
        operands=(0, 3),
        decomposition=quantised.quantised_conv,
    ),
    _standard.row(
        "CausalConvWithState",
        _causal(2),
        gradient=states.carried(3),
        split=split_heads.channels,
        array=products.conv(),
        torch=final(NOT_IN_TORCH),
    ),
    _runtime.row(_MS + "CausalConvWithState", _causal(2), array=products.conv()),
    _runtime.row(_MS + "VarlenCausalConvWithState", _causal(3), array=products.conv()),
    _runtime.row(
        _MS + "FusedConv",
        _fused,
        types=standard("Conv", [0, 1]),
        array=products.conv(),
        decomposition=fused.fused_conv,
    ),
    *_runtime.rows(
        (_MS + "NhwcConv", _MS + "NhwcFusedConv", _NHWC + "Conv"),
        _fused,
        types=channels_last("Conv", [0, 1]),
        array=products.conv(channels_last=True),
        decomposition=fused.channels_last("Conv", keep=fused.CONV, extra=True),
    ),
    _runtime.row(
        _MS + "QLinearConv", _quantised, array=products.conv(3, channels_last=True), operands=(0, 3)
    ),
    _runtime.row(
        _MS + "ConvTransposeWithDynamicPads", _transposed_dynamic, array=products.spread()
    ),
    _runtime.row(_MS + "WordConvEmbedding", _word_embedding, array=VECTOR),
    _runtime.row(_NCHWC + "Conv", _fused, types=nchwc_conv, array=products.blocked_conv),
    _runtime.row(
        _NHWC + "ConvTranspose",
        _transposed,
        types=channels_last("ConvTranspose", [0, 1]),
        array=no_array(LAYOUT),
        decomposition=fused.channels_last("ConvTranspose", keep=fused.CONV),
    ),
    _runtime.row(
        _NHWC + "QLinearConv",
        _quantised,
        array=products.conv(3, channels_last=True),
        operands=(0, 3),
    ),
    _runtime.row(_NHWC + "QLinearConvTranspose", _quantised_transposed, array=no_array(LAYOUT)),
)
