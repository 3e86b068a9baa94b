"""Optimiser updates: one operator per weight, with its state tensors.

ONNX's own Adam, Adagrad and Momentum (domain ai.onnx.preview.training) are used for the optimisers
that they fit; gradient descent is `lydite:GradientDescent`. All of them write in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from lydite.graph.builder import Builder, Tensor
from lydite.graph.operators.gradients.call import DOMAIN
from lydite.records import dataclass

_ONNX = "ai.onnx.preview.training"
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Optimizer:
    """One optimiser.

    Attributes:
        op_type, domain: Type and domain of the operator that updates a weight.
        states: Names of the optimiser's state tensors, each of the weight's size.
        attrs: Attributes of the operator.
        counts: Whether the operator has the step number as an input.
        temporaries: Number of temporaries of the weight's size in eager PyTorch's step.
        state_bytes: Bytes of each state per element, where weights have a float32 copy.
    """

    op_type: str
    domain: str = _ONNX
    states: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = True
    temporaries: int = 0
    state_bytes: float = 4.0

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of all states per parameter."""
        return self.state_bytes * len(self.states)


_MOMENTUM = {"alpha": 0.9, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.0}
_ADAM = {"alpha": 0.9, "beta": 0.999, "epsilon": 1e-8, "norm_coefficient": 0.0}

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("GradientDescent", DOMAIN, counts=False),
    "momentum": Optimizer("Momentum", states=("momentum",), attrs=_MOMENTUM),
    "nesterov": Optimizer(
        "Momentum", states=("momentum",), attrs=_MOMENTUM | {"mode": "nesterov"}, temporaries=1
    ),
    "adagrad": Optimizer("Adagrad", states=("square",), attrs={"epsilon": 1e-10}, temporaries=1),
    "adam": Optimizer("Adam", states=("mean", "square"), attrs=_ADAM, temporaries=2),
    "adamw": Optimizer(
        "Adam",
        states=("mean", "square"),
        attrs=_ADAM | {"norm_coefficient_post": _LEARNING_RATE * 1e-2},
        temporaries=2,
    ),
}
_EIGHT_BITS = 1 + 4 / 256
"""A byte an element and a float32 for each block of 256 (bitsandbytes, arXiv:2110.02861)."""
OPTIMIZERS |= {
    f"{name}-8bit": replace(OPTIMIZERS[name], state_bytes=_EIGHT_BITS)
    for name in ("momentum", "adam", "adamw")
}


def append_updates(
    g: Builder, optimizer: Optimizer, gradients: Mapping[str, Tensor]
) -> tuple[list[Tensor], dict[str, str]]:
    """Append the update of every weight.

    Returns:
        The updated weights and states, and the weight that each state belongs to.
    """
    rate = g.constant(_LEARNING_RATE, "learning_rate", "float32")
    step = [g.constant(0, "step_number")] if optimizer.counts else []
    updated: list[Tensor] = []
    owners: dict[str, str] = {}
    for name, gradient in gradients.items():
        weight = g.tensor(name)
        states = [
            g.weight(weight.shape, f"{name}/{part}", weight.type.dtype) for part in optimizer.states
        ]
        owners |= {state.name: name for state in states}
        updated += g.ops(
            optimizer.op_type,
            rate,
            *step,
            weight,
            gradient,
            *states,
            domain=optimizer.domain,
            name=f"{name}/{optimizer.op_type}",
            outputs=1 + len(states),
            **optimizer.attrs,
        )
    return updated, owners
