"""Operators of a language model's step as functions of tokens and context.

A graph is built a few times with other sizes; each dimension of each operator turns out to be
constant + a * new tokens + b * context, or the smaller of two of these (a window of attention).
Then the operators of any step are written down without building its graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from lydite.errors import InputError
from lydite.graph import Graph, OpKey, keys_of
from lydite.opkey import Dim, TensorType
from lydite.records import dataclass
from lydite.serving.joined import groups_of, together

GraphOf = Callable[[int, int], Graph]
"""The graph of a step by new tokens (or sequences) and context."""
_FEW, _MANY = (13, 29), (2003, 4001)
"""Contexts of the graphs that are built: within every window, and beyond most."""
_TOKENS = (7, 19)
_COLLECTIVE = "lydite"


class _Line(NamedTuple):
    """constant + tokens * new tokens + context * context."""

    constant: int
    tokens: int
    context: int

    def times(self, factor: int) -> _Line:
        return _Line(*(factor * part for part in self))

    def at(self, tokens: int, context: int) -> int:
        return self.constant + self.tokens * tokens + self.context * context


class _Size(NamedTuple):
    """A dimension: the smaller of its line for short and for long contexts."""

    short: _Line
    long: _Line

    def at(self, tokens: int, context: int) -> int:
        return max(1, min(self.short.at(tokens, context), self.long.at(tokens, context)))


@dataclass(frozen=True)
class Pattern:
    """Equal operators of a step.

    Attributes:
        key: The operator at the first sizes.
        shapes: Dimensions of its inputs and outputs; None where a tensor has no shape.
        count: How often it runs.
        contextual: Whether it depends on the context.
        head: Whether it makes the logits.
        collective: Whether it is a message between ranks.
    """

    key: OpKey
    shapes: tuple[tuple[_Size, ...] | None, ...]
    count: int
    contextual: bool
    head: bool
    collective: bool

    def at(self, tokens: int, context: int) -> OpKey:
        """The operator of a step of some new tokens behind a context."""
        types = [_sized(shape, tokens, context) for shape in self.shapes]
        inputs = [
            operand
            if operand.type is None or dims is None
            else replace(operand, type=dims_of(operand.type, dims))
            for operand, dims in zip(self.key.inputs, types, strict=False)
        ]
        outputs = [
            type_ if dims is None or type_ is None else dims_of(type_, dims)
            for type_, dims in zip(self.key.outputs, types[len(self.key.inputs) :], strict=True)
        ]
        return replace(self.key, inputs=tuple(inputs), outputs=tuple(outputs))


_HEADS = ("q_num_heads", "num_heads")


def verifying(pattern: Pattern, tokens: int) -> Pattern:
    """Attention to one new token of each sequence, for some instead.

    Kernels lay the queries of all new tokens that share a head of keys into one tile, as those of
    several heads (FlashAttention's packing for grouped queries): so these are `tokens` times as
    many heads of queries. Other operators stay as they are.
    """
    heads = next((name for name in _HEADS if name in pattern.key.attrs), None)
    first = pattern.key.inputs[0].type if pattern.key.inputs else None
    if first is None or first.shape is None or (heads is None and len(first.shape) != 4):
        return pattern
    axis = 1 if len(first.shape) == 4 else len(first.shape) - 1
    attrs = dict(pattern.key.attrs)
    if heads is not None:
        attrs[heads] = int(attrs[heads]) * tokens
    shapes = list(pattern.shapes)
    for place in (0, len(pattern.key.inputs)):  # the queries, and the output
        dims = shapes[place]
        if dims is not None:
            wider = _Size(dims[axis].short.times(tokens), dims[axis].long.times(tokens))
            shapes[place] = (*dims[:axis], wider, *dims[axis + 1 :])
    return replace(pattern, key=replace(pattern.key, attrs=attrs), shapes=tuple(shapes))


def dims_of(type_: TensorType, dims: tuple[Dim, ...]) -> TensorType:
    """The same type with other dimensions."""
    return TensorType(type_.dtype, dims, type_.layout)


def _sized(shape: tuple[_Size, ...] | None, tokens: int, context: int) -> tuple[Dim, ...] | None:
    return None if shape is None else tuple(size.at(tokens, context) for size in shape)


def patterns(
    graph_of: GraphOf,
    longest: int,
    *,
    as_run: bool = False,
    only: Callable[[Graph], set[str]] | None = None,
) -> list[Pattern]:
    """The operators of a step, equal ones together.

    Args:
        graph_of: The graph of a step by new tokens and context.
        longest: Most tokens that the model can hold.
        as_run: Whether operators that runtimes run as one kernel are one, see
            `lydite.serving.joined`.
        only: Names of a graph's operators that count; None for all.

    Raises:
        InputError: the graph is not of the same operators for all sizes.
    """
    few, many = _FEW, _MANY
    if longest < many[1] + max(_TOKENS):
        many = (longest // 4, longest // 2)
    first, second = _TOKENS
    points = [(first, few[0]), (second, few[0]), (first, few[1])]
    points += [(first, many[0]), (second, many[0]), (first, many[1])]
    graphs = [graph_of(*point) for point in points]
    keys = [keys_of(graph) for graph in graphs]
    groups = groups_of(graphs[0]) if as_run else [[op.name] for op in graphs[0].ops]
    head, there = head_ops(graphs[0]), set(keys[0])
    if only is not None:
        there &= only(graphs[0])
    made: dict[tuple[object, ...], Pattern] = {}
    for group in groups:
        names = [name for name in group if name in there]
        if not names:
            continue
        absent = [name for name in names if any(name not in each for each in keys)]
        if absent:
            raise InputError(f"{absent[0]} is not part of every step", where=graphs[0].name)
        one = _pattern([together([each[name] for name in names]) for each in keys], points)
        one = replace(one, head=names[0] in head)
        identity = (one.key.text, one.shapes, one.head)
        known = made.get(identity)
        made[identity] = one if known is None else replace(known, count=known.count + 1)
    return list(made.values())


def head_ops(graph: Graph) -> set[str]:
    """Names of the operators that make the logits: the last product, and what follows it."""
    makers = {name: op for op in graph.ops for name in op.outputs}
    names: set[str] = set()
    op = makers.get(graph.outputs[0]) if graph.outputs else None
    while op is not None and op.name not in names:
        names.add(op.name)
        if any(name in graph.initializers for name in op.inputs[1:]):
            break
        op = makers.get(op.inputs[0]) if op.inputs else None
    return names


def _pattern(keys: list[OpKey], points: list[tuple[int, int]]) -> Pattern:
    tensors = [[*(operand.type for operand in key.inputs), *key.outputs] for key in keys]
    if len({len(each) for each in tensors}) != 1:
        raise InputError(f"{keys[0].op_type} has other operands for other sizes")
    shapes: list[tuple[_Size, ...] | None] = []
    contextual = False
    for across in zip(*tensors, strict=True):
        dims = [None if t is None or t.shape is None else t.shape for t in across]
        if any(d is None for d in dims) or len({len(d) for d in dims if d is not None}) != 1:
            shapes.append(None)
            continue
        sizes = [
            _size([int(d[axis]) for d in dims if d is not None], points)
            for axis in range(len(dims[0] or ()))
        ]
        contextual = contextual or any(s.short.context or s.long.context for s in sizes)
        shapes.append(tuple(sizes))
    collective = keys[0].domain == _COLLECTIVE
    return Pattern(keys[0], tuple(shapes), 1, contextual, head=False, collective=collective)


def _size(values: list[int], points: list[tuple[int, int]]) -> _Size:
    return _Size(_line(values[:3], points[:3]), _line(values[3:], points[3:]))


def _line(values: list[int], points: list[tuple[int, int]]) -> _Line:
    (tokens, context), (more, _), (_, longer) = points
    by_tokens = (values[1] - values[0]) // (more - tokens)
    by_context = (values[2] - values[0]) // (longer - context)
    return _Line(values[0] - by_tokens * tokens - by_context * context, by_tokens, by_context)
