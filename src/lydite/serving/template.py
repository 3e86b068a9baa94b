"""Operators of a language model's step as functions of tokens and context.

A graph is built a few times with other sizes; each dimension of each operator turns out to be
constant + a * new tokens + b * context, or the smaller of two of these (a window of attention).
So is the number of keys that a query attends to, where an indexer chooses them; the operators that
choose are part of steps whose contexts are longer than that. Then the operators of any step are
written down without building its graph.
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
_FEW, _MANY = (13, 29), (17001, 29001)
"""Contexts of the graphs that are built: within every window, and beyond most. None is a multiple
of four, nor are they apart by anything else: attention to compressed tokens has the same operators
at all of them."""
_TOKENS = (7, 19)
_COLLECTIVE = "lydite"


class _Line(NamedTuple):
    """constant + tokens * new tokens + context * context."""

    constant: float
    tokens: float
    context: float

    def times(self, factor: int) -> _Line:
        return _Line(*(factor * part for part in self))

    def at(self, tokens: int, context: int) -> int:
        return round(self.constant + self.tokens * tokens + self.context * context)


_ALL = _Line(1 << 40, 0, 0)
"""More keys than there are: a query attends to all of them."""


class _Size(NamedTuple):
    """A dimension: the smaller of its line for short and for long contexts."""

    short: _Line
    long: _Line

    def at(self, tokens: int, context: int) -> int:
        return max(1, min(self.short.at(tokens, context), self.long.at(tokens, context)))

    @property
    def turns(self) -> int:
        """The context from which the line for long ones is the smaller, for one new token."""
        slope = self.short.context - self.long.context
        if self.short is _ALL:
            return int(self.long.constant)
        return int((self.long.at(1, 0) - self.short.at(1, 0)) / slope) if slope > 0 else 0


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
        window: Most keys that a query attends to; None where the operator has no such number.
        contexts: The contexts, from and below, of the steps that have it.
    """

    key: OpKey
    shapes: tuple[tuple[_Size, ...] | None, ...]
    count: int
    contextual: bool
    head: bool
    collective: bool
    window: _Size | None = None
    contexts: tuple[int, int] = (0, 1 << 40)

    def runs(self, context: int) -> bool:
        """Whether steps behind a context have it."""
        return self.contexts[0] <= context < self.contexts[1]

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
        attrs = self.key.attrs
        if self.window is not None:
            attrs = {**attrs, _WINDOW: self.window.at(tokens, context)}
        return replace(self.key, inputs=tuple(inputs), outputs=tuple(outputs), attrs=attrs)


_WINDOW = "window"
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
        many = (_odd(longest // 2), _odd(3 * longest // 4))
    first, second = _TOKENS
    points = [(first, few[0]), (second, few[0]), (first, few[1])]
    points += [(first, many[0]), (second, many[0]), (first, many[1])]
    graphs = [graph_of(*point) for point in points]
    keys = [keys_of(graph) for graph in graphs]
    made: dict[tuple[object, ...], Pattern] = {}
    apart: list[tuple[Pattern, bool]] = []
    for start in (0, 3):  # steps of few tokens, then what only those of many have
        graph, head = graphs[start], head_ops(graphs[start])
        groups = groups_of(graph) if as_run else [[op.name] for op in graph.ops]
        there = set(keys[start]) if start == 0 else set(keys[3]) - set(keys[0])
        there &= only(graph) if only is not None else there
        for group in groups:
            names = [name for name in group if name in there]
            if not names:
                continue
            own = [each for each in keys if all(name in each for name in names)]
            if own not in (keys, keys[:3], keys[3:]):
                raise InputError(f"{names[0]} is not part of every step", where=graph.name)
            places = points if own == keys else points[start : start + 3]
            one = _pattern([together([each[name] for name in names]) for each in own], places)
            one = replace(one, head=names[0] in head)
            if own != keys:
                apart.append((one, start == 0))
                continue
            _add(made, one)
    turns = [p.window.turns for p in made.values() if p.window is not None]
    if apart and not turns:
        raise InputError(
            f"{apart[0][0].key.op_type} is not part of every step", where=graphs[0].name
        )
    for one, short in apart:
        _add(made, replace(one, contexts=(0, min(turns)) if short else (min(turns), 1 << 40)))
    return list(made.values())


def _odd(context: int) -> int:
    """The greatest context up to this one that is one more than a multiple of four."""
    return max(1, (context - 1) // 4 * 4 + 1)


def _add(made: dict[tuple[object, ...], Pattern], one: Pattern) -> None:
    identity = (one.key.text, one.shapes, one.head, one.window, one.contexts)
    known = made.get(identity)
    made[identity] = one if known is None else replace(known, count=known.count + one.count)


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
    window = _window([key.attrs.get(_WINDOW) for key in keys], points)
    contextual = contextual or (window is not None and window.short != window.long)
    one = Pattern(keys[0], tuple(shapes), 1, contextual, head=False, collective=collective)
    return replace(one, window=window)


def _window(values: list[object], points: list[tuple[int, int]]) -> _Size | None:
    """The number of keys that a query attends to; where it is not stated, all."""
    if all(value is None for value in values):
        return None
    lines = []
    for start in range(0, len(values), 3):
        known = [value for value in values[start : start + 3] if isinstance(value, int)]
        lines.append(_line(known, points[start : start + 3]) if len(known) == 3 else _ALL)
    return _Size(lines[0], lines[-1])


def _size(values: list[int], points: list[tuple[int, int]]) -> _Size:
    lines = [_line(values[i : i + 3], points[i : i + 3]) for i in range(0, len(values), 3)]
    return _Size(lines[0], lines[-1])


def _line(values: list[int], points: list[tuple[int, int]]) -> _Line:
    (tokens, context), (more, _), (_, longer) = points
    by_tokens = (values[1] - values[0]) / (more - tokens)
    by_context = (values[2] - values[0]) / (longer - context)
    return _Line(values[0] - by_tokens * tokens - by_context * context, by_tokens, by_context)
