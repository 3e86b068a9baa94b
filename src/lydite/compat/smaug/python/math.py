"""SMAUG's elementwise arithmetic; dimensions of size 1 are broadcast."""

from __future__ import annotations

from lydite.compat.smaug.python.array import repeat
from lydite.compat.smaug.python.graph import Tensor, add_node, misfit


def add(tensor_a: Tensor, tensor_b: Tensor, name: str = "add") -> Tensor:
    """The sum."""
    return _binary("EltwiseAdd", tensor_a, tensor_b, name)


def mul(tensor_a: Tensor, tensor_b: Tensor, name: str = "mul") -> Tensor:
    """The product."""
    return _binary("EltwiseMul", tensor_a, tensor_b, name)


def less(tensor_a: Tensor, tensor_b: Tensor, name: str = "less") -> Tensor:
    """Whether a < b."""
    return _binary("Less", tensor_a, tensor_b, name, "bool")


def less_equal(tensor_a: Tensor, tensor_b: Tensor, name: str = "less_equal") -> Tensor:
    """Whether a <= b."""
    return _binary("LessEqual", tensor_a, tensor_b, name, "bool")


def greater(tensor_a: Tensor, tensor_b: Tensor, name: str = "greater") -> Tensor:
    """Whether a > b."""
    return _binary("Greater", tensor_a, tensor_b, name, "bool")


def greater_equal(tensor_a: Tensor, tensor_b: Tensor, name: str = "greater_equal") -> Tensor:
    """Whether a >= b."""
    return _binary("GreaterEqual", tensor_a, tensor_b, name, "bool")


def _binary(op: str, a: Tensor, b: Tensor, name: str, dtype: str | None = None) -> Tensor:
    if a.layout != b.layout or a.dtype != b.dtype:
        raise misfit(name, op, "equal layouts and element types", a, b)
    pairs = list(zip(a.dims, b.dims, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        raise misfit(name, op, "equal sizes, or 1", a, b)
    if any(x < y for x, y in pairs):
        a = repeat(a, [y if x < y else 1 for x, y in pairs], f"{name}:repeat_a")
    if any(x > y for x, y in pairs):
        b = repeat(b, [x if x > y else 1 for x, y in pairs], f"{name}:repeat_b")
    return add_node(name, op, [a, b], [a.dims], dtype=dtype)[0]
