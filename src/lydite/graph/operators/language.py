"""Operators of language models that ONNX has no name for: latent attention, scans, experts."""

from __future__ import annotations

import math

from lydite.graph.op import Op
from lydite.graph.operators import split
from lydite.graph.operators.attention import scores_flops
from lydite.graph.operators.call import Call, Cost, nbytes
from lydite.graph.operators.gradients import states
from lydite.graph.operators.missing import no_array, no_gradient, no_torch
from lydite.graph.operators.operator import Family, Operator
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.graph.operators.typing.contrib import InputTypes, Std
from lydite.opkey import TensorType

_SCAN_FLOPS = 9
"""For an entry of the state and a token, as Mamba counts: the decay's product and exponential, the
input's two products and one addition, the output's product and addition (arXiv:2312.00752)."""


def _whole(op: Op, name: str) -> int:
    value = op.attrs[name]
    assert isinstance(value, int)
    return value


def _lengths(call: Call) -> tuple[int, int, int]:
    """Queries, cached keys, and keys that a query attends to."""
    queries = call.shape(0)[1]
    past = call.shape(2)[2] if call.has(2) else 0
    return queries, past, min(queries + past, call.integer("window", queries + past))


def _latent(call: Call) -> Cost:
    """All heads attend to one shared key, of which the value is the first part.

    Inputs are the query [B, S, H * D], the new keys [B, S, D] and the cached ones [B, 1, P, D].
    """
    heads, value = call.integer("num_heads", 1), call.integer("value_size", 1)
    batch, _, width = call.shape(0)
    queries, past, keys = _lengths(call)
    flops = scores_flops(batch * heads * queries * keys, width // heads, value)
    share = max(0, keys - queries) / past if past else 0
    read = call.bytes_of(0, 1) + share * call.bytes_of(2)
    return Cost(flops, read, nbytes(call.outs[0]) + call.bytes_of(1))


def _latent_types(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """[B, S, H * value size], and the cache [B, 1, P + S, D]."""
    query, key = inputs[0], inputs[1]
    if query is None or key is None or query.shape is None or key.shape is None:
        return [TensorType("", None)] * len(op.outputs)
    batch, queries, width = key.shape
    past = inputs[2] if len(inputs) > 2 else None
    before = past.shape[2] if past is not None and past.shape else 0
    total = before + queries if isinstance(before, int) and isinstance(queries, int) else "keys"
    out = (batch, queries, _whole(op, "num_heads") * _whole(op, "value_size"))
    made = [TensorType(query.dtype, out), TensorType(query.dtype, (batch, 1, total, width))]
    return made[: len(op.outputs)]


def _latent_products(call: Call) -> Products:
    """Every head's query with the one shared key, and its shares with the latents."""
    batch, _, width = call.shape(0)
    heads, value = call.integer("num_heads"), call.integer("value_size")
    queries, _, keys = _lengths(call)
    scores = MatrixProduct(queries * heads, width // heads, keys, batch)
    mixed = MatrixProduct(queries * heads, keys, value, batch)
    return Products((scores, mixed), special_elements=queries * heads * keys * batch)


def _latent_split(call: split.SplitCall) -> split.Split | None:
    """Each rank has some heads, and all of the latents."""
    axis = call.cuts[0]
    if axis is None:
        return None
    heads = call.divided(int(call.attr("num_heads") or 1), "num_heads")
    wanted = (split.Want.KEEP, split.Want.ENTER, *[split.Want.KEEP] * (len(call.op.inputs) - 2))
    return split.Split(wanted, (axis, None), {"num_heads": heads})


def _scan(call: Call) -> Cost:
    """Inputs are x and step [B, S, D], A [D, N], B and C [B, S, N], D [D], state [B, D, N]."""
    entries = call.count(0) * call.shape(2)[1]
    return Cost(_SCAN_FLOPS * entries + 2 * call.count(0))


def _scan_types(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """As x [B, S, D], and the state [B, D, N]."""
    x, decay = inputs[0], inputs[2]
    if x is None or decay is None or x.shape is None or decay.shape is None:
        return [TensorType("", None)] * len(op.outputs)
    state = TensorType(x.dtype, (x.shape[0], *decay.shape))
    return [x, state][: len(op.outputs)]


def _scan_split(call: split.SplitCall) -> split.Split | None:
    """Each rank has some channels, and all of the input and output matrices."""
    axis = call.cuts[0]
    if axis is None:
        return call.kept(*[None] * len(call.outs))
    whole, enter = split.Want.KEEP, split.Want.ENTER
    wanted: tuple[split.Wanted, ...] = (whole, 2, 0, enter, enter, 0)
    state: split.Wanted = split.CutInput(1) if call.has(6) else whole
    return split.Split((*wanted, state)[: len(call.op.inputs)], (axis, 1))


def routing(call: Call) -> tuple[int, int]:
    """Tokens, and how many matrices each goes through."""
    *tokens, chosen = call.shape(1)
    return math.prod(tokens), chosen


def _routed(call: Call) -> Cost:
    """Each token times the matrices that are chosen for it.

    Inputs are x [T, K], or one a choice [T, k, K]; the choices [T, k]; the matrices [E, K, N]. Read
    are, as by com.microsoft:MoE, those that some token chooses.
    """
    tokens, chosen = routing(call)
    number, *sizes = call.shape(2)
    used = 1 - (1 - min(1, chosen / max(1, number))) ** tokens
    read = call.bytes_of(0, 1) + used * call.bytes_of(2)
    return Cost(2 * tokens * chosen * math.prod(sizes), read)


def _routed_types(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """[T, k, N]."""
    x, choices, matrices = inputs[:3]
    if x is None or choices is None or matrices is None:
        return [TensorType("", None)]
    if choices.shape is None or matrices.shape is None:
        return [TensorType(x.dtype, None)]
    return [TensorType(x.dtype, (*choices.shape, matrices.shape[-1]))]


def _routed_products(call: Call) -> Products:
    """Tokens spread evenly over the matrices that are used."""
    tokens, chosen = routing(call)
    number, inner, columns = call.shape(2)
    used = max(1, min(number, tokens * chosen))
    rows = max(1, -(-tokens * chosen // used))
    product = MatrixProduct(rows, inner, columns, used, left=(0,), right=(2,), stored=True)
    return Products((product,))


def _routed_split(call: split.SplitCall) -> split.Split | None:
    """By columns of every matrix where the tokens are whole, by rows where they are split."""
    last = len(call.dims(0)) - 1
    if call.cuts[0] == last:
        wanted = (split.Want.KEEP, split.Want.REPLICATE, 1)
        return split.Split(wanted, (split.Summed.SUM,), product=True)
    return split.Split((split.Want.ENTER, split.Want.REPLICATE, 2), (2,), product=True)


_family = Family(
    "language",
    {
        "precision": "widest",
        "gradient": no_gradient("it is a form for inference; training builds other operators"),
        "torch": no_torch("a kernel of serving systems, which PyTorch does not have"),
    },
)

OPERATORS: tuple[Operator, ...] = (
    _family.row(
        "lydite:LatentAttention",
        _latent,
        types=_latent_types,
        array=_latent_products,
        split=_latent_split,
    ),
    _family.row(
        "lydite:SelectiveScan",
        _scan,
        types=_scan_types,
        array=no_array("a recurrence over tokens, which is neither a product nor a map"),
        split=_scan_split,
        gradient=states.carried(6),
        special=True,
    ),
    _family.row(
        "lydite:MoEMatMul",
        _routed,
        types=_routed_types,
        array=_routed_products,
        split=_routed_split,
        gradient=states.routed,
    ),
)
