"""Gradients of what ranks exchange (Megatron-LM, arXiv:1909.08053 and 2205.05198).

Each operator of the domain "lydite" has the attributes `group` (whose ranks) and `size` (how many):
`AllReduce` sums over the ranks; `Replicate` hands a tensor that all have to a part that is shared
out, which costs nothing forward and a sum backward; `Scatter` keeps a part of what all have, which
costs nothing forward and is gathered backward; `AllGather` joins parts along `axis`,
`ReduceScatter` sums and keeps a part; `AllToAll` exchanges tokens among experts.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph.operators.gradients.call import GradientCall, GradientRule
from lydite.graph.tensor import Tensor

COLLECTIVES = ("AllReduce", "AllGather", "ReduceScatter", "AllToAll")
"""Operators that send."""


def passed(call: GradientCall) -> Sequence[Tensor | None]:
    """dy as it is."""
    return [call.dy()]


def returned_as(op_type: str) -> GradientRule:
    """The collective that carries dy the other way."""

    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        return [call.emit(op_type, call.dy(), **call.attrs)]

    return rule
