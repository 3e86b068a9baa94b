"""Gradients of recurrent layers, attention and experts.

A recurrent layer has two, as in cuDNN: the data gradient runs back in time and computes the
gradient of every gate; the weight gradient is one product over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.errors import GraphError
from lydite.graph.operators.gradients.call import GradientCall
from lydite.graph.tensor import Tensor

_LENGTHS, _PEEPHOLES = 4, 7


def recurrent(call: GradientCall) -> Sequence[Tensor | None]:
    """Inputs X, W, R, B, lengths, initial state (and cell); see ONNX's RNN, GRU and LSTM."""
    name = call.op.op_type.removesuffix("Training")
    if call.has(_LENGTHS) or call.has(_PEEPHOLES) or call.attr("layout", 0):
        raise GraphError(
            "no gradient with sequence lengths, peepholes or layout 1",
            where=f"{call.op.name} ({name})",
        )
    cell = name == "LSTM"
    states = 2 if cell else 1
    dys = [dy if dy is not None else None for dy in (*call.dys, None, None, None)][: 1 + states]
    attrs = {k: v for k, v in call.op.attrs.items() if k != "activations"}
    first = [call.x(i) if call.has(i) else None for i in range(5, 5 + states)]
    saved = [call.y(i) for i in range(1 + states, len(call.op.outputs))]
    bias = call.x(3) if call.has(3) else None
    gradients = call.emit(
        f"{name}InputGrad",
        call.x(0),
        call.x(1),
        call.x(2),
        bias,
        call.y(0),
        *first,
        *dys,
        *saved,
        outputs=2 + (states if any(first) else 0),
        **attrs,
    )
    data, gates, *firsts = gradients  # the gradient of an initial state of zeros is not needed
    weights = call.emit(
        f"{name}WeightGrad",
        gates,
        call.x(0),
        call.y(0),
        first[0],
        outputs=3 if bias else 2,
        **attrs,
    )
    return [data, *weights, *[None] * (3 - len(weights)), None, *firsts]


def attention(call: GradientCall) -> Sequence[Tensor | None]:
    """Scores are recomputed, so they need not be kept (Dao et al., arXiv:2205.14135)."""
    mask = call.x(3) if call.has(3) else None
    return call.emit(
        "AttentionGrad",
        call.x(0),
        call.x(1),
        call.x(2),
        mask,
        call.dy(),
        call.y(0),
        call.y(1),
        outputs=3,
        **call.attrs,
    )


def rotary(call: GradientCall) -> Sequence[Tensor | None]:
    """dy rotated back by the same angles."""
    back = call.std("Neg", call.x(2))
    rest = [call.x(i) for i in (3,) if call.has(i)]
    return [call.std("RotaryEmbedding", call.dy(), call.x(1), back, *rest, **call.attrs)]


def experts(call: GradientCall) -> Sequence[Tensor | None]:
    """Data and weight gradients are separate operators.

    Inputs are tokens, router, the first matrices and biases, the second matrices and biases.
    """
    if any(call.has(i) for i in range(6, len(call.op.inputs))):
        raise GraphError("no gradient with a third matrix", where=f"{call.op.name} (MoE)")
    data, router, inner = call.emit(
        "MoEInputGrad",
        call.x(0),
        call.x(1),
        call.x(2),
        call.x(4),
        call.y(1),
        call.dy(),
        outputs=3,
        **call.attrs,
    )
    biases = [call.x(i) for i in (3, 5) if call.has(i)]
    up, down, *rest = call.emit(
        "MoEWeightGrad",
        call.x(0),
        call.x(2),
        call.x(4),
        call.y(1),
        inner,
        call.dy(),
        *biases,
        outputs=2 + len(biases),
        **call.attrs,
    )
    of_biases = [rest.pop(0) if call.has(i) else None for i in (3, 5)]
    return [data, router, up, of_biases[0], down, of_biases[1]]
