"""Rebuild a graph operator by operator, with a rule that may replace each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from lydite.errors import GraphError
from lydite.graph.builder import Builder, Tensor
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.upgrade import OPSET, upgraded
from lydite.opkey import TensorType

Rewrite: TypeAlias = Callable[["Rewriter", Op], None]
"""Appends the replacement of an operator: `keep`, or other operators and `rename`."""


class Rewriter:
    """The graph under construction, and the new tensor for each old one.

    Args:
        graph: Old graph.
        opset: Minimum version of the standard's operators.
        initializers: Weights; None for those of the old graph.
    """

    def __init__(
        self, graph: Graph, *, opset: int = 0, initializers: Mapping[str, Initializer] | None = None
    ) -> None:
        if graph.functions or any(op.subgraphs for op in graph.ops):
            raise GraphError(
                "has control flow or functions, which passes do not support", where=graph.name
            )
        self._moved = opset > graph.opsets.get("", 1)
        graph = upgraded(graph, min(opset, OPSET))
        self.graph = graph
        weights = graph.initializers if initializers is None else initializers
        empty = replace(
            graph,
            ops=(),
            outputs=(),
            initializers=weights,
            opsets={**graph.opsets, "": max(opset, graph.opsets.get("", 1))},
            tensors={
                **{name: graph.type_of(name) for name in graph.inputs},
                **{name: init.type for name, init in weights.items()},
            },
        )
        self.g = Builder.on(empty)
        self._now: dict[str, str] = {}

    def run(self, rewrite: Rewrite) -> Graph:
        """The new graph; its outputs keep their names, and their order."""
        for op in self.graph.ops:
            rewrite(self, op)
        outputs = [self.tensor(name) for name in self.graph.outputs]
        return _pruned(self.g.build(*outputs))

    def tensor(self, name: str) -> Tensor:
        """The new tensor that replaces an old one."""
        return self.g.tensor(self._now.get(name, name))

    def inputs(self, op: Op) -> list[Tensor | None]:
        """The new tensors that replace an operator's inputs; None for an omitted input."""
        return [self.tensor(name) if name else None for name in op.inputs]

    def rename(self, old: str, new: Tensor) -> None:
        """Make readers of `old` read `new` from now on."""
        self._now[old] = new.name

    def keep(self, op: Op, inputs: list[Tensor | None] | None = None) -> None:
        """Append the operator unchanged, on its replaced inputs or on those given."""
        taken = self.inputs(op) if inputs is None else inputs
        names = tuple(t.name if t else "" for t in taken)
        self.g.append(replace(op, inputs=names), self._same_types(op, taken))

    def _same_types(self, op: Op, taken: list[Tensor | None]) -> list[TensorType] | None:
        """Types of its outputs, if its inputs are unchanged or have the same types; else None."""
        if len(taken) != len(op.inputs) or self._moved:
            return None
        for name, new in zip(op.inputs, taken, strict=True):
            if new is None or not name:
                if new is not None or name:
                    return None
                continue
            if new.type != self.graph.type_of(name):
                return None
            if new.name != name and not new.type.dtype.startswith(("float", "bfloat")):
                return None  # sizes may depend on its values
        types = [self.graph.tensors.get(name) for name in op.outputs]
        known = [t for t in types if t is not None and t.shape is not None]
        return known if len(known) == len(types) else None


def _pruned(graph: Graph) -> Graph:
    """The graph without weights that are no longer read."""
    read = {name for op in graph.ops for name in op.inputs} | set(graph.outputs)
    kept = {name: init for name, init in graph.initializers.items() if name in read}
    gone = set(graph.initializers) - set(kept)
    tensors = {name: type_ for name, type_ in graph.tensors.items() if name not in gone}
    return replace(graph, initializers=kept, tensors=tensors)
