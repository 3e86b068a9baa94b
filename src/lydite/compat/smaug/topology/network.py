"""SMAUG's own view of a network: nodes over tensors with a memory layout, as in its files.

Field and enumeration names are those of SMAUG's protobuf schema (harvard-acc/smaug,
smaug/core/*.proto). `Node.op` and `Node.params` define what a node does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.graph.formats import Fields, Name, TextMessage, format_pbtxt, read_pbtxt
from lydite.records import dataclass

ALIGNMENT = {"Reference": 0, "SMV": 8}
"""Alignment of the innermost size of stored tensors, by backend; 0 for none."""

POLICIES = ("AllDma", "AllAcp", "AllAcpWithDmaForWeights")
DTYPES = {
    "Int32": "int32",
    "Int64": "int64",
    "Float16": "float16",
    "Float32": "float32",
    "Float64": "float64",
    "Bool": "bool",
}
LAYOUTS = {"NCHW": 4, "NHWC": 4, "NC": 2, "CN": 2, "NCT": 3, "NTC": 3, "N": 1}
"""Number of dimensions by layout."""

OPS = (
    "Convolution3d",
    "ConvolutionDepthwise",
    "MaxPooling",
    "AveragePooling",
    "InnerProduct",
    "BatchNorm",
    "Data",
    "ReLU",
    "LReLU",
    "ELU",
    "SELU",
    "Tanh",
    "HardTanh",
    "Sigmoid",
    "Softmax",
    "EltwiseAdd",
    "Reorder",
    "EltwiseMul",
    "Concat",
    "Split",
    "Reshape",
    "Repeat",
    "Less",
    "LessEqual",
    "Greater",
    "GreaterEqual",
    "Switch",
    "Merge",
    "Padding",
)
_ACTIVATION_FIELDS = {
    "lrelu_params": ("slope",),
    "elu_params": ("alpha", "lambda_param"),
    "hard_tanh_params": ("min", "max"),
}
_PARAMS_OF = {
    "LReLU": "lrelu_params",
    "ELU": "elu_params",
    "SELU": "elu_params",
    "HardTanh": "hard_tanh_params",
}

_FUSING = ("Convolution3d", "BatchNorm", "InnerProduct")
"""Operators that may carry an activation, so that SMAUG always writes their parameters."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor as stored in memory.

    Attributes:
        name: Unique name in the network.
        dtype: Element type as in Lydite ("float16").
        dims: Sizes in the order of `layout`.
        layout: One of `LAYOUTS`.
        alignment: The innermost size is padded to a multiple of this; 0 for none.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    layout: str
    alignment: int = 0

    @property
    def stored_dims(self) -> tuple[int, ...]:
        """Sizes with the innermost one padded."""
        if not self.alignment or not self.dims:
            return self.dims
        return (*self.dims[:-1], -(-self.dims[-1] // self.alignment) * self.alignment)

    def __str__(self) -> str:
        return f"{self.layout} [{', '.join(map(str, self.dims))}]"


@dataclass(slots=True)
class Node:
    """One operator of SMAUG.

    Attributes:
        parents: Name and output index of the source node of each input; empty for Data.
        params: `padding` ("SamePadding", "ValidPadding"), `stride`, `pool_size`, `concat_axis`,
            `split_axis`, `padding_size`; `activation` is an operator's name, and `act` its
            parameters (slope; alpha and lambda_param; min and max).
        line: Line in its file; 0 for none.
    """

    name: str
    op: str
    parents: list[tuple[str, int]]
    inputs: list[Spec]
    outputs: list[Spec]
    params: dict[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass
class Network:
    """A whole network.

    Attributes:
        data: Values by the name of a Data node's input tensor, in its layout and without padding:
            an array, or a function that returns one.
        where: File, for error messages.
    """

    name: str
    backend: str = "SMV"
    mem_policy: str = "AllDma"
    nodes: list[Node] = field(default_factory=list)
    data: dict[str, np.ndarray | Callable[[], np.ndarray]] = field(default_factory=dict)
    where: str = ""

    def __post_init__(self) -> None:
        if self.backend not in ALIGNMENT:
            raise unknown_name("backend", self.backend, ALIGNMENT)
        if self.mem_policy not in POLICIES:
            raise unknown_name("memory policy", self.mem_policy, POLICIES)

    def error(self, node: Node, what: str, allowed: str = "") -> InputError:
        """An error that names the node and its line."""
        place = f"{self.where}, line {node.line}" if node.line else self.where or self.name
        return InputError(what, where=f"{place}: {node.name} ({node.op})", allowed=allowed)

    def in_order(self) -> list[Node]:
        """The nodes, each after its parents.

        Raises:
            InputError: two nodes have the same name, a parent or its output does not exist, an
                input differs from the output it comes from, or there is a cycle.
        """
        known: dict[str, Node] = {}
        for node in self.nodes:
            if known.setdefault(node.name, node) is not node:
                raise self.error(node, f"there is a node '{node.name}' already")
        for node in self.nodes:
            self._check_parents(node, known)
        return self._sorted(known)

    def _check_parents(self, node: Node, known: Mapping[str, Node]) -> None:
        if node.op == "Data":
            if node.parents or len(node.inputs) != 1 or len(node.outputs) != 1:
                raise self.error(node, "needs one input, one output and no parent")
            given, made = node.inputs[0], node.outputs[0]
            if (given.dims, given.layout, given.dtype) != (made.dims, made.layout, made.dtype):
                raise self.error(node, f"its input {given} and its output {made} differ")
            return
        if not len(node.parents) == len(node.inputs) > 0 or not node.outputs:
            raise self.error(
                node,
                f"has {len(node.parents)} parents, {len(node.inputs)} inputs and "
                f"{len(node.outputs)} outputs",
                "a parent for every input, and an output",
            )
        for (parent, index), seen in zip(node.parents, node.inputs, strict=True):
            if parent not in known:
                near = unknown_name("parent", parent, known)
                raise InputError(
                    near.what,
                    where=self.error(node, "").where,
                    allowed=near.allowed,
                    hint=near.hint,
                )
            outputs = known[parent].outputs
            if not 0 <= index < len(outputs):
                raise self.error(
                    node, f"source index {index}: '{parent}' has {len(outputs)} outputs"
                )
            made = outputs[index]
            if (made.dims, made.layout, made.dtype) != (seen.dims, seen.layout, seen.dtype):
                raise self.error(
                    node,
                    f"expects {seen.dtype} {seen} of '{parent}', which gives {made.dtype} {made}",
                )

    def _sorted(self, known: Mapping[str, Node]) -> list[Node]:
        """In file order if that is a topological order, else in another topological order."""
        seen: set[str] = set()
        for node in self.nodes:
            if any(parent not in seen for parent, _ in node.parents):
                break
            seen.add(node.name)
        else:
            return list(self.nodes)
        waiting = {node.name: [parent for parent, _ in node.parents] for node in self.nodes}
        try:
            return [known[name] for name in TopologicalSorter(waiting).static_order()]
        except CycleError as error:
            names = ", ".join(f"'{name}'" for name in error.args[1][:4])
            raise self.error(
                known[error.args[1][0]], f"the nodes {names} wait for each other in a cycle"
            ) from None


def network_of_file(path: Path | str) -> Network:
    """Read a `_topo.pbtxt`, without values.

    Raises:
        InputError: the file is malformed, or not a SMAUG topology (names the line).
    """
    return network_of_message(read_pbtxt(path))


def network_of_message(root: TextMessage) -> Network:
    """A parsed topology as a network; see `network_of_file`."""
    if not root.all("nodes"):
        raise root.error("no topology of SMAUG: it has no 'nodes'")
    return Network(
        root.text("name") or "network",
        root.text("backend") or "SMV",
        root.name("mem_policy", POLICIES) or "AllDma",
        [_node(message) for message in root.messages("nodes")],
        where=root.where,
    )


def _node(message: TextMessage) -> Node:
    name = message.text("name")
    if not name:
        raise message.error("a node has no name")
    op = message.name("op", OPS)
    if not op:
        raise message.error(f"the node '{name}' has no operator", allowed=", ".join(OPS))
    parents, indices = message.texts("parents"), message.ints("src_tensors_indices")
    if len(parents) != len(indices):
        raise message.error(
            f"'{name}' has {len(parents)} parents and {len(indices)} source indices"
        )
    return Node(
        name,
        op,
        list(zip(parents, indices, strict=True)),
        [_spec(tensor) for tensor in message.messages("input_tensors")],
        [_spec(tensor) for tensor in message.messages("output_tensors")],
        _params(message.message("params")),
        message.line,
    )


def _spec(message: TextMessage) -> Spec:
    name, shape = message.text("name"), message.message("shape")
    dtype = message.name("data_type", DTYPES)
    if not name or shape is None or not dtype:
        raise message.error("a tensor needs a name, a data type and a shape")
    dims, layout = shape.ints("dims"), shape.name("layout", LAYOUTS)
    if not layout or len(dims) != LAYOUTS[layout] or not all(0 < d < 1 << 31 for d in dims):
        raise shape.error(f"the sizes {dims} do not fit the layout '{layout}'")
    alignment = (shape.ints("alignment") or [0])[-1]
    if not 0 <= alignment <= 4096:
        raise shape.error(f"the alignment {alignment} is impossible", allowed="0 to 4096")
    return Spec(name, DTYPES[dtype], tuple(dims), layout, alignment)


def _params(message: TextMessage | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if message is None:
        return found
    if (conv := message.message("conv_params")) is not None:
        found["padding"] = conv.name("padding", ("SamePadding", "ValidPadding"))
        found["stride"] = tuple(conv.ints("stride"))
    if (pool := message.message("pool_params")) is not None:
        found["stride"] = tuple(pool.ints("stride"))
        found["pool_size"] = tuple(pool.ints("pool_size"))
    for kind in ("concat", "split"):
        if (inner := message.message(f"{kind}_params")) is not None:
            found[f"{kind}_axis"] = (inner.ints(f"{kind}_axis") or [0])[-1]
    if (padding := message.message("padding_params")) is not None:
        found["padding_size"] = tuple(padding.ints("padding_size"))
    if (act := message.message("act_params")) is not None:
        found["activation"] = act.name("activation", OPS)
        found["act"] = {
            name: numbers[-1]
            for kind, names in _ACTIVATION_FIELDS.items()
            if (inner := act.message(kind)) is not None
            for name in names
            if (numbers := inner.numbers(name))
        }
    return found


def topology_text(network: Network) -> str:
    """The `_topo.pbtxt` of a network, as SMAUG prints it."""
    fields: list[tuple[str, Any]] = [("name", network.name)]
    fields += [("nodes", _node_fields(node)) for node in network.nodes]
    fields += [("backend", network.backend), ("mem_policy", Name(network.mem_policy))]
    return format_pbtxt(fields)


def _node_fields(node: Node) -> Fields:
    fields: list[tuple[str, Any]] = [("name", node.name), ("op", Name(node.op))]
    fields += [("parents", name) for name, _ in node.parents]
    fields += [("src_tensors_indices", index) for _, index in node.parents]
    fields += [("input_tensors", _spec_fields(spec)) for spec in node.inputs]
    fields += [("output_tensors", _spec_fields(spec)) for spec in node.outputs]
    params = _param_fields(node)
    return [*fields, ("params", params)] if params or node.op in _FUSING else fields


def _spec_fields(spec: Spec) -> Fields:
    names = {ours: theirs for theirs, ours in DTYPES.items()}
    shape: list[tuple[str, Any]] = [("dims", dim) for dim in spec.dims]
    shape.append(("layout", Name(spec.layout)))
    if spec.alignment:
        shape.append(("alignment", spec.alignment))
    return [
        ("name", spec.name),
        ("data_type", Name(names[spec.dtype])),
        ("shape", shape),
        ("data_format", Name("Uncompressed")),
    ]


def _repeated(name: str, values: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


def _param_fields(node: Node) -> list[tuple[str, Any]]:
    p, fields = node.params, []
    if "padding" in p:
        padding = ("padding", Name(p["padding"]))
        fields.append(("conv_params", [padding, *_repeated("stride", p["stride"])]))
    if "pool_size" in p:
        sizes = [*_repeated("stride", p["stride"]), *_repeated("pool_size", p["pool_size"])]
        fields.append(("pool_params", sizes))
    for kind in ("concat", "split"):
        if f"{kind}_axis" in p:
            fields.append((f"{kind}_params", [(f"{kind}_axis", p[f"{kind}_axis"])]))
    if "padding_size" in p:
        fields.append(("padding_params", _repeated("padding_size", p["padding_size"])))
    activation = p.get("activation", "")
    if activation or p.get("act"):
        act: list[tuple[str, Any]] = [("activation", Name(activation))] if activation else []
        if p.get("act"):
            kind = _PARAMS_OF[activation or node.op]
            act.append((kind, [(name, float(value)) for name, value in p["act"].items()]))
        fields.append(("act_params", act))
    return fields
