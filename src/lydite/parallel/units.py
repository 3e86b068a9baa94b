"""Cutting a lowered graph into units, and units into segments that run on their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from lydite.errors import BackendError
from lydite.graph import Graph, Initializer, Op
from lydite.graph.graph import outer_names
from lydite.records import dataclass


@dataclass(frozen=True)
class Cut:
    """A graph cut into units.

    Attributes:
        graph: Lowered graph whose weights have values.
        ops: Operators of each unit, in order.
        after: Units that each unit waits for.
    """

    graph: Graph
    ops: tuple[tuple[Op, ...], ...]
    after: tuple[tuple[int, ...], ...]


def with_drawn_weights(graph: Graph, seed: int) -> Graph:
    """The graph with values for all weights, so that every segment shares them."""
    return replace(
        graph,
        initializers={
            name: Initializer(init.type, value=init.array(seed + number))
            for number, (name, init) in enumerate(graph.initializers.items())
        },
    )


def cut(graph: Graph) -> Cut:
    """Cut a graph into units: chains whose inner results nobody else reads.

    Operators joined by a tensor of unknown size, or of text, stay together, since no buffer can be
    made for it; operators that read only constants go with every reader.

    Raises:
        BackendError: what stays together would have to wait for itself.
    """
    moving = [op for op in graph.ops if not _is_constant(graph, op)]
    leader = {op.name: op.name for op in moving}
    for op in moving:
        sources = _sources(graph, op)
        if len(sources) == 1 and _only_reader(graph, sources[0], op):
            leader[_lead(leader, op.name)] = _lead(leader, sources[0].name)
        for name in _reads(op):
            source = graph.producers.get(name)
            if source is not None and source.name in leader and not _bufferable(graph, name):
                leader[_lead(leader, op.name)] = _lead(leader, source.name)
    members: dict[str, list[Op]] = {}
    for op in moving:
        members.setdefault(_lead(leader, op.name), []).append(op)
    waits = {
        name: [
            lead
            for lead in dict.fromkeys(
                _lead(leader, s.name) for op in ops for s in _sources(graph, op)
            )
            if lead != name
        ]
        for name, ops in members.items()
    }
    try:
        order = list(TopologicalSorter(waits).static_order())
    except CycleError:
        raise BackendError("cannot be cut into segments", where=graph.name) from None
    index = {name: number for number, name in enumerate(order)}
    after = tuple(tuple(sorted(index[earlier] for earlier in waits[name])) for name in order)
    return Cut(graph, tuple(tuple(members[name]) for name in order), after)


def _lead(leader: dict[str, str], name: str) -> str:
    while leader[name] != name:
        leader[name] = leader[leader[name]]
        name = leader[name]
    return name


def _sources(graph: Graph, op: Op) -> list[Op]:
    """The operators that an operator waits for, without constants."""
    found = {
        graph.producers[name].name: graph.producers[name]
        for name in _reads(op)
        if name in graph.producers and not _is_constant(graph, graph.producers[name])
    }
    return list(found.values())


def _only_reader(graph: Graph, source: Op, op: Op) -> bool:
    readers = {r.name for name in source.outputs if name for r in _readers(graph, name)}
    return readers == {op.name} and not any(name in graph.outputs for name in source.outputs)


def segment(whole: Cut, units: Iterable[int], name: str) -> Graph:
    """The graph of some units, whose inputs and outputs are what it shares with the others."""
    graph = whole.graph
    chosen = [op for unit in sorted(units) for op in whole.ops[unit]]
    chosen = _constants(graph, chosen) + chosen
    names = {op.name for op in chosen}
    made = {out for op in chosen for out in op.outputs if out}
    read = dict.fromkeys(n for op in chosen for n in _reads(op))
    inputs = [n for n in read if n not in made and n not in graph.initializers]
    outputs = [
        n
        for op in chosen
        for n in op.outputs
        if n
        and (n in graph.outputs or any(r.name not in names for r in _readers(graph, n)))
        and not _is_constant(graph, op)
    ]
    return replace(
        graph,
        name=name,
        ops=tuple(chosen),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        tensors={n: graph.tensors[n] for n in {*read, *made} if n in graph.tensors},
        initializers={n: graph.initializers[n] for n in read if n in graph.initializers},
    )


def _readers(graph: Graph, name: str) -> list[Op]:
    held = [op for op in graph.ops if op.subgraphs and name in outer_names(op)]
    return [*graph.consumers.get(name, []), *held]


def _constants(graph: Graph, ops: Sequence[Op]) -> list[Op]:
    """Operators without inputs that the given ones read, with what these read in turn."""
    found: dict[str, Op] = {}
    open_ = [name for op in ops for name in _reads(op)]
    while open_:
        op = graph.producers.get(open_.pop())
        if op is not None and _is_constant(graph, op) and op.name not in found:
            found[op.name] = op
            open_ += _reads(op)
    place = {op.name: index for index, op in enumerate(graph.ops)}
    return sorted(found.values(), key=lambda op: place[op.name])


def _is_constant(graph: Graph, op: Op) -> bool:
    """Whether an operator reads nothing but constants."""
    return all(
        name in graph.initializers
        or (name in graph.producers and _is_constant(graph, graph.producers[name]))
        for name in _reads(op)
    )


def _bufferable(graph: Graph, name: str) -> bool:
    type_ = graph.type_of(name)
    return type_.is_static and type_.dtype not in ("", "string")


def _reads(op: Op) -> list[str]:
    return [name for name in (*op.inputs, *sorted(outer_names(op))) if name]
