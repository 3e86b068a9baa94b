"""Gradients of losses."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph.operators.gradients.call import GradientCall
from lydite.graph.tensor import Tensor


def likelihood(call: GradientCall) -> Sequence[Tensor | None]:
    """Gradient of the negative log-likelihood."""
    return [
        call.emit("NegativeLogLikelihoodLossGrad", call.dy(), call.x(1), call.x(0), **call.attrs)
    ]
