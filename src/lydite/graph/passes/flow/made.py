"""What comes of control flow in line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lydite.graph.graph import Graph, Op
from lydite.graph.work import products_of
from lydite.records import dataclass

INSIDE = " > "
"""Between the name of an operator and that of one in its body."""


@dataclass(frozen=True)
class OpenBody:
    """Control flow that is counted as less than it may be.

    Attributes:
        name: Name of the operator, or of its copy.
        op_type: Its type.
        reason: What is not known.
        macs: Multiply-accumulates of what is counted: one iteration, or the branch that is known.
    """

    name: str
    op_type: str
    reason: str
    macs: float = 0.0


@dataclass(frozen=True, eq=False)
class InLine:
    """A graph without control flow.

    Attributes:
        graph: Operators in line, named "If_3 > Conv_1" or "Loop_5[0] > Conv_1".
        times: Number of iterations that a copy of a body stands for, by name of the copy; others
            stand for one.
        open: Control flow that is counted as less than it may be.
        views: Names of operators that were added for the slices of a loop's tensors, which lie
            where the whole tensor is.
    """

    graph: Graph
    times: Mapping[str, int]
    open: tuple[OpenBody, ...]
    views: frozenset[str] = frozenset()

    def runs(self, name: str) -> int:
        """How often what has this name, or one that begins with it, runs."""
        count, end = 1, name.find(INSIDE)
        while end >= 0 and self.times:
            count *= self.times.get(name[:end], 1)
            end = name.find(INSIDE, end + 1)
        return count


def with_macs(body: OpenBody, made: InLine) -> OpenBody:
    """An open body with the multiply-accumulates of what is counted of it."""
    begins = body.name + INSIDE, f"{body.name}[0]{INSIDE}"
    inside = [op for op in made.graph.ops if op.name.startswith(begins)]
    outer = made.runs(body.name + INSIDE)
    macs = sum(made.runs(op.name) / outer * _macs(op, made.graph) for op in inside)
    return replace(body, macs=macs)


def _macs(op: Op, graph: Graph) -> float:
    found = products_of(op, graph)
    if found is None:
        return 0.0
    return float(sum(each.m * each.k * each.n * each.count for each in found.products))
