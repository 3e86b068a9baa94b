"""How far apart a graph's weights are used: what has passed through the caches in between.

A weight that is used again soon comes from a near cache, one of a large network from memory: a
product of a matrix and a vector takes four times as long (measured on an AMD EPYC: 9.6 us at 1 MiB
between two uses, 40 us at 96 MiB).
"""

from __future__ import annotations

import numpy as np

from lydite.graph.graph import Graph
from lydite.graph.keys import keys_of
from lydite.opkey import OpKey


def reuse_bytes(graph: Graph) -> dict[str, int]:
    """Bytes between two uses of each operator's weights, by operator name.

    Calls follow each other, so that a weight that is used once comes round after all others.
    Weights in between count once for each use, but with no more than all weights together;
    activations share memory, and count with the most that lives at once. Operators without
    weights are left out.
    """
    weights = [_weights(graph, op.inputs) for op in graph.ops]
    read = np.array([sum(used.values()) for used in weights], float)
    moved = np.array([_activations(graph, op.outputs) for op in graph.ops], float)
    every = {name: size for used in weights for name, size in used.items()}
    total, most, count = float(sum(every.values())), _largest_pair(moved), len(graph.ops)
    reads, moves = (np.concatenate([[0.0], np.cumsum(np.tile(x, 2))]) for x in (read, moved))
    distances: dict[str, int] = {}
    last: dict[str, int] = {}
    for turn in range(2 * count):
        index, used = turn % count, weights[turn % count]
        seen = [last[name] for name in used if name in last]
        if turn >= count and seen:
            first = max(seen)
            between = min(total, reads[turn] - reads[first])
            between += min(most, moves[turn] - moves[first])
            distances[graph.ops[index].name] = int(between)
        last.update(dict.fromkeys(used, turn))
    return distances


def spans_of(graph: Graph) -> dict[OpKey, int]:
    """For each operator with weights the usual distance between two uses of them, in bytes."""
    distances = reuse_bytes(graph)
    found: dict[OpKey, list[int]] = {}
    for name, key in keys_of(graph).items():
        if name in distances:
            found.setdefault(key, []).append(distances[name])
    return {key: int(np.median(values)) for key, values in found.items()}


def _weights(graph: Graph, inputs: tuple[str, ...]) -> dict[str, int]:
    names = dict.fromkeys(name for name in inputs if name and graph.is_constant(name))
    return {name: graph.type_of(name).nbytes or 0 for name in names}


def _activations(graph: Graph, outputs: tuple[str, ...]) -> int:
    return sum(graph.type_of(name).nbytes or 0 for name in outputs if name)


def _largest_pair(moved: np.ndarray) -> float:
    """Bytes of the two largest neighbouring results, about what lives at once."""
    return float((moved[:-1] + moved[1:]).max()) if len(moved) > 1 else float(moved.sum())
