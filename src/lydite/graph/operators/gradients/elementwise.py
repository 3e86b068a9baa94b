"""Gradients of elementwise operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lydite.graph.operators.gradients.call import GradientCall, GradientRule
from lydite.graph.operators.typing.lydite import SAVED
from lydite.graph.tensor import Tensor


def function(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradient of a function of one variable, from its output or its input (see `SAVED`)."""
    saved = call.y() if SAVED[call.op.op_type] == "output" else call.x()
    return [call.emit(f"{call.op.op_type}Grad", call.dy(), saved, **call.attrs)]


def add(call: GradientCall) -> Sequence[Tensor | None]:
    """dy for each summand, summed over broadcast axes."""
    return [
        call.summed_to(call.dy(), call.shape(i)) if call.wants(i) else None
        for i in range(len(call.op.inputs))
    ]


def subtract(call: GradientCall) -> Sequence[Tensor | None]:
    """dy for the minuend, -dy for the subtrahend."""
    first = call.summed_to(call.dy(), call.shape(0)) if call.wants(0) else None
    second = None
    if call.wants(1):
        second = call.summed_to(call.std("Neg", call.dy()), call.shape(1))
    return [first, second]


def multiply(call: GradientCall) -> Sequence[Tensor | None]:
    """dy times the other factor."""
    return [
        call.summed_to(call.std("Mul", call.dy(), call.x(1 - i)), call.shape(i))
        if call.wants(i)
        else None
        for i in (0, 1)
    ]


def divide(call: GradientCall) -> Sequence[Tensor | None]:
    """a / b: dy / b for a, -dy y / b for b."""
    first = call.std("Div", call.dy(), call.x(1)) if call.wanted[0] or call.wanted[1] else None
    second = None
    if call.wants(1) and first is not None:
        second = call.std("Neg", call.std("Mul", first, call.y()))
        second = call.summed_to(second, call.shape(1))
    if first is not None:
        first = call.summed_to(first, call.shape(0)) if call.wants(0) else None
    return [first, second]


def power(call: GradientCall) -> Sequence[Tensor | None]:
    """x ** p with a constant p: p x ** (p - 1) dy."""
    exponent = call.value(1)
    if exponent is None or exponent.size != 1:
        return [call.emit("PowGrad", call.dy(), call.x(0), call.x(1))]
    p = float(exponent.item())
    below = call.x(0)
    if p != 2:
        below = call.std("Pow", below, call.number(p - 1, below))
    return [call.std("Mul", call.dy(), call.std("Mul", below, call.number(p, below)))]


def negate(call: GradientCall) -> Sequence[Tensor | None]:
    """-dy."""
    return [call.std("Neg", call.dy())]


def passed(call: GradientCall) -> Sequence[Tensor | None]:
    """dy unchanged."""
    return [call.dy()]


def clip(call: GradientCall) -> Sequence[Tensor | None]:
    """dy where x lies between the bounds."""
    bounds = [call.x(i) if call.has(i) else None for i in (1, 2)]
    limits = {k: v for k, v in call.attrs.items() if k in ("min", "max")}  # before opset 11
    return [call.emit("ClipGrad", call.dy(), call.x(0), *bounds, **limits)]


def where(call: GradientCall) -> Sequence[Tensor | None]:
    """dy where the condition selected the input, 0 elsewhere."""
    zero = call.number(0, call.dy())
    gradients: list[Tensor | None] = [None]
    for i in (1, 2):
        pair = (call.dy(), zero) if i == 1 else (zero, call.dy())
        chosen = call.std("Where", call.x(0), *pair) if call.wants(i) else None
        gradients.append(call.summed_to(chosen, call.shape(i)) if chosen is not None else None)
    return gradients


def extreme(call: GradientCall) -> Sequence[Tensor | None]:
    """Max and Min: dy for the inputs that equal the output."""
    zero = call.number(0, call.dy())
    gradients: list[Tensor | None] = []
    for i in range(len(call.op.inputs)):
        if not call.wants(i):
            gradients.append(None)
            continue
        chosen = call.std("Where", call.std("Equal", call.x(i), call.y()), call.dy(), zero)
        gradients.append(call.summed_to(chosen, call.shape(i)))
    return gradients


def prelu(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradients of the data and of the slope."""
    data, slope = call.emit("PReluGrad", call.dy(), call.x(0), call.x(1), outputs=2)
    return [data, call.summed_to(slope, call.shape(1))]


def cast(call: GradientCall) -> Sequence[Tensor | None]:
    """dy cast to the input's dtype."""
    from lydite.graph.dtypes import dtype_number

    return [call.std("Cast", call.dy(), to=dtype_number(call.type(0).dtype))]


def softmax(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradient of a softmax from its output."""
    axis = call.attr("axis", -1)
    return [call.emit(f"{call.op.op_type}Grad", call.dy(), call.y(), axis=axis)]


def slope(build: Callable[[GradientCall], Tensor]) -> GradientRule:
    """Rule for dy times the derivative that `build` writes in standard operators."""

    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        return [call.std("Mul", call.dy(), build(call))]

    return rule


def _one_plus(call: GradientCall, x: Tensor, factor: float = 1.0) -> Tensor:
    """1 + factor * x^2."""
    square = call.std("Mul", x, x)
    if factor != 1.0:
        square = call.std("Mul", square, call.number(factor, x))
    return call.std("Add", square, call.number(1.0, x))


def _inverse_root(call: GradientCall, x: Tensor) -> Tensor:
    return call.std("Reciprocal", call.std("Sqrt", x))


def _minus_one(call: GradientCall) -> Tensor:
    """x^2 - 1."""
    x = call.x()
    return call.std("Sub", call.std("Mul", x, x), call.number(1.0, x))


SLOPES: dict[str, Callable[[GradientCall], Tensor]] = {
    "Tan": lambda call: _one_plus(call, call.y()),
    "Asin": lambda call: _inverse_root(call, _one_plus(call, call.x(), -1.0)),
    "Acos": lambda call: call.std("Neg", _inverse_root(call, _one_plus(call, call.x(), -1.0))),
    "Atan": lambda call: call.std("Reciprocal", _one_plus(call, call.x())),
    "Sinh": lambda call: call.std("Cosh", call.x()),
    "Cosh": lambda call: call.std("Sinh", call.x()),
    "Asinh": lambda call: _inverse_root(call, _one_plus(call, call.x())),
    "Acosh": lambda call: _inverse_root(call, _minus_one(call)),
    "Atanh": lambda call: call.std("Reciprocal", _one_plus(call, call.x(), -1.0)),
}
"""Derivatives of functions of one variable (Abramowitz and Stegun, 4.3.105, 4.4.52 and 4.5.71)."""


def mean(call: GradientCall) -> Sequence[Tensor | None]:
    """Mean of several inputs: an equal share of dy for each."""
    count = len(call.op.inputs)
    share = call.std("Mul", call.dy(), call.number(1.0 / count, call.dy()))
    return [call.summed_to(share, call.shape(i)) if call.wants(i) else None for i in range(count)]
