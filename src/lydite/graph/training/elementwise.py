"""Gradients of operators that treat each element alone."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph.builder import Tensor
from lydite.graph.shapes.own_types import SAVED
from lydite.graph.training.call import GradientCall, GradientRule


def _function(call: GradientCall) -> Sequence[Tensor | None]:
    saved = call.y() if SAVED[call.op.op_type] == "output" else call.x()
    return [call.emit(f"{call.op.op_type}Grad", call.dy(), saved, **call.attrs)]


def _add(call: GradientCall) -> Sequence[Tensor | None]:
    return [
        call.summed_to(call.dy(), call.shape(i)) if call.wants(i) else None
        for i in range(len(call.op.inputs))
    ]


def _subtract(call: GradientCall) -> Sequence[Tensor | None]:
    first = call.summed_to(call.dy(), call.shape(0)) if call.wants(0) else None
    second = None
    if call.wants(1):
        second = call.summed_to(call.std("Neg", call.dy()), call.shape(1))
    return [first, second]


def _multiply(call: GradientCall) -> Sequence[Tensor | None]:
    return [
        call.summed_to(call.std("Mul", call.dy(), call.x(1 - i)), call.shape(i))
        if call.wants(i)
        else None
        for i in (0, 1)
    ]


def _divide(call: GradientCall) -> Sequence[Tensor | None]:
    """a / b: dy / b, and -dy y / b."""
    first = call.std("Div", call.dy(), call.x(1)) if call.wanted[0] or call.wanted[1] else None
    second = None
    if call.wants(1) and first is not None:
        second = call.std("Neg", call.std("Mul", first, call.y()))
        second = call.summed_to(second, call.shape(1))
    if first is not None:
        first = call.summed_to(first, call.shape(0)) if call.wants(0) else None
    return [first, second]


def _power(call: GradientCall) -> Sequence[Tensor | None]:
    """x ** p with a known p: p x ** (p - 1) dy."""
    exponent = call.value(1)
    if exponent is None or exponent.size != 1:
        return [call.emit("PowGrad", call.dy(), call.x(0), call.x(1))]
    p = float(exponent.item())
    below = call.x(0)
    if p != 2:
        below = call.std("Pow", below, call.number(p - 1, below))
    return [call.std("Mul", call.dy(), call.std("Mul", below, call.number(p, below)))]


def _negate(call: GradientCall) -> Sequence[Tensor | None]:
    return [call.std("Neg", call.dy())]


def _pass(call: GradientCall) -> Sequence[Tensor | None]:
    return [call.dy()]


def _clip(call: GradientCall) -> Sequence[Tensor | None]:
    """dy where x lies between the bounds."""
    bounds = [call.x(i) if call.has(i) else None for i in (1, 2)]
    limits = {k: v for k, v in call.attrs.items() if k in ("min", "max")}  # before opset 11
    return [call.emit("ClipGrad", call.dy(), call.x(0), *bounds, **limits)]


def _where(call: GradientCall) -> Sequence[Tensor | None]:
    zero = call.number(0, call.dy())
    found: list[Tensor | None] = [None]
    for i in (1, 2):
        pair = (call.dy(), zero) if i == 1 else (zero, call.dy())
        chosen = call.std("Where", call.x(0), *pair) if call.wants(i) else None
        found.append(call.summed_to(chosen, call.shape(i)) if chosen is not None else None)
    return found


def _extreme(call: GradientCall) -> Sequence[Tensor | None]:
    """Max and Min: dy goes to the inputs that the output equals."""
    zero = call.number(0, call.dy())
    found: list[Tensor | None] = []
    for i in range(len(call.op.inputs)):
        if not call.wants(i):
            found.append(None)
            continue
        chosen = call.std("Where", call.std("Equal", call.x(i), call.y()), call.dy(), zero)
        found.append(call.summed_to(chosen, call.shape(i)))
    return found


def _prelu(call: GradientCall) -> Sequence[Tensor | None]:
    data, slope = call.emit("PReluGrad", call.dy(), call.x(0), call.x(1), outputs=2)
    return [data, call.summed_to(slope, call.shape(1))]


def _cast(call: GradientCall) -> Sequence[Tensor | None]:
    from lydite.graph.dtypes import dtype_number

    return [call.std("Cast", call.dy(), to=dtype_number(call.type(0).dtype))]


def _softmax(call: GradientCall) -> Sequence[Tensor | None]:
    axis = call.attr("axis", -1)
    return [call.emit(f"{call.op.op_type}Grad", call.dy(), call.y(), axis=axis)]


RULES: dict[str, GradientRule] = {
    **dict.fromkeys(SAVED, _function),
    "Add": _add,
    "Sum": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Pow": _power,
    "Neg": _negate,
    "Identity": _pass,
    "Dropout": _pass,
    "Clip": _clip,
    "Where": _where,
    "Max": _extreme,
    "Min": _extreme,
    "PRelu": _prelu,
    "Cast": _cast,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
}
