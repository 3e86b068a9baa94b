"""The domain "lydite": what training adds to ONNX (see `lydite.graph.training`).

A gradient of a product takes as many multiply-adds as the product, the data's and the weights'
each; attention's computes its scores again and takes five products instead of two, as PyTorch's
counter says too.
"""

from __future__ import annotations

import math

from lydite.graph.rules import attention, matmul, recurrent
from lydite.graph.rules.attention import heads_of
from lydite.graph.rules.call import (
    DIVIDE,
    FUNCTION,
    VIEW,
    Call,
    Cost,
    Rule,
    per_input,
    per_output,
)
from lydite.graph.rules.elementwise import ERF, EXP, SIGMOID, SOFTPLUS, TANH
from lydite.graph.rules.norm import LAYER_NORM

_EACH: dict[str, float] = {
    "Relu": 1,
    "Sigmoid": 3,
    "Tanh": 3,
    "Exp": 1,
    "Sqrt": 1 + DIVIDE,
    "Reciprocal": 3,
    "Gelu": 8 + ERF + EXP,
    "LeakyRelu": 2,
    "Elu": 3 + EXP,
    "Selu": 4 + EXP,
    "Celu": 4 + EXP + DIVIDE,
    "HardSigmoid": 3,
    "HardSwish": 6,
    "Swish": SIGMOID + 5,
    "Softplus": SIGMOID + 1,
    "Softsign": 3 + DIVIDE,
    "Mish": SOFTPLUS + TANH + SIGMOID + 6,
    "ThresholdedRelu": 1,
    "Erf": 3 + EXP,
    "Log": DIVIDE,
    "Abs": 2,
    "Sin": 1 + FUNCTION,
    "Cos": 1 + FUNCTION,
    "Clip": 3,
    "Pow": 3 + FUNCTION,
    "PRelu": 4,
    "Softmax": 4,
    "LogSoftmax": 3 + EXP,
    "LRN": 9 + FUNCTION + DIVIDE,
}
"""FLOPs per element of a function's gradient, the product with dy included."""

NORM = 9
"""Per element: the normalised value again (2), two sums (3), and dx from them (4)."""


def _conv_data(call: Call) -> Cost:
    return Cost(2 * math.prod(call.shape(1)[1:]) * call.count(0))


def _conv_weight(call: Call) -> Cost:
    return Cost(2 * math.prod(call.integers("shape")[1:]) * call.count(0))


def _max_pool(call: Call) -> Cost:
    return Cost(call.count(0), call.bytes_of(0, 2))


def _average_pool(call: Call) -> Cost:
    window = math.prod(call.integers("kernel_shape"))
    return Cost((window + DIVIDE) * call.count(0))


def _added_up(call: Call) -> Cost:
    """Every element of dy is added to where it came from."""
    return Cost(call.count(0), call.bytes_of(0, 1))


def _put(call: Call) -> Cost:
    return Cost(0, call.bytes_of(0))


def _resize(call: Call) -> Cost:
    taps = 1 if call.text("mode", "nearest") == "nearest" else 4
    return Cost((2 * taps - 1) * call.count(0))


def _likelihood(call: Call) -> Cost:
    return Cost(call.count(1), call.bytes_of(0, 1))


def _saving(forward: Rule) -> Rule:
    """What the plain operator does; more is written."""

    def rule(call: Call) -> Cost:
        return Cost(forward(call).flops)

    return rule


def _through_time(gates: int) -> Rule:
    """Inputs X, W, R, B, Y: back through all steps, to a first state only if there is one."""

    def rule(call: Call) -> Cost:
        (steps, batch, length), (_, directions, _, hidden) = call.shape(0), call.shape(4)
        inside = steps if len(call.outs) > 2 else steps - 1
        products = 2 * batch * directions * gates * hidden * (steps * length + inside * hidden)
        each = 4 * gates + 2 * TANH * (gates > 1)  # a gate's slope, and the cell's tanh again
        return Cost(products + each * steps * directions * batch * hidden)

    return rule


def _over_steps(gates: int) -> Rule:
    """Gradients of the gates, X, Y."""

    def rule(call: Call) -> Cost:
        (steps, batch, length), (_, directions, _, hidden) = call.shape(1), call.shape(2)
        products = 2 * steps * batch * directions * gates * hidden * (length + hidden)
        return Cost(products + (call.count(0) if len(call.outs) > 2 else 0))

    return rule


def attention_flops(pairs: float, key: float, value: float) -> float:
    """FLOPs of attention's gradient over so many query-key pairs of all heads and samples."""
    return pairs * (2 * (3 * key + 2 * value) + EXP + 6)


def _attention(call: Call) -> Cost:
    batch, heads, queries, size = heads_of(call, 0, call.integer("q_num_heads", 0))
    _, _, keys, value = heads_of(call, 2, call.integer("kv_num_heads", 0))
    return Cost(attention_flops(batch * heads * queries * keys, size, value))


def _experts(saved: int, first: int, second: int) -> Rule:
    """Of the data or of the weights: two FLOPs for each element of both matrices and each token."""

    def rule(call: Call) -> Cost:
        routed = call.shape(saved)[0]
        elements = sum(math.prod(call.shape(i)[1:]) for i in (first, second))
        return Cost(2 * routed * elements)

    return rule


_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

_SHIFTED = ("Layer", "Group", "Instance")

_ROWS: dict[str, Rule] = {
    **{f"{name}Grad": per_output(flops) for name, flops in _EACH.items()},
    **{f"{name}NormalizationGrad": per_input(NORM, 1) for name in ("Batch", "RMS")},
    **dict.fromkeys((f"{name}NormalizationGrad" for name in _SHIFTED), per_input(NORM + 2, 1)),
    "BatchNormalizationTraining": per_input(LAYER_NORM - 1),
    "GroupNormalizationTraining": per_input(LAYER_NORM),
    "InstanceNormalizationTraining": per_input(LAYER_NORM),
    "ConvInputGrad": _conv_data,
    "ConvWeightGrad": _conv_weight,
    "MaxPoolGrad": _max_pool,
    "AveragePoolGrad": _average_pool,
    "GatherGrad": _added_up,
    "SliceGrad": _put,
    "ResizeGrad": _resize,
    "NegativeLogLikelihoodLossGrad": _likelihood,
    **{f"{name}Training": _saving(recurrent.RULES[name]) for name in _GATES},
    **{f"{name}InputGrad": _through_time(gates) for name, gates in _GATES.items()},
    **{f"{name}WeightGrad": _over_steps(gates) for name, gates in _GATES.items()},
    "AttentionTraining": _saving(attention.RULES["Attention"]),
    "AttentionGrad": _attention,
    "MoETraining": _saving(matmul.RULES["com.microsoft:MoE"]),
    "MoEInputGrad": _experts(4, 2, 3),
    "MoEWeightGrad": _experts(3, 1, 2),
    "GradientDescent": per_input(2, 1),
    # sums over ranks are done where they are sent; what crosses the network is not memory traffic
    **dict.fromkeys(("AllReduce", "AllGather", "ReduceScatter", "AllToAll"), lambda _: Cost(0)),
    **dict.fromkeys(("Replicate", "Scatter"), lambda _: VIEW),
}

RULES: dict[str, Rule] = {f"lydite:{name}": rule for name, rule in _ROWS.items()}
