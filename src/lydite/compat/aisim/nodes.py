"""The nodes of AISim's graphs of both platforms, every one of them, in the order of their launch.

The graph readers fold constants, variables and inputs away; AISim counts them, so here they stay.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from lydite.compat.aisim.folder import PYTORCH
from lydite.compat.aisim.graph_reader import AisimNode, aisim_nodes
from lydite.errors import InputError
from lydite.graph import UNKNOWN, Graph
from lydite.graph.formats import graph_of_graphdef, read_pbtxt, read_text
from lydite.graph.formats import tensorflow_node as node_of
from lydite.opkey import TensorType
from lydite.records import dataclass

COMPUTE, ALLREDUCE, SEND, RECV = "compute", "allreduce", "send", "recv"

_ALLREDUCE = re.compile(r"_?(ddp_|nccl_?|horovod_?|sc)?all_?reduce(_?\d+)?", re.I)
_GRADIENT = "float32"
"""A bucket's elements where its node states no type: what gradients are, also with autocast."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node.

    Attributes:
        after: names of the nodes that it waits for.
        kind: "compute", "allreduce", "send" or "recv".
        device: where the graph puts it; nodes of one device share its streams.
        inputs: types of its data inputs (TensorFlow).
        attrs: as the file has them (TensorFlow).
        bytes: what an all-reduce or a send moves, or what a bucket is filled with; None if
            unknown.
    """

    name: str
    op: str
    after: tuple[str, ...] = ()
    kind: str = COMPUTE
    device: str = ""
    inputs: tuple[TensorType, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    bytes: float | None = None


def read_nodes(path: Path, platform: str) -> list[GraphNode]:
    """The nodes of a graph, each after those that it waits for, else in the order of the file.

    Raises:
        InputError: as the reader of the platform's graphs; a bucket without its size; messages
            that wait for each other.
    """
    nodes = _torch(path) if platform == PYTORCH else _paired(_tensorflow(path))
    ordered = in_order(nodes)
    if len(ordered) < len(nodes):
        raise InputError("messages and nodes wait for each other in a cycle", where=str(path))
    return ordered


def kind_of(op: str) -> str:
    """What a node of this type does."""
    bare = op.lstrip("_")
    if bare in ("Send", "Recv"):
        return bare.lower()
    return ALLREDUCE if _ALLREDUCE.fullmatch(op) else COMPUTE


def in_order(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """A topological order that keeps the file's wherever it can.

    Only buckets come as soon as they are full, as hooks on the gradients have it. Nodes that wait
    for each other in a cycle are left out.
    """
    place = {node.name: at for at, node in enumerate(nodes)}
    waiting = [len(set(node.after)) for node in nodes]
    followers: list[list[int]] = [[] for _ in nodes]
    for at, node in enumerate(nodes):
        for source in set(node.after):
            followers[place[source]].append(at)
    turn = [(not _of_bucket(node), at) for at, node in enumerate(nodes)]
    ready = [turn[at] for at, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    found: list[GraphNode] = []
    while ready:
        _, at = heapq.heappop(ready)
        found.append(nodes[at])
        for follower in followers[at]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, turn[follower])
    return found


def _of_bucket(node: GraphNode) -> bool:
    return node.kind == ALLREDUCE or node.op.startswith("ddp_")


def _torch(path: Path) -> list[GraphNode]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", where=str(path)) from error
    nodes = []
    for node in aisim_nodes(content, str(path)).values():
        kind = kind_of(node.op)
        bucket = kind == ALLREDUCE or "bucket_size" in node.attrs
        size = _bucket(node, str(path)) if bucket else None
        nodes.append(GraphNode(node.name, node.op, tuple(node.sources), kind, bytes=size))
    return _free_buckets(nodes)


def _free_buckets(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """AISim chains buckets by letting the next be filled after the exchange of the one before.

    DistributedDataParallel fills it meanwhile: only the exchanges come one after the other.
    """
    exchanges = {node.name for node in nodes if node.kind == ALLREDUCE}
    held = {
        node.name: tuple(name for name in node.after if name in exchanges)
        for node in nodes
        if node.kind == COMPUTE and _of_bucket(node)
    }
    freed = []
    for node in nodes:
        after = node.after
        if node.name in held:
            after = tuple(name for name in after if name not in exchanges)
        elif node.kind == ALLREDUCE:
            after += tuple(name for source in after for name in held.get(source, ()))
        freed.append(replace(node, after=after))
    return freed


def _bucket(node: AisimNode, where: str) -> float | None:
    elements = node.attrs.get("bucket_size")
    if not isinstance(elements, int) or isinstance(elements, bool) or not 0 < elements < 1 << 40:
        raise InputError(
            f"bucket_size is {elements!r:.40}",
            where=f"{where}: node '{node.name}'",
            allowed="elements, 1 or more",
        )
    dtypes = [type_.dtype for type_ in node.inputs if type_.dtype]
    return TensorType(dtypes[0] if dtypes else _GRADIENT, (elements,)).nbytes


def _tensorflow(path: Path) -> list[GraphNode]:
    root = read_pbtxt(path)
    graph = graph_of_graphdef(root)
    nodes = []
    for message in root.messages("node"):
        node = node_of(message)
        inputs = tuple(_type(graph, source, index) for source, index in node.inputs)
        kind = kind_of(node.op)
        after = (*(source for source, _ in node.inputs), *node.controls)
        size = _size(inputs) if kind in (ALLREDUCE, SEND) else None
        attrs = {name: value for name, value in node.attrs.items() if not name.startswith("_")}
        if node.op == "Const":  # AISim's keys hold the constant's type and shape, not its value
            attrs["value"] = _type(graph, node.name, 0)
        nodes.append(
            GraphNode(node.name, node.op, after, kind, message.text("device"), inputs, attrs, size)
        )
    return nodes


def _paired(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """A receive waits for the send of the same tensor, to which no edge leads."""
    sent = {node.attrs.get("tensor_name"): node.name for node in nodes if node.kind == SEND}
    sent.pop(None, None)
    return [
        replace(node, after=(*node.after, sent[name]))
        if node.kind == RECV and (name := node.attrs.get("tensor_name")) in sent
        else node
        for node in nodes
    ]


def _type(graph: Graph, source: str, index: int) -> TensorType:
    return graph.tensors.get(f"{source}:{index}" if index else source, UNKNOWN)


def _size(types: Sequence[TensorType]) -> float | None:
    """Bytes of all tensors together; None if one is unknown."""
    sizes = [type_.nbytes for type_ in types]
    return float(sum(size or 0 for size in sizes)) if sizes and None not in sizes else None
