"""Models as placement problems: groups of operators with estimated times on each device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.devices import chain_for, device_and_sources
from lydite.api.load import Model
from lydite.errors import InputError
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.graph import Graph
    from lydite.placement import Problem


@dataclass(frozen=True)
class Wires:
    """What connects any two devices: bandwidth in bytes/s, latency of a transfer in seconds."""

    bandwidth: float
    latency_s: float


@dataclass(frozen=True)
class Placeable:
    """A model as a placement problem.

    The first unit stands for the model's inputs, the last for its outputs; both are on the first
    device.

    Attributes:
        name: Name of the model.
        problem: Units, devices and edges.
        devices: Names of the devices.
        names, counts: First operator, and number of operators, of each unit.
        sources: Number of operators by source of their estimate, by device.
        notes: What is assumed.
    """

    name: str
    problem: Problem
    devices: tuple[str, ...]
    names: tuple[str, ...]
    counts: tuple[int, ...]
    sources: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def movable(self) -> range:
        """The units besides inputs and outputs."""
        return range(1, len(self.names) - 1)

    @property
    def allowed_seconds(self) -> np.ndarray:
        """Times, infinite where a unit may not run; float[units, devices]."""
        seconds = self.problem.seconds.copy()
        for unit, device in self.problem.fixed.items():
            seconds[unit, [d for d in range(len(self.devices)) if d != device]] = np.inf
        return seconds


def placeable(
    session: Session,
    model: Model,
    names: Sequence[str],
    wires: Wires,
    most: int,
    backend: str,
    threads: int,
) -> Placeable:
    """Estimate a model's operators on each device, and group them.

    Args:
        session: Session whose database holds measurements.
        model: Model.
        names: Devices; the first holds inputs and outputs.
        wires: What connects them.
        most: Largest number of groups.
        backend: Backend of the measurements.
        threads: Number of threads per operator on a processor.

    Raises:
        InputError: a device is unknown, or no device can run an operator.
    """
    from lydite.estimate.runtimes import fuse_for_runtime
    from lydite.placement import Problem, grouped

    graph = fuse_for_runtime(model.graph)
    columns, titles, memory = [], [], []
    sources: Counter[str] = Counter()
    for name in names:
        seconds, title, held, counts = _estimated(session, graph, name, backend, threads)
        columns.append(seconds)
        titles.append(title)
        memory.append(held)
        sources.update({f"{title}: {source}": count for source, count in counts.items()})
    if len(set(titles)) < len(titles):
        raise InputError("a device is named twice", where="--on", allowed="different devices")
    seconds = np.array(columns).T
    _check_known(graph, seconds)
    moved = _edges(graph)
    n = len(graph.ops)
    inner = {pair: size for pair, size in moved.items() if pair[0] >= 0 and pair[1] < n}
    groups = grouped(seconds, inner, most)
    unit_of = {op: unit for unit, group in enumerate(groups, start=1) for op in group}
    last = len(groups) + 1
    edges: dict[tuple[int, int], float] = {}
    for (first, second), size in moved.items():
        pair = unit_of.get(first, 0), unit_of.get(second, last)
        if pair[0] != pair[1]:
            edges[pair] = edges.get(pair, 0.0) + size
    still = np.zeros((1, len(names)))
    times = np.array([seconds[group].sum(axis=0) for group in groups])
    weights = [sum(_weights(graph, op) for op in group) for group in groups]
    count = len(names)
    problem = Problem(
        np.concatenate([still, times, still]),
        tuple(edges),
        np.array(list(edges.values()), float),
        np.full((count, count), wires.bandwidth),
        np.full((count, count), wires.latency_s),
        {0: 0, last: 0},
        np.array([0, *weights, 0], float),
        np.array(memory, float),
        ("inputs", *(graph.ops[group[0]].name for group in groups), "outputs"),
        tuple(titles),
    )
    notes = ["times are estimates of operators alone, fused as runtimes do"]
    if len(groups) < n:
        notes.append(f"{n} operators are placed in {len(groups)} groups of neighbours")
    return Placeable(
        model.label,
        problem,
        tuple(titles),
        tuple(problem.units),
        (0, *map(len, groups), 0),
        dict(sources),
        tuple(notes),
    )


def _estimated(
    session: Session, graph: Graph, name: str, backend: str, threads: int
) -> tuple[list[float], str, float, Mapping[str, int]]:
    """Seconds of each operator, infinite if unknown; the device's name and memory; sources."""
    from lydite.estimate import Rows, predict

    with device_and_sources(session, name) as (device, databases):
        estimator, call = chain_for(databases, device, Rows(backend, threads, "wall"))
        prediction = predict(graph, device, estimator, call)
    seconds = [n.estimate.seconds if n.estimate else np.inf for n in prediction.nodes]
    return seconds, device.name, device.memory_bytes, prediction.coverage.nodes


def _check_known(graph: Graph, seconds: np.ndarray) -> None:
    unknown = np.flatnonzero(~np.isfinite(seconds).any(axis=1))
    if unknown.size:
        kinds = Counter(graph.ops[int(op)].qualified_type for op in unknown)
        told = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(6))
        raise InputError(f"no device has an estimate for {told}", where=graph.name)


def _edges(graph: Graph) -> dict[tuple[int, int], float]:
    """Bytes between operators by their numbers.

    -1 stands for the inputs, the number of all operators for the outputs. A tensor that several
    operators read counts once for each.
    """
    from lydite.graph.graph import outer_names

    place = {name: at for at, op in enumerate(graph.ops) for name in op.outputs if name}
    found: dict[tuple[int, int], float] = {}

    def move(first: int, second: int, name: str) -> None:
        size = float(graph.type_of(name).nbytes or 0)
        found[first, second] = found.get((first, second), 0.0) + size

    for at, op in enumerate(graph.ops):
        for name in dict.fromkeys(n for n in (*op.inputs, *sorted(outer_names(op))) if n):
            if name in place:
                move(place[name], at, name)
            elif name in graph.inputs:
                move(-1, at, name)
    for name in graph.outputs:
        if name in place:
            move(place[name], len(graph.ops), name)
    return found


def _weights(graph: Graph, at: int) -> float:
    names = {name for name in graph.ops[at].inputs if name in graph.initializers}
    return float(sum(graph.initializers[name].type.nbytes or 0 for name in names))
