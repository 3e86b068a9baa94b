"""Operator fusion as runtimes do it, for devices whose runtime is not installed.

In this order: batch normalisation into convolutions; attention written as products and a softmax
into one operator; operators between quantised tensors into eight-bit kernels; an addition before a
normalisation into it; bias and activation into convolutions and products. Fused operators have the
names that ONNX Runtime gives them (domain "com.microsoft").
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.graph.graph import Graph, Op
from lydite.graph.passes.attention import with_attention
from lydite.graph.passes.eight_bits import with_eight_bits
from lydite.graph.passes.fold import folded
from lydite.graph.passes.rewrite import Rewriter

FUSED = "com.microsoft"

_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip")
"""Activations that are fused into convolutions and products."""

_NORMS = {
    "LayerNormalization": "SkipLayerNormalization",
    "RMSNormalization": "SkipSimplifiedLayerNormalization",
}


def fused(graph: Graph) -> Graph:
    """The graph after fusion; it computes the same.

    Raises:
        GraphError: the graph has control flow.
    """
    for fuse in (folded, with_attention, with_eight_bits, _with_skips, _with_activations):
        graph = fuse(graph)
    return graph


def only_reader(graph: Graph, name: str) -> Op | None:
    """The single operator that reads a tensor, unless the tensor is a graph output; else None."""
    readers = graph.consumers.get(name, [])
    alone = len(readers) == 1 and name not in graph.outputs
    return readers[0] if alone and readers[0].inputs.count(name) == 1 else None


def _with_activations(graph: Graph) -> Graph:
    """Fuse Conv (+ residual) + activation, Gemm + activation, bias + Gelu."""
    taken: dict[str, list[Op]] = {}
    gone: set[str] = set()
    for op in graph.ops:
        chain = (
            _followers(graph, op)
            if op.qualified_type in ("Conv", "Gemm")
            else (_bias_gelu(graph, op))
        )
        if chain and not any(follower.name in gone for follower in chain):
            taken[op.name] = chain
            gone.update(follower.name for follower in chain)
    if not taken:
        return graph
    last = {chain[-1].name: op for op in graph.ops if (chain := taken.get(op.name))}

    def rewrite(new: Rewriter, op: Op) -> None:
        head = last.get(op.name)
        if head is not None:
            _emit(new, head, taken[head.name])
        elif op.name not in taken and op.name not in gone:
            new.keep(op)

    return Rewriter(graph).run(rewrite)


def _followers(graph: Graph, op: Op) -> list[Op]:
    """The residual addition and the activation after a product that can be fused into it."""
    chain: list[Op] = []
    follower = only_reader(graph, op.outputs[0])
    if op.op_type == "Conv" and follower is not None and follower.qualified_type == "Add":
        same = {str(t) for t in graph.input_types(follower)}
        behind = only_reader(graph, follower.outputs[0])
        if len(same) == 1 and behind is not None and behind.qualified_type in _ACTIVATIONS:
            chain, follower = [follower], behind
    if follower is None or follower.qualified_type not in _ACTIVATIONS:
        return []
    return [*chain, follower] if _parameters(graph, follower) is not None else []


def _parameters(graph: Graph, activation: Op) -> list[float] | None:
    """An activation's parameters in the order in which fused operators list them."""
    attrs: dict[str, Any] = dict(activation.attrs)
    if activation.op_type == "LeakyRelu":
        return [attrs.get("alpha", 0.01)]
    if activation.op_type == "HardSigmoid":
        return [attrs.get("alpha", 0.2), attrs.get("beta", 0.5)]
    if activation.op_type != "Clip":
        return []
    bounds = [graph.constant(name) for name in activation.inputs[1:3] if name]
    if len(bounds) < 2 or any(bound is None for bound in bounds):
        return None
    return [float(bound.item()) for bound in bounds if bound is not None]


def _bias_gelu(graph: Graph, op: Op) -> list[Op]:
    """The addition of a vector and the Gelu after it, or an empty list."""
    if op.qualified_type != "Add" or len(graph.type_of(op.inputs[1]).shape or ()) != 1:
        return []
    follower = only_reader(graph, op.outputs[0])
    plain = follower is not None and follower.qualified_type == "Gelu" and not follower.attrs
    return [follower] if plain and follower is not None else []


def _emit(new: Rewriter, head: Op, chain: list[Op]) -> None:
    last = chain[-1]
    if head.op_type == "Add":
        _put(new, "BiasGelu", head, list(head.inputs), last, {})
        return
    inputs = list(head.inputs)
    if len(chain) == 2:  # the other operand of the residual addition is the fourth input
        other = next(name for name in chain[0].inputs if name != head.outputs[0])
        inputs = [*inputs, *[""] * (3 - len(inputs)), other]
    attrs: dict[str, Any] = {**head.attrs, "activation": last.op_type}
    numbers = _parameters(new.graph, last)
    if numbers:
        attrs["activation_params"] = tuple(numbers)
    _put(new, f"Fused{head.op_type}", head, inputs, last, attrs)


def _put(
    new: Rewriter, op_type: str, head: Op, inputs: list[str], last: Op, attrs: dict[str, Any]
) -> None:
    made = replace(
        head, op_type=op_type, domain=FUSED, inputs=tuple(inputs), outputs=last.outputs, attrs=attrs
    )
    new.g.allow(FUSED)
    new.keep(made)


def _with_skips(graph: Graph) -> Graph:
    """Fuse Add and a normalisation over the last axis; the sum is an output if it is read."""
    pairs: dict[str, Op] = {}
    for op in graph.ops:
        norm = _norm_behind(graph, op)
        if norm is not None:
            pairs[norm.name] = op
    gone = {op.name for op in pairs.values()}
    if not pairs:
        return graph

    def rewrite(new: Rewriter, op: Op) -> None:
        if op.name in pairs:
            _skip(new, pairs[op.name], op)
        elif op.name not in gone:
            new.keep(op)

    return Rewriter(graph).run(rewrite)


def _norm_behind(graph: Graph, op: Op) -> Op | None:
    """The normalisation that alone reads the sum of two tensors of the same type, else None."""
    if op.qualified_type != "Add" or len({str(t) for t in graph.input_types(op)}) != 1:
        return None
    if len(graph.type_of(op.outputs[0]).shape or ()) != 3 or op.outputs[0] in graph.outputs:
        return None
    readers = graph.consumers.get(op.outputs[0], [])
    norms = [r for r in readers if r.qualified_type in _NORMS and r.inputs[0] == op.outputs[0]]
    if (
        len(norms) != 1
        or readers[0] is not norms[0]
        or norms[0].attrs.get("axis", -1) not in (-1, 2)
    ):
        return None
    return norms[0] if len(norms[0].outputs) == 1 else None


def _skip(new: Rewriter, add: Op, norm: Op) -> None:
    read_later = len(new.graph.consumers[add.outputs[0]]) > 1
    outputs = (*norm.outputs, "", "", add.outputs[0]) if read_later else norm.outputs
    new.g.allow(FUSED)
    new.keep(
        replace(
            norm,
            op_type=_NORMS[norm.op_type],
            domain=FUSED,
            outputs=outputs,
            inputs=(*add.inputs, *norm.inputs[1:]),
            attrs={"epsilon": norm.attrs.get("epsilon", 1e-5)},
        )
    )
