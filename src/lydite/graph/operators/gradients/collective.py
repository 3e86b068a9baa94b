"""Gradients of collectives in tensor parallelism (Megatron-LM, arXiv:1909.08053 and 2205.05198).

Each operator of the domain "lydite" has the attributes `group` (name of the group of ranks) and
`size` (number of ranks). `AllReduce` sums over the ranks. `Replicate` passes a tensor that all
ranks hold into a split region: free forward, a sum backward. `Scatter` keeps a part of what all
ranks hold: free forward, a gather backward. `AllGather` joins parts along `axis`, `ReduceScatter`
sums and keeps a part, `AllToAll` exchanges tokens among experts.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph.operators.gradients.call import GradientCall, GradientRule
from lydite.graph.tensor import Tensor

COLLECTIVES = ("AllReduce", "AllGather", "ReduceScatter", "AllToAll")
"""Operators that communicate."""


def passed(call: GradientCall) -> Sequence[Tensor | None]:
    """dy unchanged."""
    return [call.dy()]


def returned_as(op_type: str) -> GradientRule:
    """Rule for a gradient that is the collective `op_type` applied to dy."""

    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        return [call.emit(op_type, call.dy(), **call.attrs)]

    return rule
