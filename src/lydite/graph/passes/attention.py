"""Conversion between attention as one operator and attention as products and a softmax.

    query, key, value: Reshape to heads, Transpose -> MatMul -> Div or Mul -> Add (mask) -> Softmax
    -> MatMul -> Transpose -> Reshape

`with_attention` replaces these by `com.microsoft:MultiHeadAttention` on the tensors before the
reshapes, which then have no reader and are removed. `written_out` does the reverse for the
standard's `Attention`, as it runs without a fused kernel that keeps the scores on the chip.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lydite.errors import GraphError
from lydite.graph.builder import Builder, Tensor
from lydite.graph.graph import Graph, Op
from lydite.graph.passes.rewrite import Rewriter
from lydite.records import dataclass

_TO_HEADS = (0, 2, 1, 3)
_TO_KEYS = (0, 2, 3, 1)

SPARED = ("/scores", "/masked", "/softmax")
"""Name suffixes of the operators of `written_out` whose results are [..., queries, keys]."""
REPEATED = (*SPARED, "/context")
"""Name suffixes of those that selective recomputation repeats (arXiv:2205.05198, section 5)."""


@dataclass(frozen=True)
class _Match:
    """A matched attention: its last operator, and the inputs of the fused one."""

    end: Op
    query: str
    key: str
    value: str
    mask: str
    heads: int
    scale: float


def with_attention(graph: Graph) -> Graph:
    """The graph with `com.microsoft:MultiHeadAttention` in place of written-out attention."""
    matches = {
        match.end.name: match
        for op in graph.ops
        if op.qualified_type == "Softmax" and (match := _match(graph, op)) is not None
    }
    if not matches:
        return graph

    masks: dict[str, str] = {}

    def rewrite(new: Rewriter, op: Op) -> None:
        match = matches.get(op.name)
        if match is None:
            new.keep(op)
            return
        new.g.allow("com.microsoft")
        if match.mask and match.mask not in masks:
            masks[match.mask] = _every_query(new, match)
        mask = ("", "", masks[match.mask]) if match.mask else ()
        inputs = (match.query, match.key, match.value, *mask)
        attrs = {"num_heads": match.heads, "scale": match.scale}
        domain, op_type = "com.microsoft", "MultiHeadAttention"
        new.keep(replace(op, op_type=op_type, domain=domain, inputs=inputs, attrs=attrs))

    return without_dead(Rewriter(graph).run(rewrite))


def _every_query(new: Rewriter, match: _Match) -> str:
    """The mask with a row for each query, as the fused operator requires."""
    mask = new.tensor(match.mask)
    queries = new.tensor(match.query).shape[1]
    if mask.shape[2] == queries:
        return mask.name
    if not all(isinstance(size, int) for size in (*mask.shape, queries)):
        raise GraphError(
            "symbolic sizes are not bound",
            where=f"{new.graph.name}: {match.mask}",
            hint="add --dim NAME=SIZE",
        )
    shape = new.g.constant([*mask.shape[:2], queries, mask.shape[3]], "shape")
    return new.g.op("Expand", mask, shape, name=f"{match.mask}/rows").name


def without_dead(graph: Graph) -> Graph:
    """The graph without operators whose outputs are not read."""
    read = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if any(name in read for name in op.outputs):
            kept.append(op)
            read.update(op.inputs)
    alive = {*read, *graph.inputs, *(name for op in kept for name in op.outputs)}
    return replace(
        graph,
        ops=tuple(reversed(kept)),
        initializers={k: v for k, v in graph.initializers.items() if k in read},
        tensors={k: v for k, v in graph.tensors.items() if k in alive},
    )


def _match(graph: Graph, softmax: Op) -> _Match | None:
    rank = len(graph.type_of(softmax.inputs[0]).shape or ())
    if rank != 4 or softmax.attrs.get("axis", -1) not in (-1, 3):
        return None
    scores, scale, mask = _scores(graph, softmax.inputs[0])
    mixed = _reader(graph, softmax.outputs[0], "MatMul")
    if scores is None or mixed is None or mixed.inputs[0] != softmax.outputs[0]:
        return None
    back = _reader(graph, mixed.outputs[0], "Transpose")
    flat = _reader(graph, back.outputs[0], "Reshape") if back is not None else None
    if back is None or flat is None or tuple(_ints(back, "perm")) != _TO_HEADS:
        return None
    operands = [
        _before_heads(graph, name, perm)
        for name, perm in zip(
            (*scores.inputs, mixed.inputs[1]), (_TO_HEADS, _TO_KEYS, _TO_HEADS), strict=True
        )
    ]
    shape = graph.type_of(scores.inputs[0]).shape
    if None in operands or shape is None or not isinstance(shape[1], int):
        return None
    query, key, value = (name or "" for name in operands)
    return _Match(flat, query, key, value, mask, shape[1], scale)


def _scores(graph: Graph, name: str) -> tuple[Op | None, float, str]:
    """The product of query and key, its scale, and the mask that is added to it."""
    op, mask, scale = graph.producers.get(name), "", 1.0
    if op is not None and op.qualified_type == "Add":
        fits = [len(graph.type_of(n).shape or ()) == 4 for n in op.inputs]
        if all(fits):
            name, mask = op.inputs
            op = graph.producers.get(name)
    if op is not None and op.qualified_type in ("Div", "Mul"):
        factor = graph.constant(op.inputs[1])
        if factor is None or factor.size != 1:
            return None, scale, mask
        scale = float(factor.item()) if op.op_type == "Mul" else 1 / float(factor.item())
        op = graph.producers.get(op.inputs[0])
    return (op if op is not None and op.qualified_type == "MatMul" else None), scale, mask


def _before_heads(graph: Graph, name: str, perm: tuple[int, ...]) -> str | None:
    """The tensor [batch, length, heads x size] that was split into heads."""
    turned = graph.producers.get(name)
    if turned is None or turned.qualified_type != "Transpose" or _ints(turned, "perm") != perm:
        return None
    split = graph.producers.get(turned.inputs[0])
    if split is None or split.qualified_type != "Reshape":
        return None
    before = graph.type_of(split.inputs[0]).shape
    return split.inputs[0] if before is not None and len(before) == 3 else None


def _reader(graph: Graph, name: str, op_type: str) -> Op | None:
    readers = graph.consumers.get(name, [])
    fits = len(readers) == 1 and readers[0].qualified_type == op_type and name not in graph.outputs
    return readers[0] if fits else None


def _ints(op: Op, name: str) -> tuple[int, ...]:
    value = op.attrs.get(name, ())
    return tuple(int(item) for item in value) if isinstance(value, tuple) else ()


def written_out(graph: Graph) -> Graph:
    """The graph with matrix products and a softmax in place of the standard's `Attention`.

    Raises:
        GraphError: an `Attention` has a cache, a mask or capped scores.
    """

    masks: dict[tuple[int, int], Tensor] = {}

    def rewrite(new: Rewriter, op: Op) -> None:
        if op.qualified_type == "Attention":
            _write_out(new, op, masks)
        else:
            new.keep(op)

    return Rewriter(graph).run(rewrite)


def _write_out(new: Rewriter, op: Op, masks: dict[tuple[int, int], Tensor]) -> None:
    """Append products and softmax for query, key, value [batch, length, heads x size]."""
    if (
        any(op.inputs[3:])
        or len([name for name in op.outputs if name]) > 1
        or (op.attrs.get("softcap"))
    ):
        raise GraphError(
            "attention with a cache, a mask or capped scores cannot be written out",
            where=f"{new.graph.name}: {op.name}",
        )
    g, name = new.g, op.name
    query, key, value = (new.tensor(n) for n in op.inputs[:3])
    if len(query.shape) != 3:
        raise GraphError("is not [batch, length, width]", where=f"{new.graph.name}: {op.name}")
    heads, kv_heads = (_count(op, attr) for attr in ("q_num_heads", "kv_num_heads"))
    batch, length, width = (int(dim) for dim in query.shape)
    keys, size = int(key.shape[1]), width // heads
    several = [heads // kv_heads] if heads != kv_heads else []

    def by_heads(x: Tensor, rows: int, group: list[int], last: tuple[int, int], to: str) -> Tensor:
        shape = [
            batch,
            rows,
            kv_heads,
            *group,
            int(x.shape[-1]) // kv_heads // (group[0] if group else 1),
        ]
        axes = (0, 2, *(3 for _ in group), *((1, len(shape) - 1)[i] for i in last))
        sizes = g.constant(shape, f"{name}/{to}/shape")
        split = g.op("Reshape", x, sizes, name=f"{name}/{to}/heads")
        return g.op("Transpose", split, perm=list(axes), name=f"{name}/{to}")

    ones = [1 for _ in several]
    factor: Any = op.attrs.get("scale") or size**-0.5
    scale = g.constant(factor, f"{name}/scale", query.type.dtype)
    scaled = g.op("Mul", query, scale, name=f"{name}/scaled")
    rows = by_heads(scaled, length, several, (0, 1), "query")
    columns = by_heads(key, keys, ones, (1, 0), "key")
    scores = g.op("MatMul", rows, columns, name=f"{name}/scores")
    if op.attrs.get("is_causal"):
        if (length, keys) not in masks:
            masks[length, keys] = _later(g, name, length, keys, query.type.dtype)
        scores = g.op("Add", scores, masks[length, keys], name=f"{name}/masked")
    shares = g.op("Softmax", scores, axis=-1, name=f"{name}/softmax")
    values = by_heads(value, keys, ones, (0, 1), "value")
    mixed = g.op("MatMul", shares, values, name=f"{name}/context")
    back = [0, 2, 1, 3] if not several else [0, 3, 1, 2, 4]
    turned = g.op("Transpose", mixed, perm=back, name=f"{name}/back")
    flat = g.constant([batch, length, heads * int(mixed.shape[-1])], f"{name}/flat/shape")
    new.rename(op.outputs[0], g.op("Reshape", turned, flat, name=f"{name}/flat"))


def _later(g: Builder, name: str, queries: int, keys: int, dtype: str) -> Tensor:
    """Causal mask [queries, keys]: 0, but -1e4 for keys after the query."""
    positions = g.constant(np.arange(queries)[:, None] + keys - queries, f"{name}/queries")
    others = g.constant(np.arange(keys), f"{name}/keys")
    later = g.op("Less", positions, others, name=f"{name}/later")
    far, zero = (g.constant(v, f"{name}/far", dtype) for v in (-1e4, 0))
    return g.op("Where", later, far, zero, name=f"{name}/mask")


def _count(op: Op, attr: str) -> int:
    value: Any = op.attrs.get(attr, 0)
    return int(value)
