"""Multiply-adds of a graph: half the FLOPs that PyTorch's FlopCounterMode counts.

Products only, without bias, activation, norm or softmax: convolutions, matrix products, the two
products of attention, the matrices of experts and of recurrent layers. This is the figure that
papers and libraries publish; every operation is in `lydite.graph.total_work`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from lydite.errors import GraphError
from lydite.graph import Graph, Op, total_work

CountedShape: TypeAlias = tuple[int, ...]
Count: TypeAlias = Callable[[Op, Sequence[CountedShape], int], int]
"""Of an operator, its inputs' shapes (empty for one left out) and its first output's elements."""


def multiply_adds(graph: Graph) -> int:
    """Multiply-adds of all products of a graph, those of its bodies once.

    Raises:
        GraphError: a product's sizes are open.
    """
    found = 0
    for op in graph.ops:
        found += sum(multiply_adds(body) for body in op.subgraphs)
        count = _COUNTS.get(op.qualified_type)
        if count is not None:
            shapes = [_shape(graph, name, op) for name in op.inputs]
            found += count(op, shapes, math.prod(_shape(graph, op.outputs[0], op)))
    return found


def figures_of(graph: Graph) -> dict[str, Any]:
    """What a list of models shows of one: parameters, FLOPs, multiply-adds, operators, inputs."""
    return {
        "parameters": graph.parameter_count,
        "flops": total_work(graph).total.flops,
        "multiply_adds": multiply_adds(graph),
        "operators": len(graph.ops),
        "inputs": {name: str(graph.type_of(name)) for name in graph.inputs[:3]},
    }


def _shape(graph: Graph, name: str, op: Op) -> CountedShape:
    if not name:
        return ()
    type_ = graph.type_of(name)
    if type_.shape is None or not type_.is_static:
        raise GraphError(f"the sizes of '{name}' are open", where=f"{op.name} ({op.op_type})")
    return tuple(int(dim) for dim in type_.shape)


def _conv(_: Op, ins: Sequence[CountedShape], out: int) -> int:
    """Every output sums over the input channels of its group and the kernel."""
    return math.prod(ins[1][1:]) * out


def _conv_transpose(_op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    return math.prod(ins[1][1:]) * math.prod(ins[0])


def _matmul(_: Op, ins: Sequence[CountedShape], out: int) -> int:
    return ins[0][-1] * out


def _gemm(op: Op, ins: Sequence[CountedShape], out: int) -> int:
    return ins[0][0 if op.attrs.get("transA") else 1] * out


def _einsum(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Two operands without an ellipsis: the sizes of all their labels."""
    equation = op.attrs["equation"]
    left = str(equation).replace(" ", "").partition("->")[0]
    terms = left.split(",")
    if len(terms) != 2 or "." in left:
        raise GraphError(f"'{equation}' is no product of two", where=f"{op.name} (Einsum)")
    sizes = {
        label: dim
        for term, dims in zip(terms, ins, strict=True)
        for label, dim in zip(term, dims, strict=True)
    }
    return math.prod(sizes.values())


def _attention(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Scores and weighted sum over all pairs, those that a causal mask hides too."""
    query, value = ins[0], ins[2]
    if len(query) == 3:  # [batch, tokens, heads x size]
        heads, shared = _int(op, "q_num_heads"), _int(op, "kv_num_heads")
        query = (query[0], heads, query[1], query[2] // heads)
        value = (value[0], shared, value[1], value[2] // shared)
    past = ins[4][2] if len(ins) > 4 and ins[4] else 0
    keys = min(value[2] + past, _int(op, "window", value[2] + past))
    return math.prod(query[:3]) * keys * (query[3] + value[3])


def _latent_attention(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Every head's query [B, S, H * D] with the one key [B, S, D], and its first part as value."""
    batch, queries, width = ins[0]
    keys = queries + (ins[2][2] if len(ins) > 2 and ins[2] else 0)
    keys = min(keys, _int(op, "window", keys))
    heads, value = _int(op, "num_heads"), _int(op, "value_size")
    return batch * queries * keys * (width + heads * value)


def _linear_attention(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """For each token the outer product of key and value, and the query with the state."""
    batch, tokens, width = ins[0]
    key = width // _int(op, "q_num_heads")
    return batch * tokens * ins[2][2] * key * 2


def _in_blocks(op: Op, _ins: Sequence[CountedShape], out: int) -> int:
    return _int(op, "K") * out


def _packed_experts(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """As `_experts`, with several weights in an element."""
    tokens, bits = math.prod(ins[0][:-1]), _int(op, "expert_weight_bits", 4)
    matrices = (math.prod(ins[i][1:]) for i in (2, 5, 8) if len(ins) > i and ins[i])
    return tokens * _int(op, "k") * sum(matrices) * 8 // bits


def _routed(_op: Op, ins: Sequence[CountedShape], out: int) -> int:
    """Each token times the matrices that are chosen for it."""
    return ins[2][1] * out


def _experts(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Up, down and perhaps gate of the experts that each token goes through."""
    tokens = math.prod(ins[0][:-1])
    matrices = (math.prod(ins[i][1:]) for i in (2, 4, 6) if len(ins) > i and ins[i])
    return tokens * _int(op, "k") * sum(matrices)


def _recurrent(_op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Weights of input and state, once for every step and sample; the first axis is directions."""
    return math.prod(ins[0][:2]) * (math.prod(ins[1]) + math.prod(ins[2]))


def _fused_matmul(op: Op, ins: Sequence[CountedShape], out: int) -> int:
    return ins[0][-2 if op.attrs.get("transA") else -1] * out


def _conv_input_gradient(_op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """dy [N, M, ...] and weight [M, C, ...]."""
    return math.prod(ins[1][1:]) * math.prod(ins[0])


def _conv_weight_gradient(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    shape: Any = op.attrs["shape"]
    return math.prod(shape[1:]) * math.prod(ins[0])


def _attention_gradient(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Scores again, then two products each for value and probabilities, query and key."""
    query, value = ins[0], ins[2]
    if len(query) == 3:
        heads, shared = _int(op, "q_num_heads"), _int(op, "kv_num_heads")
        query = (query[0], heads, query[1], query[2] // heads)
        value = (value[0], shared, value[1], value[2] // shared)
    return math.prod(query[:3]) * value[2] * (3 * query[3] + 2 * value[3])


def _recurrent_input_gradient(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """X, W, R: as many as forward, but for the state before the first step if that is zero."""
    steps, batch = ins[0][:2]
    inside = steps if len(op.outputs) > 2 else steps - 1
    return batch * (steps * math.prod(ins[1]) + inside * math.prod(ins[2]))


def _recurrent_weight_gradient(op: Op, ins: Sequence[CountedShape], _out: int) -> int:
    """Gradients of the gates [steps, directions, batch, ...], X and Y."""
    gates = _GATES[op.op_type.removesuffix("WeightGrad")]
    _, directions, _, hidden = ins[2]
    return math.prod(ins[1][:2]) * directions * gates * hidden * (ins[1][2] + hidden)


def _int(op: Op, name: str, default: int = 1) -> int:
    value: Any = op.attrs.get(name, default)
    return int(value)


_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

_COUNTS: dict[str, Count] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
    "LinearAttention": _linear_attention,
    "com.microsoft:MatMulNBits": _in_blocks,
    "com.microsoft:MoE": _experts,
    "com.microsoft:QMoE": _packed_experts,
    "lydite:LatentAttention": _latent_attention,
    "lydite:MoEMatMul": _routed,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    # what training adds
    "com.microsoft:FusedMatMul": _fused_matmul,
    "lydite:ConvInputGrad": _conv_input_gradient,
    "lydite:ConvWeightGrad": _conv_weight_gradient,
    "lydite:AttentionTraining": _attention,
    "lydite:AttentionGrad": _attention_gradient,
    **{f"lydite:{name}Training": _recurrent for name in _GATES},
    **{f"lydite:{name}InputGrad": _recurrent_input_gradient for name in _GATES},
    **{f"lydite:{name}WeightGrad": _recurrent_weight_gradient for name in _GATES},
}
