"""Quantising, dequantising, and operators that work on quantised data.

Quantising an element divides, rounds, adds the zero point and clamps on both sides;
dequantising subtracts the zero point and multiplies.
"""

from __future__ import annotations

from lydite.graph.operators import split
from lydite.graph.operators.call import DIVIDE, FUNCTION, Call, Cost, WorkRule, per_output
from lydite.graph.operators.decompositions import common, quantised
from lydite.graph.operators.elementwise import SIGMOID
from lydite.graph.operators.missing import QUANTISED, WHOLE, runtimes, usual
from lydite.graph.operators.norm import LAYER_NORM
from lydite.graph.operators.operator import Family, Operator
from lydite.graph.operators.reduce import SOFTMAX
from lydite.graph.operators.typing.contrib import cast_like, like, qlinear_binary, qlinear_concat

QUANTISE = DIVIDE + 4
DEQUANTISE = 2


def _around(each: float, inputs: int = 1) -> WorkRule:
    """Dequantises the inputs, spends `each` FLOPs per output element, and quantises the result."""
    return per_output(inputs * DEQUANTISE + each + QUANTISE)


def _dynamic(call: Call) -> Cost:
    """The minimum and maximum are computed first."""
    return Cost((2 + QUANTISE) * call.count(0))


_MS = "com.microsoft:"
_standard = Family("quantise", usual(split=WHOLE, gradient=QUANTISED))
_runtime = Family("quantise", runtimes(split=WHOLE, gradient=QUANTISED))

OPERATORS: tuple[Operator, ...] = (
    _standard.row("QuantizeLinear", per_output(QUANTISE), split=split.scaled, special=True),
    _standard.row("DequantizeLinear", per_output(DEQUANTISE), split=split.scaled),
    _standard.row("DynamicQuantizeLinear", _dynamic, special=True),
    _runtime.row(
        _MS + "QuantizeLinear",
        per_output(QUANTISE),
        types=cast_like(2),
        split=split.scaled,
        decomposition=common.renamed("QuantizeLinear", keep=("axis",)),
    ),
    _runtime.row(
        _MS + "DequantizeLinear",
        per_output(DEQUANTISE),
        types=cast_like(1),
        split=split.scaled,
        decomposition=common.renamed("DequantizeLinear", keep=("axis",)),
    ),
    _runtime.row(_MS + "QuantizeWithOrder", per_output(QUANTISE), types=cast_like(0, "int8")),
    _runtime.row(_MS + "DequantizeWithOrder", per_output(DEQUANTISE)),
    _runtime.row(
        _MS + "QLinearAdd",
        _around(1, 2),
        types=qlinear_binary,
        decomposition=quantised.around(quantised.function("Add"), 2),
    ),
    _runtime.row(
        _MS + "QLinearMul",
        _around(1, 2),
        types=qlinear_binary,
        decomposition=quantised.around(quantised.function("Mul"), 2),
    ),
    _runtime.row(_MS + "QLinearWhere", _around(0, 2)),
    _runtime.row(
        _MS + "QLinearSigmoid",
        _around(SIGMOID),
        types=like(0),
        special=True,
        decomposition=quantised.around(quantised.function("Sigmoid"), 1),
    ),
    _runtime.row(
        _MS + "QLinearLeakyRelu",
        _around(2),
        types=like(0),
        decomposition=quantised.around(quantised.function("LeakyRelu", keep=("alpha",)), 1),
    ),
    _runtime.row(
        _MS + "QLinearSoftmax",
        _around(SOFTMAX),
        types=like(0),
        special=True,
        decomposition=quantised.around(quantised.function("Softmax", keep=("axis",)), 1),
    ),
    _runtime.row(_MS + "QLinearConcat", _around(0), types=qlinear_concat),
    _runtime.row(_MS + "QOrderedGelu", _around(4 + FUNCTION), types=like(0), special=True),
    _runtime.row(
        _MS + "QOrderedLayerNormalization", _around(LAYER_NORM), types=like(0), special=True
    ),
)
