"""Into few bits and back, and the operators that work there without leaving.

Quantising an element divides, rounds, shifts by the zero point and limits on both sides;
dequantising subtracts the zero point and multiplies.
"""

from __future__ import annotations

from lydite.graph.rules.call import DIVIDE, FUNCTION, Call, Cost, Rule, per_output
from lydite.graph.rules.elementwise import SIGMOID
from lydite.graph.rules.norm import LAYER_NORM
from lydite.graph.rules.reduce import SOFTMAX

QUANTISE = DIVIDE + 4
DEQUANTISE = 2


def _around(each: float, inputs: int = 1) -> Rule:
    """Dequantised inputs, `each` FLOPs per output element, then quantised again."""
    return per_output(inputs * DEQUANTISE + each + QUANTISE)


def _dynamic(call: Call) -> Cost:
    """Smallest and largest first."""
    return Cost((2 + QUANTISE) * call.count(0))


_MS = "com.microsoft:"

RULES: dict[str, Rule] = {
    "QuantizeLinear": per_output(QUANTISE),
    "DequantizeLinear": per_output(DEQUANTISE),
    "DynamicQuantizeLinear": _dynamic,
    _MS + "QuantizeLinear": per_output(QUANTISE),
    _MS + "DequantizeLinear": per_output(DEQUANTISE),
    _MS + "QuantizeWithOrder": per_output(QUANTISE),
    _MS + "DequantizeWithOrder": per_output(DEQUANTISE),
    _MS + "QLinearAdd": _around(1, 2),
    _MS + "QLinearMul": _around(1, 2),
    _MS + "QLinearWhere": _around(0, 2),
    _MS + "QLinearSigmoid": _around(SIGMOID),
    _MS + "QLinearLeakyRelu": _around(2),
    _MS + "QLinearSoftmax": _around(SOFTMAX),
    _MS + "QLinearConcat": _around(0),
    _MS + "QOrderedGelu": _around(4 + FUNCTION),
    _MS + "QOrderedLayerNormalization": _around(LAYER_NORM),
}
