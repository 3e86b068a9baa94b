"""Elementwise operators, whose work is counted per output element, since inputs may broadcast."""

from __future__ import annotations

from typing import Any

from lydite.graph.operators import split
from lydite.graph.operators.call import (
    DIVIDE,
    FUNCTION,
    SQRT,
    VIEW,
    Call,
    Cost,
    WorkRule,
    per_output,
)
from lydite.graph.operators.decompositions import common, fused
from lydite.graph.operators.gradients import elementwise as gradients
from lydite.graph.operators.missing import UNTYPED, UNWRITTEN, WHOLE, runtimes, usual
from lydite.graph.operators.operator import ALIAS, ZERO, Family, Operator
from lydite.graph.operators.typing.contrib import like, single, typed_as
from lydite.graph.operators.typing.lydite import SAVED

EXP = LOG = TANH = ERF = FUNCTION
SIGMOID = 2 + EXP + DIVIDE  # 1 / (1 + exp(-x))
SOFTPLUS = EXP + 1 + LOG
GELU_ERF = 4 + ERF  # x * 0.5 * (1 + erf(x * c))
GELU_TANH = 8 + TANH  # x * 0.5 * (1 + tanh(c * (x + d * x * x * x)))

FUNCTIONS: dict[str, float] = {
    "Abs": 1,
    "Neg": 1,
    "Sign": 1,
    "Floor": 1,
    "Ceil": 1,
    "Round": 1,
    "Not": 1,
    "IsNaN": 1,
    "IsInf": 1,
    "BitwiseNot": 1,
    "Relu": 1,
    "ThresholdedRelu": 1,
    "Sqrt": SQRT,
    "Reciprocal": DIVIDE,
    "Exp": EXP,
    "Log": LOG,
    "Erf": ERF,
    "Sin": FUNCTION,
    "Cos": FUNCTION,
    "Tan": FUNCTION,
    "Asin": FUNCTION,
    "Acos": FUNCTION,
    "Atan": FUNCTION,
    "Sinh": FUNCTION,
    "Cosh": FUNCTION,
    "Tanh": TANH,
    "Asinh": FUNCTION,
    "Acosh": FUNCTION,
    "Atanh": FUNCTION,
    "LeakyRelu": 2,
    "PRelu": 2,
    "Shrink": 3,
    "Affine": 2,
    "ScaledTanh": 2 + TANH,
    "Elu": 3 + EXP,
    "Selu": 4 + EXP,
    "Celu": 5 + DIVIDE + EXP,
    "Sigmoid": SIGMOID,
    "HardSigmoid": 4,
    "HardSwish": 5,
    "Swish": SIGMOID + 2,
    "SiLU": SIGMOID + 1,
    "SwiGLU": SIGMOID + 3,
    "Softplus": SOFTPLUS,
    "ParametricSoftplus": SOFTPLUS + 2,
    "Softsign": 2 + DIVIDE,
    "Mish": SOFTPLUS + TANH + 1,
    "FastGelu": GELU_TANH,
    "QuickGelu": SIGMOID + 2,
    "Identity": 0,
}
"""FLOPs per element of functions of one variable, activations included."""

_BINARY: dict[str, float] = {
    "Add": 1,
    "Sub": 1,
    "Mul": 1,
    "Div": DIVIDE,
    "Mod": DIVIDE,
    "And": 1,
    "Or": 1,
    "Xor": 1,
    "BitwiseAnd": 1,
    "BitwiseOr": 1,
    "BitwiseXor": 1,
    "BitShift": 1,
    "Equal": 1,
    "Greater": 1,
    "GreaterOrEqual": 1,
    "Less": 1,
    "LessOrEqual": 1,
    "Where": 0,
    "Cast": 0,
}


def activation(name: str) -> float:
    """FLOPs per element of an activation that an attribute names; 1 if the name is unknown."""
    return _LOWER.get(name.lower(), 1) if name else 0


_LOWER = {name.lower(): flops for name, flops in FUNCTIONS.items()} | {
    "clip": 2,
    "gelu": GELU_ERF,
    "silu": SIGMOID + 1,
    "swish": SIGMOID + 1,
    "swiglu": SIGMOID + 3,
    "identity": 0,
    "none": 0,
}


def _gelu(call: Call) -> Cost:
    tanh = call.text("approximate", "none") == "tanh"
    return Cost((GELU_TANH if tanh else GELU_ERF) * call.out_count())


def _power(call: Call) -> Cost:
    """A small constant exponent takes multiplications or a square root."""
    exponent = call.operands[1].value if call.has(1) else None
    simple = {2: 1, 3: 2, 1: 0, 0.5: SQRT, -1: DIVIDE, -0.5: SQRT + DIVIDE}
    each = simple.get(exponent[0], FUNCTION) if exponent and len(exponent) == 1 else FUNCTION
    return Cost(each * call.out_count())


def _clip(call: Call) -> Cost:
    if call.version < 11:
        return Cost(2 * call.out_count())
    return Cost((call.has(1) + call.has(2)) * call.out_count())


def _variadic(extra: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost((max(0, len(call.ins) - 1) + extra) * call.out_count())

    return rule


def _dropout(call: Call) -> Cost:
    """No work in inference; a comparison and a multiplication per element in training."""
    if not call.has(2) or call.operands[2].value == (False,):
        return VIEW
    return Cost(2 * call.out_count())


def _biased(flops: float) -> WorkRule:
    """A function, after a bias addition if there is a bias."""

    def rule(call: Call) -> Cost:
        return Cost((flops + call.has(1)) * call.out_count())

    return rule


_NO_DATA: dict[str, float] = {
    "RandomNormal": 2 * FUNCTION + SQRT + 2,
    "RandomUniform": 2,
    "RandomNormalLike": 2 * FUNCTION + SQRT + 2,
    "RandomUniformLike": 2,
}
"""Random numbers, without the generator's integer steps (Box-Muller for normal ones)."""


def _filled(flops: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost(flops * call.out_count(), read=0)

    return rule


_SPECIAL = frozenset(name for name, flops in (FUNCTIONS | _BINARY).items() if flops >= DIVIDE)
_GRADIENTS = {
    **dict.fromkeys(SAVED, gradients.function),
    **{name: gradients.slope(build) for name, build in gradients.SLOPES.items()},
    **dict.fromkeys(("Add", "Sum"), gradients.add),
    "Sub": gradients.subtract,
    "Mul": gradients.multiply,
    "Div": gradients.divide,
    "Neg": gradients.negate,
    "Identity": gradients.passed,
    "PRelu": gradients.prelu,
    "Where": gradients.where,
    "Cast": gradients.cast,
    **dict.fromkeys(
        ("Sign", "Floor", "Ceil", "Round", "Not", "IsNaN", "IsInf", "BitwiseNot", "And", "Or"),
        ZERO,
    ),
    **dict.fromkeys(("Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "Equal"), ZERO),
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual"), ZERO),
}
_NARROW = ("PRelu",)
_WIDE = (
    "Exp",
    "Log",
    "Pow",
    "Reciprocal",
    "Softplus",
    "Erf",
    "Tan",
    "Acos",
    "Asin",
    "Cosh",
    "Sinh",
)
"""Functions that autocast runs in the low-precision type and in float32 (PyTorch's lists)."""

_FOLDED = frozenset(
    (
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Div",
        "Equal",
        "Exp",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Log",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Round",
        "Sign",
        "Sqrt",
        "Sub",
        "Where",
        "Xor",
    )
)
_OLD = {
    "Affine": common.affine,
    "ScaledTanh": common.of_scaled("Tanh"),
    "ParametricSoftplus": common.of_scaled("Softplus"),
}
"""Functions that ONNX has removed and ONNX Runtime still runs."""

_COMPARED = {"LessOrEqual": "Less", "GreaterOrEqual": "Greater"}

_NAMES_ONLY = ("SiLU", "FastGelu", "QuickGelu")
"""Activations that attributes of other operators name, without an operator of that name."""

_standard = Family("elementwise", usual(split=split.pointwise))
_runtime = Family("elementwise", runtimes(split=split.pointwise, types=like(0)))
_MS = "com.microsoft:"


def _facets(name: str) -> dict[str, Any]:
    """Facets that the tables above list for a function or an arithmetic operator."""
    precision = "low" if name in _NARROW else "float32" if name in _WIDE else "widest"
    return {
        "gradient": _GRADIENTS.get(name, UNWRITTEN),
        "special": name in _SPECIAL and name != "HardSigmoid",
        "precision": "mixed" if name in ("Where", "Cast") else precision,
        "folds": name in _FOLDED,
        **({"types": like(0), "decomposition": _OLD[name]} if name in _OLD else {}),
        **({"types": typed_as(_COMPARED[name])} if name in _COMPARED else {}),
    }


OPERATORS: tuple[Operator, ...] = (
    *(
        _standard.row(name, per_output(flops), **_facets(name))
        for name, flops in (FUNCTIONS | _BINARY).items()
        if name not in ("Identity", *_NAMES_ONLY)
    ),
    _standard.row("Identity", lambda _: VIEW, **_facets("Identity"), aliases=True, array=ALIAS),
    _standard.row("BitCast", lambda _: VIEW, gradient=ZERO, array=ALIAS),
    _standard.row(
        "CastLike",
        lambda call: Cost(0, call.bytes_of(0)),
        gradient=gradients.cast,
        precision="mixed",
        folds=True,
    ),
    *(
        _standard.row(name, _filled(flops), gradient=ZERO, special=flops >= DIVIDE)
        for name, flops in _NO_DATA.items()
    ),
    _standard.row("Bernoulli", per_output(1), gradient=ZERO),
    _standard.row("Gelu", _gelu, gradient=gradients.function, special=True),
    _standard.row(
        "Pow", _power, gradient=gradients.power, precision="float32", special=True, folds=True
    ),
    _standard.row("Clip", _clip, gradient=gradients.clip),
    _standard.row("Dropout", _dropout, gradient=gradients.passed, aliases=True, array=ALIAS),
    _standard.row("Sum", _variadic(0), gradient=gradients.add, folds=True),
    _standard.row("Max", _variadic(0), gradient=gradients.extreme, folds=True),
    _standard.row("Min", _variadic(0), gradient=gradients.extreme, folds=True),
    _standard.row("Mean", _variadic(DIVIDE), gradient=gradients.mean, special=True),
    _standard.row("Scale", per_output(1), types=like(0), decomposition=common.factor_of),
    _standard.row("ImageScaler", per_output(2), types=like(0)),
    _runtime.row(
        _MS + "Gelu", per_output(GELU_ERF), special=True, decomposition=common.renamed("Gelu")
    ),
    _runtime.row(
        _MS + "BiasGelu",
        per_output(1 + GELU_ERF),
        special=True,
        decomposition=fused.biased("Gelu"),
    ),
    _runtime.row(
        _MS + "FastGelu",
        _biased(GELU_TANH),
        special=True,
        decomposition=fused.biased("Gelu", approximate="tanh"),
    ),
    _runtime.row(
        _MS + "QuickGelu",
        per_output(SIGMOID + 2),
        special=True,
        decomposition=fused.scaled_sigmoid,
    ),
    _runtime.row(
        _MS + "BiasSplitGelu", per_output(3 + GELU_ERF), special=True, split=WHOLE, types=UNTYPED
    ),
    _runtime.row(_MS + "BiasAdd", per_output(2), decomposition=fused.biased_residual),
    _runtime.row(_MS + "BiasDropout", per_output(2), decomposition=fused.biased_inference),
    _runtime.row(_MS + "BitmaskDropout", per_output(2), decomposition=common.same),
    _runtime.row(_MS + "BitmaskBiasDropout", per_output(4), decomposition=fused.biased_inference),
    _runtime.row(_MS + "ComplexMul", per_output(3)),
    _runtime.row(_MS + "ComplexMulConj", per_output(3)),
    _runtime.row(_MS + "GatedAdd", per_output(2)),
    _runtime.row(_MS + "ScaledSiLU", per_output(SIGMOID + 2), special=True),
    _runtime.row(
        _MS + "LinearAttentionGate", per_output(SOFTPLUS + 2), special=True, types=UNTYPED
    ),
    _runtime.row(_MS + "MulInteger", per_output(3), types=UNTYPED),
    _runtime.row(
        _MS + "IsAllFinite",
        lambda call: Cost(sum(call.count(i) for i in range(len(call.ins)))),
        types=single("bool"),
        split=WHOLE,
    ),
)
