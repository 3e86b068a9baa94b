"""SMAUG's output during a run: the network, its tiling, its schedule, Aladdin's results."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from lydite.compat.smaug.topology.network import Network, Node

_BAR = "=" * 54
_LINE = "_" * 92


def banner(text: str) -> str:
    """A heading between two bars."""
    return f"{_BAR}\n{text}\n{_BAR}"


def layer_line(name: str, shape: str, parameters: str) -> str:
    """A line of the network's table."""
    return f"{name:<40} {shape:<25} {parameters:^15}".rstrip()


def summary_lines(network: Network) -> list[str]:
    """The table of the network: layers, the shapes of their outputs, their parameters."""
    lines = [banner("Summary of the network."), _LINE]
    lines += [layer_line("Layer (type)", "Output shape", "Parameters"), _LINE]
    for node in topological(network):
        shape = f"({', '.join(map(str, node.outputs[0].dims))})"
        lines += [layer_line(_titled(node), shape, str(_parameters(node, network))), _LINE]
    return lines


def tiling_lines(network: Network) -> list[str]:
    """One line per operator, by name."""
    nodes = sorted(network.nodes, key=lambda node: node.name)
    return [
        banner("Tiling operators of the network..."),
        *(f"Tiling {_titled(node)}." for node in nodes),
    ]


def scheduling_lines(network: Network, after: Mapping[str, Sequence[str]]) -> list[str]:
    """One line per operator when it is scheduled, followed by the lines of `after` for it."""
    lines = [banner("Scheduling operators of the network...")]
    for node in scheduled(network):
        lines += [f"Scheduling {_titled(node)}.", *after.get(node.name, ())]
    return lines


def topological(network: Network) -> list[Node]:
    """The order of SMAUG's summary: depth first from each node, in reverse order of finishing."""
    children, order, seen = _children(network), deque[Node](), set[str]()
    for root in network.nodes:
        if root.name in seen:
            continue
        seen.add(root.name)
        stack = [(root, iter(children[root.name]))]
        while stack:
            node, rest = stack[-1]
            child = next((each for each in rest if each.name not in seen), None)
            if child is None:
                order.appendleft(node)
                stack.pop()
            else:
                seen.add(child.name)
                stack.append((child, iter(children[child.name])))
    return list(order)


def scheduled(network: Network) -> list[Node]:
    """The order of SMAUG's queue: data by name, then each operator when its inputs are ready."""
    children = _children(network)
    pending = {node.name: len(node.parents) for node in network.nodes}
    queue = deque(
        sorted((n for n in network.nodes if not pending[n.name]), key=lambda node: node.name)
    )
    order: list[Node] = []
    while queue:
        node = queue.popleft()
        order.append(node)
        for child in children[node.name]:
            pending[child.name] -= sum(parent == node.name for parent, _ in child.parents)
            if not pending[child.name]:
                queue.append(child)
    return order


def _children(network: Network) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {node.name: [] for node in network.nodes}
    for node in network.nodes:
        for parent in dict.fromkeys(name for name, _ in node.parents):
            found[parent].append(node)
    return found


def _parameters(node: Node, network: Network) -> int:
    """Numbers of a layer's inputs beside the first that come from Data nodes."""
    data = {each.name for each in network.nodes if each.op == "Data"}
    if node.op not in _WEIGHTED:
        return 0
    total = 0
    for spec, (parent, _) in list(zip(node.inputs, node.parents, strict=True))[1:]:
        if parent in data:
            size = 1
            for dim in spec.dims:
                size *= dim
            total += size
    return total


_WEIGHTED = ("Convolution3d", "ConvolutionDepthwise", "InnerProduct", "BatchNorm")


def _titled(node: Node) -> str:
    return f"{node.name} ({node.op})"
