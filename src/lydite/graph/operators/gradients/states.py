"""Gradients of layers that carry a state over the tokens, and of experts of a single product.

Each is one operator, as the kernels of these layers are: the states are computed again, and the
gradient of every input leaves one pass back over the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph.operators.gradients.call import GradientCall, GradientRule
from lydite.graph.tensor import Tensor


def carried(*states: int) -> GradientRule:
    """Rule for an operator whose first output is trained, and whose last is a state.

    Args:
        states: Inputs without a gradient: the state before the first token.
    """

    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        count = len(call.op.inputs)
        given = [call.x(i) if call.has(i) else None for i in range(count)]
        wanted = [i for i in range(count) if i not in states and call.wants(i)]
        name = f"{call.op.op_type}Grad"
        found = call.emit(
            name, call.dy(), *given, outputs=len(wanted), **call.attrs, of=[i + 1 for i in wanted]
        )
        by_input = dict(zip(wanted, [found] if len(wanted) == 1 else found, strict=True))
        return [by_input.get(i) for i in range(count)]

    return rule


def routed(call: GradientCall) -> Sequence[Tensor | None]:
    """Inputs x, choices, matrices: the data's and the matrices' gradients are two products."""
    data = matrices = None
    if call.wants(0):
        data = call.emit("MoEMatMulInputGrad", call.dy(), call.x(1), call.x(2), shape=call.shape(0))
    if call.wants(2):
        matrices = call.emit(
            "MoEMatMulWeightGrad", call.dy(), call.x(1), call.x(0), shape=call.shape(2)
        )
    return [data, None, matrices]
