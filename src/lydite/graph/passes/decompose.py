"""Replacement of operators by primitives that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onnx import inliner

from lydite.errors import GraphError
from lydite.graph.attributes import default_attrs
from lydite.graph.graph import Graph
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.onnx_writer import model_to_proto
from lydite.graph.op import Attr, Op
from lydite.graph.operators import decomposes, operator
from lydite.graph.operators.decompositions.call import DecompositionCall
from lydite.graph.passes.rewrite import Rewriter
from lydite.graph.tensor import Tensor


def decomposed(graph: Graph, wanted: Callable[[Op], bool]) -> Graph:
    """The graph with the `wanted` operators replaced by primitives, repeatedly until none is left.

    An operator is replaced by its row's decomposition or by its function body in the ONNX
    standard; one that has neither stays.

    Raises:
        GraphError: the graph has control flow besides a wanted operator.
    """
    for _ in range(_DEEPEST):
        if not any(wanted(op) and decomposes(op.qualified_type) for op in graph.ops):
            return graph
        graph = Rewriter(graph).run(
            lambda new, op: (
                _replace(new, op) if wanted(op) and decomposes(op.qualified_type) else new.keep(op)
            )
        )
    raise GraphError("its operators decompose into each other without end", where=graph.name)


_DEEPEST = 4
"""Deepest chain of decompositions, such as BiasGelu into Gelu into Erf."""


def _replace(new: Rewriter, op: Op) -> None:
    row = operator(op.qualified_type)
    if row is not None and row.decomposition is not None:
        outs = [new.graph.type_of(name) for name in op.outputs if name]
        made = row.decomposition(DecompositionCall(new.g, op, new.inputs(op), outs))
    else:
        made = _from_standard(new, op)
    for name, tensor in zip(op.outputs, made, strict=False):
        if name:
            new.rename(name, tensor)


def _from_standard(new: Rewriter, op: Op) -> list[Tensor]:
    """The function body of the standard, with this operator's attributes."""
    body = standard_body(op, new.graph)
    if any(inner.subgraphs for inner in body.ops):
        raise GraphError(
            "its function body in the standard has control flow",
            where=f"{op.name} ({op.op_type})",
        )
    given = {name: tensor for name, tensor in zip(op.inputs, new.inputs(op), strict=True)}
    made: dict[str, Tensor] = {name: t for name, t in given.items() if t is not None}
    for name, init in body.initializers.items():
        if name not in made:
            made[name] = new.g.declare(f"{op.name}/{name}", init)
    for inner in body.ops:
        renamed = Op(
            f"{op.name}/{inner.name}",
            inner.op_type,
            tuple(made[name].name if name else "" for name in inner.inputs),
            tuple(f"{op.name}/{name}" if name else "" for name in inner.outputs),
            inner.attrs,
            inner.domain,
        )
        made |= dict(zip(inner.outputs, new.g.append(renamed), strict=True))
    return [made[name] for name in op.outputs if name]


def standard_body(op: Op, graph: Graph) -> Graph:
    """The function body that ONNX's schema gives for an operator, as a graph.

    Raises:
        GraphError: the schema has no body for this form of the operator.
    """
    names = tuple(name for name in dict.fromkeys(op.inputs) if name)
    alone = Graph(
        name=op.name,
        ops=(replace(op, attrs={**_defaults(op, graph), **op.attrs}),),
        tensors={n: graph.type_of(n) for n in (*names, *op.outputs) if n},
        inputs=names,
        outputs=tuple(n for n in op.outputs if n),
        opsets=graph.opsets,
    )
    try:
        model = inliner.inline_selected_functions(
            model_to_proto(alone),
            [(op.domain, op.op_type)],
            exclude=False,
            inline_schema_functions=True,
        )
    except RuntimeError as error:
        raise GraphError(
            f"ONNX cannot write its function body: {str(error).splitlines()[-1]}",
            where=f"{op.name} ({op.op_type})",
        ) from error
    body = graph_from_model(model, where=op.name)
    if any(inner.qualified_type == op.qualified_type for inner in body.ops):
        raise GraphError("ONNX has no function body for it", where=f"{op.name} ({op.op_type})")
    return body


def _defaults(op: Op, graph: Graph) -> dict[str, Attr]:
    """Default values of omitted attributes, which ONNX's inliner does not fill in."""
    return default_attrs(op.op_type, op.domain, graph.opsets.get(op.domain, 1))
