"""Read AISim's graph of a PyTorch training step: a JSON list of nodes.

Modules and functions become ONNX's operators where the file says all that those need, else aten's;
what belongs to the backward pass, the optimiser and the exchange of gradients keeps its type in
the domain "aisim", with its attributes (`bucket_size` counts elements). Sizes are the file's own.
A node that nothing flows out of is waited for by name: in the attribute `control` of an operator
that has no data inputs, or of an "aisim:Wait" before one that has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from lydite.compat.aisim.graph_ops import FUNCTIONS, MODULES, ModuleCall
from lydite.errors import GraphError, InputError, unknown_name
from lydite.graph import UNKNOWN, Attr, Graph, Initializer
from lydite.graph.formats import Assembler, read_text
from lydite.opkey import TensorType
from lydite.records import dataclass

DOMAIN = "aisim"
_FIELDS = ("name", "op", "input_nodes", "output_nodes")
_DTYPES = {
    "torch.float32": "float32",
    "torch.float64": "float64",
    "torch.float16": "float16",
    "torch.bfloat16": "bfloat16",
    "torch.int64": "int64",
    "torch.int32": "int32",
    "torch.int16": "int16",
    "torch.int8": "int8",
    "torch.uint8": "uint8",
    "torch.bool": "bool",
}


@dataclass(slots=True)
class AisimNode:
    """One node, its types decoded."""

    index: int
    name: str
    op: str
    sources: list[str]
    targets: list[str]
    inputs: list[TensorType]
    outputs: list[TensorType]
    weight: TensorType | None
    bias: TensorType | None
    attrs: dict[str, Any]


def read_aisim_graph(path: Path | str) -> Graph:
    """Read a graph.

    Raises:
        InputError: no such file, no JSON, a node that is malformed, contradicts itself, waits for
            an unknown one, or for itself in a cycle (names the node).
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", where=str(path)) from error
    return graph_of_aisim(content, str(path))


def graph_of_aisim(content: object, where: str = "graph") -> Graph:
    """The parsed JSON as a graph; see `read_aisim_graph`."""
    return _Reader(aisim_nodes(content, where), where).run()


def aisim_nodes(content: object, where: str = "graph") -> dict[str, AisimNode]:
    """The nodes of the parsed JSON by name, in the order of the file; see `read_aisim_graph`."""
    if not isinstance(content, list) or not content:
        raise InputError("is no graph of AISim", where=where, allowed="a list of nodes")
    nodes: dict[str, AisimNode] = {}
    for index, item in enumerate(content):
        node = _node(item, index, where)
        if nodes.setdefault(node.name, node) is not node:
            raise _error(where, node, f"there is a node '{node.name}' already")
    for node in nodes.values():
        for source in node.sources:
            if source not in nodes:
                near = unknown_name("input node", source, nodes)
                raise _error(where, node, near.what, near.allowed)
    return nodes


def _error(where: str, node: AisimNode, what: str, allowed: str = "") -> InputError:
    place = f"{where}: node {node.index} '{node.name}' ({node.op})"
    return InputError(what, where=place, allowed=allowed)


def _node(item: object, index: int, where: str) -> AisimNode:
    place = f"{where}: node {index}"
    if not isinstance(item, dict) or any(field not in item for field in _FIELDS):
        raise InputError("is no node", where=place, allowed=f"an object with {', '.join(_FIELDS)}")
    name, op = item["name"], item["op"]
    texts = [name, op, *_list(item, "input_nodes", place), *_list(item, "output_nodes", place)]
    if not all(isinstance(text, str) and text and text.isprintable() for text in texts):
        raise InputError("holds a name that is no printable text", where=place)
    attrs = item.get("attrs", {})
    if not isinstance(attrs, dict):
        raise InputError("has attrs that are no object", where=place)
    return AisimNode(
        index,
        name,
        op,
        list(item["input_nodes"]),
        list(item["output_nodes"]),
        _types(item, "input", place),
        _types(item, "output", place),
        _weight(item, "weight", place),
        _weight(item, "bias", place),
        attrs,
    )


def _list(item: Mapping[str, Any], name: str, place: str) -> list[Any]:
    found = item.get(name, [])
    if not isinstance(found, list):
        raise InputError(f"'{name}' is no list", where=place)
    return found


def _types(item: Mapping[str, Any], kind: str, place: str) -> list[TensorType]:
    types, shapes = _list(item, f"{kind}_types", place), _list(item, f"{kind}_shapes", place)
    if len(types) != len(shapes):
        raise InputError(f"has {len(types)} {kind} types and {len(shapes)} shapes", where=place)
    return [_type(t, shape, place) for t, shape in zip(types, shapes, strict=True)]


def _type(dtype: object, shape: object, place: str) -> TensorType:
    if dtype is None and shape is None:  # an output that no gradient flows through, a scalar
        return UNKNOWN
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise InputError(f"unknown type {dtype!r}", where=place, allowed=", ".join(_DTYPES))
    given: list[Any] = shape if isinstance(shape, list) else [None]
    sizes = [d for d in given if isinstance(d, int) and not isinstance(d, bool)]
    if len(sizes) < len(given) or not all(0 <= d < 1 << 40 for d in sizes):
        raise InputError(f"{shape!r} is no shape", where=place, allowed="a list of sizes")
    return TensorType(_DTYPES[dtype], tuple(sizes))


def _weight(item: Mapping[str, Any], kind: str, place: str) -> TensorType | None:
    dtype, shape = item.get(f"{kind}_type"), item.get(f"{kind}_shape")
    return None if dtype is None and shape is None else _type(dtype, shape, place)


class _Reader:
    def __init__(self, nodes: Mapping[str, AisimNode], where: str) -> None:
        self.nodes, self.where = nodes, where
        self.out = Assembler(Path(where).stem)
        self.made: dict[str, list[str]] = {}
        self.after: dict[str, list[str]] = {}

    def run(self) -> Graph:
        for node in self._ordered():
            try:
                self._add(node)
            except GraphError as error:
                raise _error(self.where, node, error.what) from error
        read = {name for op in self.out.ops for name in op.inputs}
        return self.out.build([n for op in self.out.ops for n in op.outputs if n not in read])

    def _ordered(self) -> list[AisimNode]:
        waiting = {node.name: node.sources for node in self.nodes.values()}
        try:
            return [self.nodes[name] for name in TopologicalSorter(waiting).static_order()]
        except CycleError as error:
            names = ", ".join(f"'{name}'" for name in error.args[1][:4])
            raise _error(
                self.where,
                self.nodes[error.args[1][0]],
                f"the nodes {names} wait for each other in a cycle",
            ) from None

    def _add(self, node: AisimNode) -> None:
        fed = any(self.made[source] for source in node.sources)
        given = not node.inputs and len(node.outputs) == 1 and not fed
        if given and node.op in (node.name, "placeholder"):
            self._source(
                node, self.out.input(node.name, node.outputs[0].dtype, node.outputs[0].shape)
            )
        elif given and node.op.replace(".", "_") == node.name:
            self._source(node, self.out.weight(node.name, Initializer(node.outputs[0])))
        else:
            self._operator(node)

    def _source(self, node: AisimNode, name: str) -> None:
        """An input or a weight; what it waits for, its readers wait for."""
        self.made[node.name] = [name]
        self.after[node.name] = list(node.sources)

    def _operator(self, node: AisimNode) -> None:
        inputs, after = self._inputs(node)
        if inputs and after:
            inputs[0] = self.out.wait(node.name, inputs[0], after, DOMAIN)
        call = ModuleCall(
            node.op,
            [self.out.tensors[name] for name in inputs],
            node.outputs,
            node.weight,
            node.bias,
            node.attrs,
        )
        control: dict[str, Attr] = {"control": tuple(after)} if after and not inputs else {}
        module = MODULES.get(node.op.rpartition(".")[2]) if ".modules." in node.op else None
        translated = module(call) if module is not None else None
        if translated is not None:
            op_type, attrs, weights = translated
            inputs = [*inputs[:1], *self._weights(node, weights)]
            self._emit(node, op_type, inputs, attrs, "", checked=True)
            return
        plain = node.op.rpartition(".")[2]
        onnx, aten = FUNCTIONS.get(plain, ("", ""))
        if onnx and len(inputs) == len(call.inputs) == 2 and len(node.outputs) == 1:
            self._emit(node, onnx, inputs, {}, "", checked=True)
        elif aten and node.outputs:
            self._emit(node, aten, inputs, {**_plain(node.attrs), **control}, "aten")
        else:
            weights = {
                part: type_
                for part in ("weight", "bias")
                if (type_ := getattr(node, part)) is not None
            }
            inputs += self._weights(node, weights) if "Backward" not in node.op else []
            self._emit(node, node.op, inputs, {**_plain(node.attrs), **control}, DOMAIN)

    def _inputs(self, node: AisimNode) -> tuple[list[str], list[str]]:
        """The tensors that flow in, and the nodes that are only waited for."""
        inputs: list[str] = []
        after: list[str] = []
        for position, source in enumerate(node.sources):
            made = self.made[source]
            if made:
                inputs.append(made[self._which(node, position, source)])
                after += self.after.get(source, [])
            else:
                after.append(source)
        return inputs, list(dict.fromkeys(after))

    def _which(self, node: AisimNode, position: int, source: str) -> int:
        """Which output of `source`: AISim lists one reader an output where there are several."""
        producer = self.nodes[source]
        if len(producer.outputs) < 2:
            return 0
        if len(producer.outputs) == len(producer.targets) and node.name in producer.targets:
            return producer.targets.index(node.name)
        wanted = node.inputs[position] if position < len(node.inputs) else None
        return producer.outputs.index(wanted) if wanted in producer.outputs else 0

    def _weights(self, node: AisimNode, weights: Mapping[str, TensorType]) -> list[str]:
        return [
            self.out.weight(f"{node.name}.{part}", Initializer(type_))
            for part, type_ in weights.items()
        ]

    def _emit(
        self,
        node: AisimNode,
        op_type: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Attr],
        domain: str,
        *,
        checked: bool = False,
    ) -> None:
        names = [node.name if i == 0 else f"{node.name}:{i}" for i in range(len(node.outputs))]
        if checked:
            scratch = Assembler("scratch")
            scratch.tensors |= {name: self.out.tensors[name] for name in inputs}
            found = scratch.op(op_type, inputs, names[:1], name=node.name, attrs=attrs)
            if UNKNOWN not in (found[0], node.outputs[0]) and found[0] != node.outputs[0]:
                raise GraphError(f"states {node.outputs[0]}, but its inputs give {found[0]}")
        self.out.op(
            op_type, inputs, names, name=node.name, domain=domain, types=node.outputs, attrs=attrs
        )
        self.made[node.name] = names


def _plain(attrs: Mapping[str, Any]) -> dict[str, Attr]:
    """Attributes as Lydite keeps them; what has no such form is kept as text."""
    found: dict[str, Attr] = {}
    for name, value in attrs.items():
        if isinstance(value, list):
            simple = all(isinstance(item, int | float | str) for item in value)
            found[str(name)] = tuple(value) if simple else json.dumps(value)
        elif isinstance(value, int | float | str):
            found[str(name)] = value
        elif value is not None:
            found[str(name)] = json.dumps(value)
    return found
