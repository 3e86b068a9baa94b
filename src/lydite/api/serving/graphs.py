"""Graphs of a deployment's ranks."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from lydite.api.load import for_ranks, resolve
from lydite.api.options import ModelOptions
from lydite.serving.layout import Part

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer
    from lydite.graph import Graph


def graph_of(kept: Deployer, phase: str, part: Part, count: int, context: int) -> Graph:
    """The graph of a step on a rank, as the runtime fuses it.

    Args:
        kept: The deployment.
        phase: "decode" or "prefill".
        part: Replica that the rank is of.
        count: Sequences that decode, or tokens of a prompt.
        context: Tokens before these.

    Raises:
        InputError: the model cannot be divided.
    """
    from lydite.cluster import tensor_parallel
    from lydite.estimate.runtimes import RUNTIMES, fuse_for_runtime
    from lydite.graph.passes import with_weights

    decode = phase == "decode"
    sizes = {"batch": count if decode else 1, "sequence": None if decode else count}
    said = {f.name: getattr(kept.shape, f.name) for f in fields(ModelOptions)}
    said |= {"phase": phase, "context": context, **sizes}
    shape = for_ranks(kept.model, ModelOptions(**said), part.tp)
    made = resolve(kept.model, shape, kept.device)
    kept.label, kept.dtype = made.name, made.dtype
    kept.packed = _packed(made.graph)
    graph = made.graph
    if kept.options.weights is not None:
        graph = with_weights(graph, kept.options.weights)
    graph = tensor_parallel(graph, part.tp)
    return fuse_for_runtime(graph, RUNTIMES[kept.runtime.name])


def _packed(graph: Graph) -> str:
    """What weights of few bits are stored as, if a model's config states them; else nothing."""
    op = next((op for op in graph.ops if op.op_type == "MatMulNBits"), None)
    if op is None:
        return ""
    dtype = graph.type_of(op.inputs[1]).dtype
    return f"{op.attrs.get('bits', 4)} bits" if dtype == "uint8" else dtype
