"""Control flow in line: the operators of bodies in their order, as the network runs them.

A branch takes the place of its If. An iteration of a Loop or Scan follows the one before; as soon
as iterations are alike, one copy stands for all of them but the first and the last, which may meet
other neighbours. Weights of a body are the same tensors in all of its iterations.
"""

from __future__ import annotations

from lydite.graph.graph import Graph
from lydite.graph.passes.flow.choices import Choices, Price
from lydite.graph.passes.flow.made import InLine, OpenBody
from lydite.graph.passes.flow.writer import Writer

__all__ = ["InLine", "OpenBody", "in_line"]


def in_line(graph: Graph, price: Price) -> InLine:
    """The graph with its control flow in line.

    Args:
        graph: Graph, possibly with control flow and calls of model-local functions.
        price: Price of a branch, for each If that no constant decides: the dearest is taken. It
            must be the same for the same branch within a call.

    Raises:
        GraphError: the sizes of a loop differ in each of very many iterations.
        LyditeError: no branch of an If has a price; the error of `price`.
    """
    if not graph.functions and not any(op.subgraphs for op in graph.ops):
        return InLine(graph, {}, ())
    choices = Choices(graph.memo("in line"), price)
    known = choices.follow()
    if known is None:
        known = Writer(graph, choices).written()
        choices.node["made"] = known
    return known
