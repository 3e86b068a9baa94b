"""Blocks of a graph: a repeated layer is kept once with its count, so that depth costs no time.

A model of 80 equal layers becomes head, one layer (80 times) and tail. Partitioning, backward pass
and estimates then work on that short graph. For a pipeline, a model without repetition is cut where
only a single tensor crosses.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lydite.errors import InputError
from lydite.graph import Graph, Op
from lydite.graph.training.recompute import cut_points
from lydite.records import dataclass

_LEAST_OPS = 4
"""A shorter repeated pattern is not treated as a layer."""


@dataclass(frozen=True)
class Block:
    """A contiguous run of operators.

    Attributes:
        name: Name of the block: "head", "layer", "tail" or such as "part 3".
        count: Number of consecutive repetitions of the block in the model.
        ops: Names of its operators in the shortened graph.
    """

    name: str
    count: int
    ops: tuple[str, ...]


@dataclass(frozen=True)
class Blocks:
    """A graph that holds each repeated block only once, and its blocks in order."""

    graph: Graph
    blocks: tuple[Block, ...]

    @property
    def depth(self) -> int:
        """Number of blocks, counting repetitions."""
        return sum(block.count for block in self.blocks)


def in_blocks(graph: Graph, parts: int = 1) -> Blocks:
    """Divide a graph into blocks.

    Args:
        graph: Inference graph of a model, without a loss.
        parts: Number of parts to cut a model without repeated layers into.

    Raises:
        InputError: the model has too few places to cut.
    """
    known: dict[int, Blocks] = graph.memo("blocks")
    if parts not in known:
        known[parts] = _divided(_tables_first(graph), parts)
    return known[parts]


def _divided(graph: Graph, parts: int) -> Blocks:
    start, period, count = repetition(graph)
    if count > 1 and count * period > len(graph.ops) / 2:
        return _folded(graph, start, period, count)
    names = [op.name for op in graph.ops]
    cuts = [0, *_cuts(graph, parts), len(names)]
    if len(cuts) == 2:
        return Blocks(graph, (Block("net", 1, tuple(names)),))
    pieces = [names[a:b] for a, b in itertools.pairwise(cuts)]
    return Blocks(graph, tuple(Block(f"part {i}", 1, tuple(p)) for i, p in enumerate(pieces)))


def _tables_first(graph: Graph) -> Graph:
    """The graph with what depends on no input (such as the angles of rotary positions) in front.

    Such operators often stand in the first layer, which then differs from the others.
    """
    fed = set(graph.inputs)
    tables, rest = [], []
    for op in graph.ops:
        if fed.isdisjoint(op.inputs) and not any(isinstance(v, Graph) for v in op.attrs.values()):
            tables.append(op)
        else:
            rest.append(op)
            fed.update(op.outputs)
    return replace(graph, ops=(*tables, *rest)) if tables and rest else graph


def _cuts(graph: Graph, parts: int) -> list[int]:
    """Positions to cut into a multiple of `parts`, fine enough to overlap gradient exchange."""
    for factor in (16, 8, 4, 2, 1):
        if factor * parts > 1:
            try:
                return cut_points(graph, factor * parts)
            except InputError:
                continue
    if parts > 1:
        raise InputError(
            f"cannot be cut into {parts} stages", where=graph.name, hint="use a smaller --pp"
        )
    return []


def repetition(graph: Graph) -> tuple[int, int, int]:
    """Start of the longest repetition, the number of operators in its period, and their count.

    Two operators are the same if their types, attributes and all operand types are.
    """
    numbers: dict[object, int] = {}
    marks = np.array([numbers.setdefault(_mark(graph, op), len(numbers)) for op in graph.ops])
    best = (0, len(marks), 1)
    covered = 0
    for period in range(_LEAST_OPS, len(marks) // 2 + 1):
        if covered + period // 2 >= len(marks):
            break  # no longer period can cover more
        start, length = _longest_run(marks[:-period] == marks[period:])
        count = length // period + 1
        if count > 1 and count * period > covered + period // 2:
            best, covered = (start, period, count), count * period
    return _aligned(graph, marks, *best)


def _mark(graph: Graph, op: Op) -> object:
    attrs = tuple(sorted((k, str(v)) for k, v in op.attrs.items()))
    types = tuple(str(t) for t in (*graph.input_types(op), *graph.output_types(op)))
    return op.qualified_type, attrs, types


def _longest_run(equal: np.ndarray) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], equal.view(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest] - starts[longest])


def _aligned(
    graph: Graph, marks: np.ndarray, start: int, period: int, count: int
) -> tuple[int, int, int]:
    """The repetition shifted so that the fewest tensors cross from one period to the next."""
    if count < 2:
        return start, period, count
    differs = np.flatnonzero(marks[start:-period] != marks[start + period :])
    run = (int(differs[0]) if len(differs) else len(marks) - period - start) + period
    spare = run - count * period
    best = min(
        range(min(period, max(spare, 0) + 1)),
        key=lambda shift: _crossing(graph, start + shift + period),
    )
    return start + best, period, count


def _crossing(graph: Graph, position: int) -> int:
    """Number of tensors produced before a position and read at or after it."""
    before = {name for op in graph.ops[:position] for name in op.outputs}
    return len({n for op in graph.ops[position:] for n in op.inputs if n in before})


def _folded(graph: Graph, start: int, period: int, count: int) -> Blocks:
    """The graph with only the first repetition, whose outputs the tail reads."""
    end, skipped = start + count * period, (count - 1) * period
    same: dict[str, str] = {}
    for last, first in zip(graph.ops[end - period : end], graph.ops[start:], strict=False):
        same |= dict(zip(last.outputs, first.outputs, strict=True))
    gone = [op for op in graph.ops[start + period : end]]
    dropped = {name for op in gone for name in op.outputs}
    tail = [
        replace(op, inputs=tuple(same.get(name, name) for name in op.inputs))
        for op in graph.ops[end:]
    ]
    ops = (*graph.ops[: start + period], *tail)
    read = {name for op in ops for name in op.inputs}
    made = {name for op in ops for name in op.outputs}
    outputs = [same.get(name, name) for name in graph.outputs]
    only_gone = {name for op in gone for name in op.inputs} - read - made
    short = replace(
        graph,
        ops=ops,
        inputs=tuple(name for name in graph.inputs if name not in only_gone),
        outputs=tuple(dict.fromkeys(n for n in outputs if n not in dropped)),
        initializers={k: v for k, v in graph.initializers.items() if k in read},
        tensors={k: v for k, v in graph.tensors.items() if k not in dropped and k not in only_gone},
    )
    assert len(ops) == len(graph.ops) - skipped
    return Blocks(short, _named(ops, start, period, count))


def _named(ops: Sequence[Op], start: int, period: int, count: int) -> tuple[Block, ...]:
    names = [op.name for op in ops]
    blocks = (
        Block("head", 1, tuple(names[:start])),
        Block("layer", count, tuple(names[start : start + period])),
        Block("tail", 1, tuple(names[start + period :])),
    )
    return tuple(block for block in blocks if block.ops)
