"""How far apart a graph's operands are used: what has passed through the caches in between.

A weight that is used again soon comes from a near cache, one of a large network from memory: a
product of a matrix and a vector takes four times as long (measured on an AMD EPYC: 9.6 us at 1 MiB
between two uses, 40 us at 96 MiB). The same holds for results that wait for their consumer: an
addition of two tensors of 200 KB takes 5 us from a core's own cache and 17 us from the shared one.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from lydite.graph.graph import Graph
from lydite.graph.keys import keys_of
from lydite.graph.op import Op
from lydite.graph.operators import ALIAS, operator
from lydite.opkey import OpKey

SMALL_WEIGHT_BYTES = 4096
"""Operators with fewer bytes of weights are bound by their other operands."""


def spans_of(graph: Graph) -> dict[OpKey, int]:
    """For each operator the usual bytes between two uses of what it reads.

    That is its weights; where it has next to none, its other inputs. Operators without any inputs
    are left out. A body of control flow is taken to follow itself, as that of a loop does.
    """
    spans: dict[OpKey, list[int]] = {}
    _collect(graph, spans)
    return {key: int(np.median(values)) for key, values in spans.items()}


def _collect(graph: Graph, spans: dict[OpKey, list[int]], held: Set[str] = frozenset()) -> None:
    weights, inputs = weight_spans(graph, held), input_spans(graph)
    keys = keys_of(graph)
    for op in graph.ops:
        heavy = sum(_weights(graph, op.inputs, held).values()) >= SMALL_WEIGHT_BYTES
        span = (weights if heavy else inputs).get(op.name)
        if span is not None and op.name in keys:
            spans.setdefault(keys[op.name], []).append(span)
        for body in op.subgraphs:
            _collect(body, spans, {*body.inputs, *body.outer})


def weight_spans(graph: Graph, held: Set[str] = frozenset()) -> dict[str, int]:
    """Bytes between two uses of each operator's weights, by operator name.

    A loop's body finds what is `held` around it in each iteration, as it does its weights.

    Calls follow each other, so that a weight that is used once comes round after all others.
    Weights in between count once for each use, but with no more than all weights together;
    activations share memory, and count with the most that lives at once. Operators without
    weights are left out.
    """
    weights = [_weights(graph, op.inputs, held) for op in graph.ops]
    every = {name: size for used in weights for name, size in used.items()}
    between = _Traffic(graph, weights, turns=2)
    count = len(graph.ops)
    distances: dict[str, int] = {}
    last: dict[str, int] = {}
    for turn in range(2 * count):
        index, used = turn % count, weights[turn % count]
        seen = [last[name] for name in used if name in last]
        if turn >= count and seen:
            distances[graph.ops[index].name] = int(
                between(max(seen), turn, float(sum(every.values())))
            )
        last.update(dict.fromkeys(used, turn))
    return distances


def input_spans(graph: Graph) -> dict[str, int]:
    """Bytes since the inputs of each operator were written or read last, by operator name.

    The inputs themselves are included, and several are weighted by their sizes. Inputs of the
    graph were written before its first operator. Operators that read no activations are left out.
    """
    weights = [_weights(graph, op.inputs) for op in graph.ops]
    every = {name: size for used in weights for name, size in used.items()}
    between = _Traffic(graph, weights)
    root = _roots(graph)
    distances: dict[str, int] = {}
    touched: dict[str, int] = {}
    for index, op in enumerate(graph.ops):
        sizes = {
            root[name]: float(graph.type_of(name).nbytes or 0)
            for name in op.inputs
            if name and not graph.is_constant(name)
        }
        total = sum(sizes.values())
        if total:
            waited = sum(
                size * between(touched.get(name, -1) + 1, index, float(sum(every.values())))
                for name, size in sizes.items()
            )
            distances[op.name] = int(total + waited / total)
        touched |= dict.fromkeys((*sizes, *(root[name] for name in op.outputs if name)), index)
    return distances


class _Traffic:
    """Bytes of weights and results that the operators from one index to another touch."""

    def __init__(self, graph: Graph, weights: Sequence[dict[str, int]], turns: int = 1) -> None:
        read = np.array([sum(used.values()) for used in weights], float)
        moved = np.array([_moved(graph, op) for op in graph.ops], float)
        self._reads, self._moves = (
            np.concatenate([[0.0], np.cumsum(np.tile(x, turns))]) for x in (read, moved)
        )
        self._alive = _most_alive(graph)

    def __call__(self, first: int, last: int, weight_bytes: float) -> float:
        """Bytes from operator `first` to before `last`; memory that is used again counts once."""
        reads = min(weight_bytes, self._reads[last] - self._reads[first])
        return reads + min(self._alive, self._moves[last] - self._moves[first])


def _weights(graph: Graph, inputs: tuple[str, ...], held: Set[str] = frozenset()) -> dict[str, int]:
    kept = (name for name in inputs if name and (name in held or graph.is_constant(name)))
    sizes = {name: graph.type_of(name).nbytes or 0 for name in kept}
    return {name: size for name, size in sizes.items() if size}


def _is_view(op: Op) -> bool:
    row = operator(op.qualified_type)
    return row is not None and row.array is ALIAS and bool(op.inputs)


def _roots(graph: Graph) -> dict[str, str]:
    """Name of the tensor whose memory each tensor uses: views have none of their own."""
    root = {name: name for name in graph.tensors}
    for op in graph.ops:
        if _is_view(op):
            root |= {name: root.get(op.inputs[0], op.inputs[0]) for name in op.outputs if name}
    return root


def _moved(graph: Graph, op: Op) -> int:
    if _is_view(op):
        return 0
    return sum(graph.type_of(name).nbytes or 0 for name in op.outputs if name)


def _most_alive(graph: Graph) -> float:
    """Most bytes of results that live at once."""
    root, count = _roots(graph), len(graph.ops)
    first: dict[str, int] = {}
    last: dict[str, int] = dict.fromkeys((root.get(name, name) for name in graph.outputs), count)
    for index, op in enumerate(graph.ops):
        for name in filter(None, op.outputs):
            first.setdefault(root[name], index)
        for name in filter(None, (*op.inputs, *op.outputs)):
            last[root.get(name, name)] = max(last.get(root.get(name, name), 0), index)
    change = np.zeros(count + 2)
    for name, start in first.items():
        size = graph.type_of(name).nbytes or 0
        change[start] += size
        change[last[name] + 1] -= size
    return float(np.cumsum(change).max(initial=0.0))
