"""Writes the operators of a graph and of its bodies one behind the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lydite.graph.graph import Graph, Initializer, Op, outer_names
from lydite.graph.passes.flow.choices import Choices
from lydite.graph.passes.flow.iterations import Iterations, fits
from lydite.graph.passes.flow.made import INSIDE, InLine, OpenBody, with_macs
from lydite.graph.shapes.control import typed
from lydite.graph.shapes.functions import inlined, is_function_call
from lydite.graph.shapes.given import renamed_inside
from lydite.graph.shapes.propagate import Values
from lydite.graph.work import body_runs
from lydite.opkey import TensorType


class Writer:
    """Writes the operators of a graph and of its bodies one behind the other."""

    def __init__(self, graph: Graph, choices: Choices) -> None:
        self.graph, self.choices = graph, choices
        self.opset = graph.opsets.get("", 1)
        self.ops: dict[str, Op] = {}
        self.weights = dict(graph.initializers)
        self.tensors = {name: graph.type_of(name) for name in (*graph.inputs, *self.weights)}
        known = {k: i.value for k, i in self.weights.items() if i.value is not None}
        self.values = Values(known, self.opset)
        self.times: dict[str, int] = {}
        self.open: list[OpenBody] = []
        self.views: set[str] = set()

    def written(self) -> InLine:
        """All operators of the graph in line."""
        now: dict[str, str] = {}
        self._write(self.graph, now, "", "")
        outputs = tuple(dict.fromkeys(now.get(name, name) for name in self.graph.outputs))
        ops = tuple(self.ops.values())
        rest: dict[str, Any] = {"tensors": self.tensors, "initializers": self.weights}
        if not any(is_function_call(op, self.graph) for op in ops):
            rest["functions"] = ()
        whole = replace(self.graph, ops=ops, outputs=outputs, **rest)
        made = InLine(whole, self.times, (), frozenset(self.views))
        return replace(made, open=tuple(with_macs(each, made) for each in self.open))

    def _write(self, graph: Graph, now: dict[str, str], copy: str, body: str) -> None:
        """Append the operators of a graph.

        Args:
            graph: The whole graph or a body.
            now: Tensors as written, by their names in the graph; those that are not in it have
                kept theirs. Grows.
            copy: Prefix of the names of operators and tensors.
            body: Prefix that all copies of a body have in common, for its constants.
        """
        for op in graph.ops:
            if op.qualified_type in ("If", "Loop", "Scan"):
                self._control(op, graph, now, copy, body)
            elif is_function_call(op, self.graph):
                self._function(op, graph, now, copy, body)
            else:
                prefix = body if op.qualified_type == "Constant" else copy
                self._keep(op, graph, now, prefix)

    def _keep(self, op: Op, graph: Graph, now: dict[str, str], prefix: str) -> None:
        """Append an operator; its outputs' types are inferred again if its inputs' have changed."""
        before = graph.input_types(op)
        if op.subgraphs:
            moved = {n: now[n] for n in outer_names(op) if now.get(n, n) != n}
            op = renamed_inside(op, moved)
        inputs = tuple(now.get(name, name) for name in op.inputs)
        outputs = tuple(name and prefix + name for name in op.outputs)
        now |= {old: new for old, new in zip(op.outputs, outputs, strict=True) if old}
        name = prefix + op.name
        if name in self.ops:
            return  # a constant of a body that has been written already
        old_types = [graph.type_of(each) if each else None for each in op.outputs]
        op = replace(op, name=name, inputs=inputs, outputs=outputs)
        types = [self.tensors.get(each) if each else None for each in inputs]
        if types != before or not all(t is None or t.is_static for t in old_types):
            op, found = typed(op, self.tensors, self.values, self.graph.opsets)
            pairs = zip(old_types, found, strict=True)
            old_types = [new if new.shape is not None else old for old, new in pairs]
        self._append(op, old_types)

    def _append(self, op: Op, types: Sequence[TensorType | None]) -> None:
        self.ops[op.name] = op
        pairs = zip(op.outputs, types, strict=True)
        self.tensors |= {name: type_ for name, type_ in pairs if name and type_ is not None}
        self.values.record(op, self.tensors)

    def _function(self, op: Op, graph: Graph, now: dict[str, str], copy: str, body: str) -> None:
        """A call of a model-local function, whose tensors have the names of the call's."""
        visible, values = self._seen(op, now)
        inside = inlined(op, visible, values, self.graph)
        if inside is None:
            self._keep(op, graph, now, copy)
            return
        ends = self.body(inside, now, {}, copy + op.name, body + op.name)
        now |= {name: end for name, end in zip(filter(None, op.outputs), ends, strict=True)}

    def _control(self, op: Op, graph: Graph, now: dict[str, str], copy: str, body: str) -> None:
        visible, values = self._seen(op, now)
        op, types = typed(op, visible, values, self.graph.opsets)
        constants = {
            name: Initializer(type_, value=value)
            for name, type_ in visible.items()
            if (value := values.get(name)) is not None
        }
        around = replace(
            graph,
            ops=(),
            inputs=(),
            outputs=(),
            tensors=visible,
            initializers=constants,
            outer=frozenset(visible.keys() - constants.keys()),
        )
        runs = body_runs(op, around)
        bodies = runs.bodies if runs is not None else ()
        if runs is None or not bodies or not all(fits(op, each) for each in bodies):
            self._keep(op, graph, now, copy)
            return
        if op.op_type == "If":
            self._if(op, bodies, now, copy, body)
        else:
            loop = Iterations(self, op, types, now, copy, body)
            loop.write(bodies[0], runs.times)

    def _seen(self, op: Op, now: Mapping[str, str]) -> tuple[dict[str, TensorType], Values]:
        """Types and known values of what an operator and its bodies read, by their names there."""
        names = [name for name in dict.fromkeys((*op.inputs, *sorted(outer_names(op)))) if name]
        written = {name: now.get(name, name) for name in names}
        known = {name: self.values.get(full) for name, full in written.items()}
        visible = {n: self.tensors[full] for n, full in written.items() if full in self.tensors}
        return visible, Values({n: v for n, v in known.items() if v is not None}, self.opset)

    def _if(
        self, op: Op, branches: Sequence[Graph], now: dict[str, str], copy: str, body: str
    ) -> None:
        number = 0
        if len(branches) > 1:
            number, why = self.choices.take([self._alone(each, op, now) for each in branches])
            if why:
                self.open.append(OpenBody(copy + op.name, op.op_type, why))
        ends = self.body(branches[number], now, {}, copy + op.name, body + op.name)
        now |= dict(zip(op.outputs, ends, strict=False))

    def _alone(self, branch: Graph, op: Op, now: Mapping[str, str]) -> Graph:
        """A branch as a graph of its own, which reads what is around it as inputs and weights."""
        outer = {name: now.get(name, name) for name in sorted(branch.outer)}
        weights = {n: self.weights[full] for n, full in outer.items() if full in self.weights}
        for name, full in outer.items():
            value = self.values.get(full)
            if value is not None:
                weights.setdefault(name, Initializer(self.tensors[full], value=value))
        return replace(
            branch,
            name=f"{self.graph.name}: {op.name}",
            inputs=(*branch.inputs, *(name for name in outer if name not in weights)),
            initializers={**branch.initializers, **weights},
            outer=frozenset(),
            functions=self.graph.functions,
        )

    def body(
        self, inside: Graph, now: Mapping[str, str], inputs: Mapping[str, str], copy: str, body: str
    ) -> list[str]:
        """Append a copy of a body.

        Args:
            inside: The body.
            now: Names of the tensors around it.
            inputs: Tensor that is each of its inputs.
            copy, body: Name of this copy, and of the body.

        Returns:
            The tensors that are its outputs.
        """
        inner = {**now, **inputs}
        for name, weight in inside.initializers.items():
            inner[name] = self.weight(f"{body}{INSIDE}{name}", weight)
        self._write(inside, inner, copy + INSIDE, body + INSIDE)
        return [inner.get(name, name) for name in inside.outputs]

    def weight(self, name: str, weight: Initializer) -> str:
        """Add a weight, unless it is there already; returns its name."""
        if name not in self.weights:
            self.weights[name], self.tensors[name] = weight, weight.type
            if weight.value is not None:
                self.values.learn(name, weight.value)
        return name

    def view(self, name: str, of: str, type_: TensorType) -> str:
        """A part of a tensor, or a whole of parts, which moves nothing; returns its name."""
        self.views.add(name)
        self._append(Op(name, "Identity", (of,), (name,)), [type_])
        return name
