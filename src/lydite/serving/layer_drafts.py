"""Drafts of a layer of the model's own shape: multi-token prediction, and EAGLE.

DeepSeek-V3's multi-token prediction (arXiv 2412.19437, 2.2) joins the hidden state of a token with
the embedding of the next one, brings both to the width of the model by one product, and runs one
layer of the model and the head. EAGLE (Li et al., ICML 2024) does the same with a layer of its own
training. Embedding and head are the model's; as in vLLM, the product is whole on every rank
(`eh_proj` and `fc`), and further tokens are drafted by running the layer again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.errors import InputError
from lydite.graph import Graph, OpKey
from lydite.opkey import Operand, TensorType
from lydite.serving.lora import Seconds
from lydite.serving.template import head_ops
from lydite.serving.times import StepTimes

JOINED = 2
"""Vectors of the model's width that are joined: a hidden state and an embedding."""


def layer_of(graph: Graph) -> set[str]:
    """Names of the operators of one layer, and of the head.

    They lie behind the last attention but one, up to the last: the second part of a layer and the
    first part of the next.

    Raises:
        InputError: the model has fewer than two layers with attention.
    """
    places = [number for number, op in enumerate(graph.ops) if "Attention" in op.op_type]
    if len(places) < 2:
        raise InputError("a layer cannot be told apart: fewer than two have attention")
    layer = {op.name for op in graph.ops[places[-2] + 1 : places[-1] + 1]}
    return layer | head_ops(graph)


def layer_bytes(graph: Graph) -> float:
    """Bytes that a rank holds for drafts: a layer, and the product before it.

    Args:
        graph: A decoding step on the rank.
    """
    names, head, parameters = layer_of(graph), head_ops(graph), set(graph.parameters)
    own = {
        name
        for op in graph.ops
        if op.name in names - head
        for name in op.inputs
        if name in parameters
    }
    width, dtype = _hidden(graph)
    joined = TensorType(dtype, (JOINED * width, width)).nbytes or 0
    return float(joined + sum(graph.type_of(name).nbytes or 0 for name in own))


def layers_of(graph: Graph) -> int:
    """Number of layers that keep something of earlier tokens: a KV cache or a state."""
    return sum("Attention" in op.op_type or op.op_type == "SelectiveScan" for op in graph.ops)


def with_product(times: StepTimes, graph: Graph, seconds: Seconds) -> StepTimes:
    """Step times of a layer with those of the product before it."""
    width, dtype = _hidden(graph)
    most = len(times.dense_s) - 1
    grid = np.unique([1, *(2**i for i in range(most.bit_length())), most])
    weight = Operand(TensorType(dtype, (JOINED * width, width)), const=True)
    keys = [
        OpKey(
            "MatMul",
            (Operand(TensorType(dtype, (int(count), JOINED * width))), weight),
            (TensorType(dtype, (int(count), width)),),
            version=13,
        )
        for count in grid
    ]
    added = np.interp(np.arange(most + 1), grid, seconds(keys))
    added[0] = 0.0
    return replace(times, dense_s=times.dense_s + added)


def _hidden(graph: Graph) -> tuple[int, str]:
    """Width of the model, and the type of its hidden states."""
    head = head_ops(graph)
    op = next(
        op
        for op in reversed(graph.ops)
        if op.name in head and any(name in graph.initializers for name in op.inputs[1:])
    )
    x = graph.type_of(op.inputs[0])
    return int((x.shape or (1,))[-1]), x.dtype
