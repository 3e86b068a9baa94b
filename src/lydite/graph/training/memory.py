"""Memory of a graph: lifetimes of its tensors, and the peak by kind.

Operators run in the graph's order. A tensor's storage is allocated when its operator starts and
freed after its last reader; weights, optimiser states and inputs are held throughout, gradients and
outputs to the end. Views share the storage of their base, in-place updates reuse it, and an
optimiser's update holds a few temporaries of the weight's size: all as in eager PyTorch. Kernel
workspaces, allocator rounding and caching are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lydite.errors import GraphError
from lydite.graph.graph import Graph, Op
from lydite.graph.operators import operator
from lydite.graph.training.optimizers import OPTIMIZERS
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.graph.training.step import TrainingStep

KINDS = ("weights", "gradients", "optimizer", "inputs", "activations", "temporaries")


@dataclass(frozen=True)
class Memory:
    """Memory in use while each operator runs.

    Attributes:
        names: Names of the operators, in execution order.
        bytes_by_kind: float64[ops] by kind (see `KINDS`), bytes in use while each operator runs.
    """

    names: tuple[str, ...]
    bytes_by_kind: Mapping[str, np.ndarray]

    @property
    def bytes_alive(self) -> np.ndarray:
        """Bytes of all kinds in use while each operator runs: float64[ops]."""
        return np.sum([self.bytes_by_kind[kind] for kind in KINDS], axis=0)

    @property
    def peak_index(self) -> int:
        """Index of the operator that runs at the peak."""
        return int(np.argmax(self.bytes_alive))

    @property
    def peak_bytes(self) -> float:
        """Peak memory in bytes."""
        return float(self.bytes_alive[self.peak_index])

    @property
    def at_peak(self) -> dict[str, float]:
        """Bytes by kind at the peak."""
        return {kind: float(self.bytes_by_kind[kind][self.peak_index]) for kind in KINDS}


def memory_of(what: TrainingStep | Graph) -> Memory:
    """Memory of a training step, or of a model in inference.

    Raises:
        GraphError: a tensor's size is not known, or the graph has no operators.
    """
    step = None if isinstance(what, Graph) else what
    graph = step.graph if step is not None else what
    assert isinstance(graph, Graph)
    if not graph.ops:
        raise GraphError("has no operators", where=graph.name)
    root = _storages(graph, step)
    kept = [*graph.outputs, *(step.gradients.values() if step is not None else ())]
    first, last = _lifetimes(graph, root, kept)
    kinds = _kinds(graph, step)
    rows = {kind: np.zeros(len(graph.ops) + 1) for kind in KINDS}
    sizes = {name: _bytes(graph, name) for name in first}
    for name in (name for op in graph.ops for name in _cache(op)):  # the output is longer
        sizes[root[name]] = max(sizes[root[name]], _bytes(graph, name))
    for name, start in first.items():
        size, row = sizes[name], rows[kinds.get(name, "temporaries")]
        row[start] += size
        row[last[name] + 1] -= size
    alive = {kind: np.cumsum(row)[:-1] for kind, row in rows.items()}
    if step is not None and step.optimizer is not None:
        alive["temporaries"] += _update_temporaries(graph, step)
    return Memory(tuple(op.name for op in graph.ops), alive)


def _update_temporaries(graph: Graph, step: TrainingStep) -> np.ndarray:
    """Bytes that each operator of an update holds besides its operands: float64[ops]."""
    count = OPTIMIZERS[str(step.optimizer)].temporaries
    temporaries = np.zeros(len(graph.ops))
    for i, op in enumerate(graph.ops):
        if step.phases[op.name] == "optimizer":
            temporaries[i] = count * _bytes(graph, op.outputs[0])
    return temporaries


def saved_for_backward(step: TrainingStep) -> dict[str, float]:
    """Bytes saved for the backward pass, by the forward operator that produced them.

    Raises:
        GraphError: a tensor's size is not known.
    """
    graph, root = step.graph, _storages(step.graph, step)
    late = ("backward", "recompute")
    read = {
        root[name] for op in graph.ops if step.phases[op.name] in late for name in op.inputs if name
    }
    saved: dict[str, float] = {}
    for op in graph.ops:
        if step.phases[op.name] in ("forward", "loss"):
            outputs = [name for name in op.outputs if name and root[name] == name and name in read]
            saved[op.name] = sum(_bytes(graph, name) for name in outputs)
    return saved


def _bytes(graph: Graph, name: str) -> float:
    size = graph.type_of(name).nbytes
    if size is None:
        raise GraphError(f"the size of '{name}' is not known", where=graph.name)
    return size


def _storages(graph: Graph, step: TrainingStep | None) -> dict[str, str]:
    """Name of the tensor whose storage each tensor uses, by tensor name."""
    root: dict[str, str] = {name: name for name in (*graph.inputs, *graph.initializers)}
    for op in graph.ops:
        shared = dict(step.in_place.get(op.name, ())) if step is not None else {}
        shared |= _cache(op)
        view = op.inputs[0] if op.inputs and _aliases(op) else None
        for name in op.outputs:
            source = shared.get(name, view)
            root[name] = root[source] if source else name
    return root


def _cache(op: Op) -> dict[str, str]:
    """A decoder's keys and values are appended in the storage of those before."""
    if len(op.outputs) < 3 or len(op.inputs) < 6 or op.qualified_type != "Attention":
        return {}
    return dict(zip(op.outputs[1:3], op.inputs[4:6], strict=True))


def _lifetimes(
    graph: Graph, root: Mapping[str, str], kept: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Index of the first and the last operator during which each storage is in use."""
    end = len(graph.ops) - 1
    first = dict.fromkeys([*graph.inputs, *graph.initializers], 0)
    last = dict.fromkeys([*graph.inputs, *graph.initializers], end)
    throughout = set(first)
    for i, op in enumerate(graph.ops):
        for name in (*op.inputs, *op.outputs):
            if name and root[name] not in throughout:
                first.setdefault(root[name], i)
                last[root[name]] = i
    for name in kept:
        last[root[name]] = end
    return first, last


def _kinds(graph: Graph, step: TrainingStep | None) -> dict[str, str]:
    kinds = dict.fromkeys(graph.initializers, "weights") | dict.fromkeys(graph.inputs, "inputs")
    early = ("forward", "loss", "recompute")
    for op in graph.ops:
        if step is None or step.phases[op.name] in early:
            kinds.update(dict.fromkeys(op.outputs, "activations"))
    if step is not None:
        kinds |= dict.fromkeys(step.states, "optimizer")
        kinds |= dict.fromkeys(step.gradients.values(), "gradients")
    return kinds


def _aliases(op: Op) -> bool:
    """Whether the output is a view of the first input.

    A transpose makes a copy here: the product or reshape after it needs contiguous values.
    """
    row = operator(op.qualified_type)
    return row is not None and row.aliases
