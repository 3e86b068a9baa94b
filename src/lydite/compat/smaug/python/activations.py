"""SMAUG's activations, as operators and fused into a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite.compat.smaug.python.array import laid_out
from lydite.compat.smaug.python.graph import Tensor, add_node
from lydite.compat.smaug.topology.layout import ACT_DEFAULTS
from lydite.errors import unknown_name


def relu(input_tensor: Tensor, name: str = "relu") -> Tensor:
    """max(x, 0)."""
    return _activate("ReLU", input_tensor, name)


def lrelu(input_tensor: Tensor, slope: float = 0.2, name: str = "lrelu") -> Tensor:
    """x, or slope * x below 0."""
    return _activate("LReLU", input_tensor, name, slope=slope)


def elu(input_tensor: Tensor, alpha: float = 0.1, name: str = "elu") -> Tensor:
    """x, or alpha * (exp(x) - 1) below 0."""
    return _activate("ELU", input_tensor, name, alpha=alpha)


def selu(
    input_tensor: Tensor, alpha: float = 1.6733, lambda_param: float = 1.0507, name: str = "selu"
) -> Tensor:
    """lambda_param * elu(x, alpha)."""
    return _activate("SELU", input_tensor, name, alpha=alpha, lambda_param=lambda_param)


def tanh(input_tensor: Tensor, name: str = "tanh") -> Tensor:
    """The hyperbolic tangent."""
    return _activate("Tanh", input_tensor, name)


def hard_tanh(
    input_tensor: Tensor, min: float = -1, max: float = 1, name: str = "hard_tanh"
) -> Tensor:
    """x limited to [min, max]."""
    return _activate("HardTanh", input_tensor, name, min=min, max=max)


def sigmoid(input_tensor: Tensor, name: str = "sigmoid") -> Tensor:
    """1 / (1 + exp(-x))."""
    return _activate("Sigmoid", input_tensor, name)


def softmax(input_tensor: Tensor, name: str = "softmax") -> Tensor:
    """Softmax over the channels of a matrix NC."""
    return _activate("Softmax", laid_out(input_tensor, "NC"), name)


def _activate(op: str, tensor: Tensor, name: str, **numbers: float) -> Tensor:
    params = {"act": numbers} if numbers else {}
    return add_node(name, op, [tensor], [tensor.dims], params=params)[0]


_ACTIVATIONS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "relu": ("ReLU", relu),
    "lrelu": ("LReLU", lrelu),
    "elu": ("ELU", elu),
    "selu": ("SELU", selu),
    "tanh": ("Tanh", tanh),
    "hard_tanh": ("HardTanh", hard_tanh),
    "sigmoid": ("Sigmoid", sigmoid),
    "softmax": ("Softmax", softmax),
}


def named(activation: str) -> Callable[..., Tensor]:
    """The operator of an activation's name.

    Raises:
        InputError: no activation has this name.
    """
    return _entry(activation)[1]


def _entry(activation: str) -> tuple[str, Callable[..., Tensor]]:
    if activation not in _ACTIVATIONS:
        raise unknown_name("activation", activation, _ACTIVATIONS)
    return _ACTIVATIONS[activation]


def fused(activation: str | None, numbers: Mapping[str, float] | None) -> dict[str, Any]:
    """Node parameters of an activation that is fused into a layer."""
    if activation is None:
        return {}
    op = _entry(activation)[0]
    given = {**ACT_DEFAULTS.get(op, {}), **(numbers or {})}
    for name in given:
        if name not in ACT_DEFAULTS.get(op, {}):
            raise unknown_name("parameter", name, ACT_DEFAULTS.get(op, {}), of=f"of {activation}")
    return {"activation": op} | ({"act": given} if given else {})
