"""Gradients of what ranks exchange (Megatron-LM, arXiv:1909.08053 and 2205.05198).

Each operator of the domain "lydite" has the attributes `group` (whose ranks) and `size` (how many):
`AllReduce` sums over the ranks; `Replicate` hands a tensor that all have to a part that is shared
out, which costs nothing forward and a sum backward; `Scatter` keeps a part of what all have, which
costs nothing forward and is gathered backward; `AllGather` joins parts along `axis`,
`ReduceScatter` sums and keeps a part; `AllToAll` exchanges tokens among experts.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph.builder import Tensor
from lydite.graph.training.call import GradientCall, GradientRule

COLLECTIVES = ("AllReduce", "AllGather", "ReduceScatter", "AllToAll")
"""Operators that send."""


def _pass(call: GradientCall) -> Sequence[Tensor | None]:
    return [call.dy()]


def _as(op_type: str) -> GradientRule:
    def rule(call: GradientCall) -> Sequence[Tensor | None]:
        return [call.emit(op_type, call.dy(), **call.attrs)]

    return rule


RULES: dict[str, GradientRule] = {
    "lydite:AllReduce": _pass,
    "lydite:Replicate": _as("AllReduce"),
    "lydite:Scatter": _as("AllGather"),
    "lydite:AllGather": _as("ReduceScatter"),
    "lydite:ReduceScatter": _as("AllGather"),
    "lydite:AllToAll": _as("AllToAll"),
}
