"""SMAUG's control flow: dead tensors flow through the branch that is not taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lydite.compat.smaug.python.graph import Graph, Tensor, add_node, get_graph, misfit
from lydite.compat.smaug.topology.layout import WEIGHT_INPUTS
from lydite.compat.smaug.topology.network import Node
from lydite.errors import GraphError

Branch = Callable[[], Tensor | Sequence[Tensor]]
_FALSE, _TRUE = 0, 1


def switch(input_tensor: Tensor, pred: Tensor, name: str = "switch") -> list[Tensor]:
    """The tensor on one of two outputs, chosen by the single number `pred`: [false, true]."""
    if math.prod(pred.dims) != 1:
        raise misfit(name, "Switch", "a predicate of one element", input_tensor, pred)
    return add_node(name, "Switch", [input_tensor, pred], [input_tensor.dims] * 2)


def merge(input_tensors: Sequence[Tensor], name: str = "merge") -> Tensor:
    """Whichever of the tensors is not dead."""
    first = input_tensors[0]
    for other in input_tensors[1:]:
        if (other.dims, other.layout, other.dtype) != (first.dims, first.layout, first.dtype):
            raise misfit(name, "Merge", "equal sizes, layouts and types", first, other)
    return add_node(name, "Merge", input_tensors, [first.dims])[0]


def cond(
    predication: Tensor, true_fn: Branch, false_fn: Branch, name: str = "cond"
) -> list[Tensor]:
    """The results of `true_fn` if the predicate is 1, else those of `false_fn`."""
    name = get_graph().create_unique_name(name)
    taken = _branch(predication, _TRUE, true_fn, f"{name}_true_branch")
    other = _branch(predication, _FALSE, false_fn, f"{name}_false_branch")
    return [merge(pair) for pair in zip(taken, other, strict=True)]


def _branch(pred: Tensor, port: int, build: Branch, name: str) -> list[Tensor]:
    """Build a branch as a part of the open graph; tensors from outside pass through a switch.

    Weights do not: a layer is dead if its input is.
    """
    graph = get_graph()
    with Graph(name, graph.backend, graph.mem_policy) as part:
        part.layout_trans_enabled = graph.layout_trans_enabled
        found = build()
        results = [found] if isinstance(found, Tensor) else list(found)
        nodes = [node for node in part.network.nodes if node.op not in ("Data", "Switch")]
        own = {node.name for node in nodes}
        for node in nodes:
            for index, (parent, output) in enumerate(node.parents):
                weight = index in WEIGHT_INPUTS.get(node.op, ())
                if parent not in own and not weight and not _switches(part, parent):
                    outside = _tensor(part, parent, output)
                    passed = switch(outside, pred)[port]
                    assert passed.source is not None and passed.name is not None
                    node.parents[index] = (passed.source[0].name, port)
                    node.inputs[index] = passed.source[0].outputs[port]
        return [
            result
            if result.source is not None and result.source[0].name in own
            else switch(result, pred)[port]
            for result in results
        ]


def _node(graph: Graph, name: str) -> Node:
    """A node of this graph or of an enclosing one."""
    found: Graph | None = graph
    while found is not None:
        for node in found.network.nodes:
            if node.name == name:
                return node
        found = found.parent
    raise GraphError(f"no node is called '{name}'", where=graph.name)


def _switches(graph: Graph, name: str) -> bool:
    """Whether a node is a switch of this graph."""
    return any(node.name == name and node.op == "Switch" for node in graph.network.nodes)


def _tensor(graph: Graph, name: str, index: int) -> Tensor:
    node = _node(graph, name)
    spec = node.outputs[index]
    return Tensor(spec.dims, spec.name, spec.layout, spec.dtype, source=(node, index))
