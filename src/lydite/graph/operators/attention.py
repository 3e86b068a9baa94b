"""Attention: scores, softmax and the weighted sum; some operators include projections.

For B samples, H heads, S queries, T keys and head sizes D (keys) and E (values):
2 B H S T D for the scores, 2 B H S T E for the sum, and per score a scaling, a softmax, and one
addition if there is a mask or bias. A causal mask does not lower the count: most kernels compute
all scores, and PyTorch's FlopCounterMode counts so too. Scores are not written to memory.
"""

from __future__ import annotations

import math

from lydite.graph.operators import products, split_heads
from lydite.graph.operators.call import FUNCTION, Call, Cost, NotKnownError, WorkRule, at, nbytes
from lydite.graph.operators.gradients import sequence as gradients
from lydite.graph.operators.gradients import states
from lydite.graph.operators.missing import (
    NOT_IN_TORCH,
    WHOLE,
    final,
    no_array,
    runtimes,
    usual,
)
from lydite.graph.operators.operator import SAVED_FORM, Family, Operator, Saving
from lydite.graph.operators.reduce import SOFTMAX
from lydite.graph.operators.typing.contrib import (
    attention,
    group_query_attention,
    like,
    multi_head_attention,
)

ROTARY = 3  # per element: two multiplications and an addition


def scores_flops(pairs: float, key: float, value: float, extra: float = 0) -> float:
    """FLOPs of attention over `pairs` query-key pairs (all heads and samples)."""
    return pairs * (2 * key + 2 * value + 1 + SOFTMAX + extra)


def heads_of(call: Call, index: int, count: int) -> tuple[int, int, int, int]:
    """Batch size, heads, length and head size of an input [B, H, L, D] or [B, L, H * D]."""
    dims = call.shape(index)
    if len(dims) == 4:
        return dims[0], dims[1], dims[2], dims[3]
    if len(dims) != 3 or not count:
        raise NotKnownError
    return dims[0], count, dims[1], dims[2] // count


def _past_length(call: Call, index: int) -> int:
    """Number of cached keys: P of an input [B, H, P, D]."""
    return call.shape(index)[2] if call.has(index) else 0


def attention_work(call: Call) -> Cost:
    """ONNX's Attention: query, key, value, mask, past key, past value.

    Of the returned keys and values only the new ones are written, appended to the cached ones.
    """
    heads = call.integer("q_num_heads", 0)
    batch, heads, queries, key_size = heads_of(call, 0, heads)
    _, _, keys, value_size = heads_of(call, 2, call.integer("kv_num_heads", 0))
    keys += _past_length(call, 4)
    capped = FUNCTION + 2 if call.number("softcap", 0) else 0
    pairs = batch * heads * queries * min(keys, call.integer("window", keys))
    written = nbytes(call.outs[0]) + (call.bytes_of(1, 2) if len(call.outs) > 1 else 0)
    flops = scores_flops(pairs, key_size, value_size, call.has(3) + capped)
    return Cost(flops, written=written)


def _flex(call: Call) -> Cost:
    """FlexAttention; the work of user-defined score functions is not in the key, hence unknown."""
    if "score_mod" in call.attrs or "prob_mod" in call.attrs:
        raise NotKnownError
    batch, heads, queries, key_size = heads_of(call, 0, 0)
    _, _, keys, value_size = heads_of(call, 2, 0)
    return Cost(scores_flops(batch * heads * queries * keys, key_size, value_size))


def _projected(weight: int, bias: int, past: int, biases: int) -> WorkRule:
    """ONNX Runtime's Attention, which first computes query, key and value in one product."""

    def rule(call: Call) -> Cost:
        batch, queries, width = call.shape(0)
        total = at(call.shape(weight), -1)
        given = call.attrs.get("qkv_hidden_sizes")
        widths = call.integers("qkv_hidden_sizes") if given else [total // 3] * 3
        keys = queries + (call.shape(past)[3] if call.has(past) else 0)
        projection = batch * queries * total * (2 * width + call.has(bias))
        rotary = ROTARY * batch * queries * 2 * widths[0] if call.integer("do_rotary", 0) else 0
        return Cost(
            projection
            + rotary
            + _all_heads(call, batch, queries, keys, widths[0], widths[2])
            + call.has(biases) * batch * call.integer("num_heads") * queries * keys
        )

    return rule


def _all_heads(
    call: Call, batch: int, queries: int, keys: int, key_width: float, value_width: float
) -> float:
    """FLOPs of scores and weighted sum, given widths summed over all heads."""
    heads = max(1, call.integer("num_heads"))
    return scores_flops(batch * heads * queries * keys, key_width / heads, value_width / heads)


def _multi_head(bias: int, added: int, past: int) -> WorkRule:
    """Query, key and value as separate inputs, or packed into one tensor [B, S, H, 3, D]."""

    def rule(call: Call) -> Cost:
        dims = call.shape(0)
        out = call.out_shape()
        if len(dims) == 5:
            batch, queries, heads, _, size = dims
            key_width, keys = heads * size, queries
        else:
            batch, queries, key_width = dims
            keys = _key_length(call, dims)
        keys += _past_length(call, past)
        flops = _all_heads(call, batch, queries, keys, key_width, out[-1])
        flops += call.has(added) * batch * call.integer("num_heads") * queries * keys
        return Cost(flops + call.has(bias) * sum(call.count(i) for i in range(3)))

    return rule


def _key_length(call: Call, query: tuple[int, ...]) -> int:
    """Length of the keys, which are packed with the values, per head, or a plain sequence."""
    if not call.has(1):
        return query[1]
    dims = call.shape(1)
    return dims[2] if len(dims) == 4 else dims[1]


def _grouped(call: Call) -> Cost:
    """Fewer heads for keys than for queries; the key length is that of the cache after the call."""
    heads, shared = call.integer("num_heads"), call.integer("kv_num_heads")
    batch, queries, width = call.shape(0)
    size = width // (heads if call.has(1) else heads + 2 * shared)
    present = call.out_shape(1) if len(call.outs) > 1 else None
    keys = present[2] if present else queries + _past_length(call, 3)
    rotated = batch * queries * (heads + shared) * size if call.integer("do_rotary", 0) else 0
    capped = FUNCTION + 2 if call.number("softcap", 0) else 0
    attended = scores_flops(batch * heads * queries * keys, size, size, capped)
    return Cost(attended + ROTARY * rotated)


def _linear(call: Call) -> Cost:
    """Linear attention: a D x E state per head, updated and read once per token."""
    batch, tokens, width = call.shape(0)
    heads, shared = call.integer("q_num_heads"), call.integer("kv_num_heads")
    key = width // max(1, heads)
    value = at(call.shape(2), -1) // max(1, shared)
    flops = batch * tokens * key * value * (shared * state_update(call, key) + heads * 2)
    return Cost(flops + batch * tokens * heads * value)


def state_update(call: Call, key: int) -> float:
    """FLOPs per entry of linear attention's state and token: outer product, decay, delta rule."""
    rule = call.text("update_rule", "gated_delta")
    return 2 + ("gated" in rule) + (2 + 2 / key) * ("delta" in rule)


def _delta_net(call: Call) -> Cost:
    """As `_linear`, for packed sequences; there is one state per value head, [B, H, E, D]."""
    if call.has(6):
        _, heads, value, key = call.shape(6)
        tokens = call.out_count() / max(1, heads * value)
    else:
        key = at(call.shape(0), -1)
        heads, value = call.shape(2)[-2:]
        tokens = math.prod(call.shape(2)[:-2])
    each = key * value * (state_update(call, key) + 2) + value
    return Cost(tokens * heads * each)


def _rotary(cosine: int, sine: int) -> WorkRule:
    """One row of the cosine and one of the sine table is read per token."""

    def rule(call: Call) -> Cost:
        tables = call.bytes_of(cosine, sine)
        row = tables / max(1, math.prod(call.shape(cosine)[:-1]))
        tokens = call.count(0) / max(1, at(call.shape(0), -1))
        others = [i for i in range(len(call.ins)) if i not in (cosine, sine)]
        read = call.bytes_of(*others) + min(tables, tokens * row)
        return Cost(ROTARY * call.count(0), read)

    return rule


_MS = "com.microsoft:"
_standard = Family("attention", usual())
_runtime = Family("attention", runtimes())
_UNFOLDED = no_array("its products depend on how it is cut into blocks")

OPERATORS: tuple[Operator, ...] = (
    _standard.row(
        "Attention",
        attention_work,
        gradient=SAVED_FORM,
        saving=Saving("AttentionTraining", "lydite", 2),
        split=split_heads.attention,
        array=products.attention(),
        precision="low",
    ),
    _standard.row(
        "LinearAttention",
        _linear,
        gradient=states.carried(3),
        split=split_heads.linear_attention,
        array=_UNFOLDED,
        torch=final(NOT_IN_TORCH),
    ),
    _standard.row(
        "RotaryEmbedding",
        _rotary(1, 2),
        gradient=gradients.rotary,
        split=split_heads.rotary,
        fixed_inputs=(1, 4),
    ),
    _standard.row("ai.onnx.preview:FlexAttention", _flex, array=products.attention(past=None)),
    _runtime.row(
        _MS + "Attention",
        _projected(weight=1, bias=2, past=4, biases=5),
        types=attention,
        array=products.packed_attention(1, 4),
    ),
    _runtime.row(
        _MS + "QAttention",
        _projected(weight=1, bias=2, past=8, biases=99),
        types=attention,
        array=products.packed_attention(1, 8),
    ),
    _runtime.row(
        _MS + "MultiHeadAttention",
        _multi_head(bias=3, added=5, past=6),
        types=multi_head_attention,
        array=products.attention(heads="num_heads", past=6),
    ),
    _runtime.row(
        _MS + "DecoderMaskedMultiHeadAttention",
        _multi_head(bias=10, added=4, past=5),
        types=like(0),
        array=products.attention(heads="num_heads", past=5),
    ),
    _runtime.row(
        _MS + "GroupQueryAttention",
        _grouped,
        types=group_query_attention,
        array=products.attention(heads="num_heads", past=3),
    ),
    _runtime.row(_MS + "LinearAttention", _linear, array=_UNFOLDED),
    _runtime.row(_MS + "GatedDeltaNet", _delta_net, array=_UNFOLDED),
    _runtime.row(
        _MS + "RotaryEmbedding",
        _rotary(2, 3),
        types=like(0),
        split=split_heads.rotary,
        fixed_inputs=(2, 4),
    ),
    _runtime.row(_MS + "MRotaryEmbedding", _rotary(2, 3), types=like(0)),
    _runtime.row(
        _MS + "GemmaRotaryEmbedding", lambda call: Cost(ROTARY * call.out_count()), split=WHOLE
    ),
)
