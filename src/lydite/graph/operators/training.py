"""The domain "lydite": operators that training adds to ONNX (see `lydite.graph.training`).

The gradients of a product with respect to data and weights take as many multiply-adds as the
product each. Attention's gradient computes its scores again and takes five products instead of two,
which agrees with PyTorch's FlopCounterMode.
"""

from __future__ import annotations

import math

from lydite.graph.operators import attention, matmul, products, recurrent
from lydite.graph.operators.attention import heads_of
from lydite.graph.operators.call import (
    DIVIDE,
    FUNCTION,
    Call,
    Cost,
    WorkRule,
    per_input,
    per_output,
)
from lydite.graph.operators.elementwise import ERF, EXP, SIGMOID, SOFTPLUS, TANH
from lydite.graph.operators.gradients import norm as norms
from lydite.graph.operators.gradients import sequence
from lydite.graph.operators.missing import BEHIND_SPLIT, NOT_IN_TORCH, SECOND_ORDER, usual
from lydite.graph.operators.norm import LAYER_NORM
from lydite.graph.operators.operator import Family, Operator
from lydite.graph.operators.products import ProductRule
from lydite.graph.operators.typing import lydite as typed

FLOPS: dict[str, float] = {
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
"""FLOPs per element of a function's gradient, including the product with dy."""

NORM = 9
"""FLOPs per element: normalisation again (2), two sums (3), dx from them (4)."""


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
    """Every element of dy is added to the element it came from."""
    return Cost(call.count(0), call.bytes_of(0, 1))


def _put(call: Call) -> Cost:
    return Cost(0, call.bytes_of(0))


def _resize(call: Call) -> Cost:
    taps = 1 if call.text("mode", "nearest") == "nearest" else 4
    return Cost((2 * taps - 1) * call.count(0))


def _likelihood(call: Call) -> Cost:
    return Cost(call.count(1), call.bytes_of(0, 1))


def _saving(forward: WorkRule) -> WorkRule:
    """The work of the plain operator, with more outputs written."""

    def rule(call: Call) -> Cost:
        return Cost(forward(call).flops)

    return rule


def _through_time(gates: int) -> WorkRule:
    """Backward through all steps; inputs X, W, R, B, Y, and an initial state if there is one."""

    def rule(call: Call) -> Cost:
        (steps, batch, length), (_, directions, _, hidden) = call.shape(0), call.shape(4)
        inside = steps if len(call.outs) > 2 else steps - 1
        products = 2 * batch * directions * gates * hidden * (steps * length + inside * hidden)
        each = 4 * gates + 2 * TANH * (gates > 1)  # slope per gate; tanh of the cell again
        return Cost(products + each * steps * directions * batch * hidden)

    return rule


def _over_steps(gates: int) -> WorkRule:
    """Weight gradients over all steps; inputs are gate gradients, X, Y."""

    def rule(call: Call) -> Cost:
        (steps, batch, length), (_, directions, _, hidden) = call.shape(1), call.shape(2)
        products = 2 * steps * batch * directions * gates * hidden * (length + hidden)
        return Cost(products + (call.count(0) if len(call.outs) > 2 else 0))

    return rule


def attention_flops(pairs: float, key: float, value: float) -> float:
    """FLOPs of attention's gradient over `pairs` query-key pairs of all heads and samples."""
    return pairs * (2 * (3 * key + 2 * value) + EXP + 6)


def _attention(call: Call) -> Cost:
    batch, heads, queries, size = heads_of(call, 0, call.integer("q_num_heads", 0))
    _, _, keys, value = heads_of(call, 2, call.integer("kv_num_heads", 0))
    return Cost(attention_flops(batch * heads * queries * keys, size, value))


def _experts(saved: int, first: int, second: int, *, matrices: bool) -> WorkRule:
    """Data or weight gradients: two FLOPs per element of both matrices and token.

    The `matrices` are read for the data; for the weights they only say how large a gradient is.
    """

    def rule(call: Call) -> Cost:
        routed = call.shape(saved)[0]
        elements = sum(math.prod(call.shape(i)[1:]) for i in (first, second))
        read = (i for i in range(len(call.ins)) if matrices or i not in (first, second))
        return Cost(2 * routed * elements, call.bytes_of(*read))

    return rule


_SHIFTED = ("Layer", "Group", "Instance")
_NORMALISED = "NormalizationGrad"
_gradients = Family("gradient", usual(gradient=SECOND_ORDER, split=BEHIND_SPLIT))
_forms = Family("training form", usual(split=BEHIND_SPLIT))
HARD = ("Relu", "Clip", "LeakyRelu", "Abs", "HardSigmoid", "ThresholdedRelu", "PRelu")


def _gate_products(gates: int) -> dict[str, ProductRule]:
    return {
        "InputGrad": products.recurrent_data(gates),
        "WeightGrad": products.recurrent_weights(gates),
    }


def _recurrent_rows(name: str, gates: int) -> list[Operator]:
    """Rows for the training form of a recurrent layer, and its data and weight gradients."""
    rules = _gate_products(gates)
    return [
        _forms.row(
            f"lydite:{name}Training",
            _saving(recurrent.recurrent_work(gates)),
            types=typed.forward(name),
            gradient=sequence.recurrent,
            array=products.recurrent(gates),
        ),
        _gradients.row(
            f"lydite:{name}InputGrad",
            _through_time(gates),
            types=typed.data_gradient(name),
            array=rules["InputGrad"],
        ),
        _gradients.row(
            f"lydite:{name}WeightGrad",
            _over_steps(gates),
            types=typed.weight_gradient(name),
            array=rules["WeightGrad"],
        ),
    ]


OPERATORS: tuple[Operator, ...] = (
    *(
        _gradients.row(
            f"lydite:{name}Grad",
            per_output(flops),
            types=typed.like(0, 0) if name == "PRelu" else typed.like(0),
            special=flops >= DIVIDE and name not in HARD,
        )
        for name, flops in FLOPS.items()
    ),
    *(
        _gradients.row(
            f"lydite:{name}{_NORMALISED}",
            per_input(NORM + 2 * (name in _SHIFTED), 1),
            types=typed.like(1, 2, 2),
            special=True,
        )
        for name in ("Batch", "RMS", *_SHIFTED)
    ),
    _forms.row(
        "lydite:BatchNormalizationTraining",
        per_input(LAYER_NORM - 1),
        types=typed.statistics(lambda dims, _: dims[1:2]),
        gradient=norms.saved_statistics,
        fixed_inputs=(3, 5),
        special=True,
    ),
    _forms.row(
        "lydite:GroupNormalizationTraining",
        per_input(LAYER_NORM),
        types=typed.statistics(lambda dims, op: (dims[0], int(str(op.attrs["num_groups"])))),
        gradient=norms.saved_statistics,
        special=True,
    ),
    _forms.row(
        "lydite:InstanceNormalizationTraining",
        per_input(LAYER_NORM),
        types=typed.statistics(lambda dims, _: dims[:2]),
        gradient=norms.saved_statistics,
        special=True,
    ),
    _gradients.row(
        "lydite:ConvInputGrad", _conv_data, types=typed.by_shape, array=products.spread()
    ),
    _gradients.row(
        "lydite:ConvWeightGrad", _conv_weight, types=typed.by_shape, array=products.weight_gradient
    ),
    _gradients.row("lydite:MaxPoolGrad", _max_pool, types=typed.like(1)),
    _gradients.row("lydite:AveragePoolGrad", _average_pool, types=typed.by_shape),
    _gradients.row("lydite:GatherGrad", _added_up, types=typed.by_shape),
    _gradients.row("lydite:SliceGrad", _put, types=typed.by_shape),
    _gradients.row("lydite:ResizeGrad", _resize, types=typed.by_shape),
    _gradients.row("lydite:NegativeLogLikelihoodLossGrad", _likelihood, types=typed.like(2)),
    *(row for name, gates in typed.GATES.items() for row in _recurrent_rows(name, gates)),
    _forms.row(
        "lydite:AttentionTraining",
        _saving(attention.attention_work),
        types=typed.attention,
        gradient=sequence.attention,
        array=products.attention(),
    ),
    _gradients.row(
        "lydite:AttentionGrad",
        _attention,
        types=typed.like(0, 1, 2),
        array=products.attention(5, past=None),
    ),
    _forms.row(
        "lydite:MoETraining",
        _saving(matmul.experts_work),
        types=typed.experts,
        gradient=sequence.experts,
        array=products.experts(2, 4, 6),
        torch=NOT_IN_TORCH,
    ),
    _gradients.row(
        "lydite:MoEInputGrad",
        _experts(4, 2, 3, matrices=True),
        types=typed.like(0, 1, 4),
        array=products.experts_gradient(4, 2, 3),
    ),
    _gradients.row(
        "lydite:MoEWeightGrad",
        _experts(3, 1, 2, matrices=False),
        types=typed.like(1, 2, 6, 7),
        array=products.experts_gradient(3, 1, 2),
    ),
)
