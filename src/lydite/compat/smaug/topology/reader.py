"""Read SMAUG's two files as a `Graph`: logical ONNX, without SMAUG's layouts.

Tensors are NCHW, a fused activation is an operator of its own, and a reordering between layouts
disappears: a reordering to NC is a Flatten, and where the image was NHWC, the columns of the dense
weights behind it are put in NCHW's order. Data nodes that serve only as weights are weights, all
others are inputs; tensors that no operator reads are the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lydite.compat.smaug.topology.layout import (
    ACT_ATTRS,
    ACT_DEFAULTS,
    BINARY,
    CONSTANT,
    EPSILON,
    FEED,
    TO_LOGICAL,
    UNARY,
    WEIGHT_INPUTS,
    columns_to_nchw,
    free_outputs,
    logical_dims,
    same_order,
    same_pads,
    to_logical,
    variance_of,
)
from lydite.compat.smaug.topology.network import Network, Node, network_of_file
from lydite.compat.smaug.topology.params import load_params
from lydite.errors import GraphError
from lydite.graph import Graph, Initializer
from lydite.graph.formats import Assembler
from lydite.opkey import TensorType


def read_smaug(topology: Path | str, params: Path | str | None = None) -> Graph:
    """Read `<name>_topo.pbtxt`, and with `params` the weights of `<name>_params.pb`.

    Raises:
        InputError: the topology is malformed, cyclic, inconsistent or not SMAUG's (names the line),
            or the parameters do not fit (names the tensor).
    """
    network = network_of_file(topology)
    if params is not None:
        load_params(network, params)
    return graph_of_network(network)


def graph_of_network(network: Network) -> Graph:
    """The graph of a network; see `read_smaug`."""
    return _Translator(network).run()


class _Translator:
    def __init__(self, network: Network) -> None:
        self.network, self.out = network, Assembler(network.name)
        self.nodes = {node.name: node for node in network.nodes}
        self.order = network.in_order()
        self.readers: dict[tuple[str, int], list[tuple[Node, int]]] = {}
        for node in self.order:
            for position, source in enumerate(node.parents):
                self.readers.setdefault(source, []).append((node, position))
        self.names: dict[tuple[str, int], str] = {}
        self.data: dict[tuple[str, int], Node] = {}
        self.flattened: dict[str, tuple[int, int, int]] = {}
        self.forms: dict[str, str] = {}

    def run(self) -> Graph:
        for node in self.order:
            if node.op == "Data":
                self._data(node)
            else:
                self._operator(node)
        return self.out.build(free_outputs(self.out.ops))

    # --- Data ---------------------------------------------------------------------------------

    def _data(self, node: Node) -> None:
        spec, source = node.inputs[0], (node.name, 0)
        if spec.name.endswith(CONSTANT) or (
            not spec.name.endswith(FEED) and self._only_weight(source)
        ):
            self.data[source] = node
        else:
            self.names[source] = self.out.input(node.name, spec.dtype, logical_dims(spec))

    def _only_weight(self, source: tuple[str, int]) -> bool:
        """Whether a tensor is read, and only as a weight."""
        readers = self._seen_through(source, _is_view)
        return bool(readers) and all(
            position in WEIGHT_INPUTS.get(reader.op, ()) for reader, position in readers
        )

    def _seen_through(
        self, source: tuple[str, int], passes: Callable[[Node], bool]
    ) -> list[tuple[Node, int]]:
        """Readers of a tensor, where readers that satisfy `passes` are replaced by theirs."""
        waiting, found = [source], []
        while waiting:
            readers = self.readers.get(waiting.pop(), [])
            waiting += [(reader.name, 0) for reader, _ in readers if passes(reader)]
            found += [(reader, position) for reader, position in readers if not passes(reader)]
        return found

    def _weight(
        self,
        source: tuple[str, int],
        form: str = "",
        change: Callable[[np.ndarray], np.ndarray] = lambda array: array,
        shape: Sequence[int] | None = None,
    ) -> str:
        """The initializer of a Data node in one of the forms that weights take."""
        node = self.data[source]
        spec = node.inputs[0]
        name = node.name
        if self.forms.setdefault(name, form) != form:
            name = f"{name}.{form or 'plain'}"
        if name in self.out.initializers:
            return name
        dims = tuple(shape or logical_dims(spec))
        type_ = TensorType(spec.dtype, dims)
        stored = self.network.data.get(spec.name)
        if stored is None:
            return self.out.weight(name, Initializer(type_))

        def load() -> np.ndarray:
            array = stored() if callable(stored) else stored
            return np.ascontiguousarray(change(to_logical(array, spec.layout)).reshape(dims))

        return self.out.weight(name, Initializer(type_, load=load))

    # --- operators ----------------------------------------------------------------------------

    def _operator(self, node: Node) -> None:
        if _is_view(node):
            self._view(node)
            return
        translate = _TRANSLATORS.get(node.op)
        if translate is None:
            raise self.network.error(node, "has no translation")
        try:
            translate(self, node)
        except GraphError as error:
            raise self.network.error(node, error.what) from error
        for index, spec in enumerate(node.outputs):
            made = self.out.tensors[self.names[node.name, index]]
            if (made.dtype, made.shape) != (spec.dtype, logical_dims(spec)):
                raise self.network.error(
                    node,
                    f"its output {index} is stated as {spec.dtype} {spec}, but its inputs "
                    f"{', '.join(map(str, node.inputs))} give {made}",
                )

    def _view(self, node: Node) -> None:
        """A reordering that does not change the logical tensor."""
        source, target = node.parents[0], (node.name, 0)
        before, after = node.inputs[0], node.outputs[0]
        if logical_dims(before) != logical_dims(after):
            raise self.network.error(node, f"cannot make {after} of {before}")
        if source in self.data:
            self.data[target] = self.data[source]
        else:
            self.names[target] = self.names[source]

    def operand(self, node: Node, index: int) -> str:
        """The tensor of an input, with constants in their plain form."""
        if index >= len(node.parents):
            raise self.network.error(node, f"has {len(node.parents)} inputs: too few")
        source = node.parents[index]
        return self._weight(source) if source in self.data else self.names[source]

    def emit(self, node: Node, op_type: str, inputs: Sequence[str], **rest: Any) -> None:
        """Append the operator of a node, and its fused activation."""
        outputs = [spec.name for spec in node.outputs]
        activation = node.params.get("activation", "")
        made = [f"{node.name}.out"] if activation else outputs
        self.out.op(op_type, inputs, made, name=node.name, **rest)
        self.names |= {(node.name, i): name for i, name in enumerate(outputs)}
        if activation:
            self.activate(node, activation, f"{node.name}.{activation.lower()}", made[0])

    def activate(self, node: Node, activation: str, name: str, source: str) -> None:
        """Append an activation between `source` and the node's output."""
        if activation not in UNARY:
            raise self.network.error(node, f"'{activation}' is not an activation", ", ".join(UNARY))
        numbers = {**ACT_DEFAULTS.get(activation, {}), **node.params.get("act", {})}
        attrs: dict[str, Any] = {
            theirs: float(numbers[ours]) for ours, theirs in ACT_ATTRS.get(activation, {}).items()
        }
        inputs = [source]
        if activation == "Softmax":
            attrs["axis"] = -1
        if activation == "HardTanh":
            dtype = self.out.tensors[source].dtype
            inputs += [
                self.out.constant(f"{name}.{bound}", np.array(numbers[bound], dtype))
                for bound in ("min", "max")
            ]
        output = node.outputs[0].name
        self.out.op(UNARY[activation], inputs, [output], name=name, attrs=attrs)
        self.names[node.name, 0] = output
        if source in self.flattened:
            self.flattened[output] = self.flattened[source]

    def unary(self, node: Node) -> None:
        self.activate(node, node.op, node.name, self.operand(node, 0))

    def binary(self, node: Node) -> None:
        sides = [self.operand(node, index) for index in (0, 1)]
        if node.inputs[0].layout != node.inputs[1].layout:
            raise self.network.error(
                node, f"its inputs {node.inputs[0]} and {node.inputs[1]} differ in layout"
            )
        self.emit(node, BINARY[node.op], sides)

    def convolution(self, node: Node) -> None:
        x = self.operand(node, 0)
        group = 1
        if node.op == "ConvolutionDepthwise" and len(node.parents) == 2:
            if node.parents[1] not in self.data:
                raise self.network.error(node, "needs its weights from a Data node")
            _, group, *kernel = logical_dims(node.inputs[1])
            shape = (group, 1, *kernel)
            weight = self._weight(
                node.parents[1], "depthwise", lambda array: array.swapaxes(0, 1), shape
            )
        else:
            weight = self.operand(node, 1)
        dims = [int(dim) for dim in self.out.tensors[weight].shape or ()]
        kernel = dims[2:]
        pads = same_pads(kernel) if node.params.get("padding") == "SamePadding" else []
        attrs: dict[str, Any] = {
            "kernel_shape": tuple(kernel),
            "strides": self.two(node, "stride"),
            "dilations": (1, 1),
            "group": group,
        }
        self.emit(
            node, "Conv", [x, weight], attrs=attrs | ({"pads": tuple(pads)} if any(pads) else {})
        )

    def two(self, node: Node, name: str) -> tuple[int, ...]:
        """A parameter for rows and columns."""
        sizes = node.params.get(name, ())
        if len(sizes) != 2 or not all(0 < size < 1 << 31 for size in sizes):
            raise self.network.error(node, f"{name} {list(sizes)}", "two positive numbers")
        return sizes

    def pool(self, node: Node) -> None:
        op_type = "MaxPool" if node.op == "MaxPooling" else "AveragePool"
        attrs = {"kernel_shape": self.two(node, "pool_size"), "strides": self.two(node, "stride")}
        self.emit(node, op_type, [self.operand(node, 0)], attrs=attrs)

    def dense(self, node: Node) -> None:
        x = self.operand(node, 0)
        chw = self.flattened.get(x)
        if chw is None or node.parents[1] not in self.data:
            weight = self.operand(node, 1)
        else:
            form = "x".join(map(str, chw))
            weight = self._weight(node.parents[1], form, lambda a: columns_to_nchw(a, chw))
        self.emit(node, "Gemm", [x, weight], attrs={"transB": 1})

    def batch_norm(self, node: Node) -> None:
        if len(node.parents) != 5 or any(source not in self.data for source in node.parents[1:]):
            raise self.network.error(node, "needs an input and four weights from Data nodes")
        parts = []
        for source, form in zip(node.parents[1:], ("", "variance", "", ""), strict=True):
            count = int(np.prod(self.data[source].inputs[0].dims, dtype=object))
            change = variance_of if form else (lambda array: array)
            parts.append(self._weight(source, form or "vector", change, (count,)))
        mean, variance, gamma, beta = parts
        self.emit(
            node,
            "BatchNormalization",
            [self.operand(node, 0), gamma, beta, mean, variance],
            attrs={"epsilon": EPSILON},
        )

    def reorder(self, node: Node) -> None:
        before, after = node.inputs[0], node.outputs[0]
        x = self.operand(node, 0)
        if {before.layout, after.layout} == {"NCT", "NTC"}:
            self.emit(node, "Transpose", [x], attrs={"perm": (0, 2, 1)})
            return
        if after.layout != "NC" or len(before.dims) != 4:
            raise self.network.error(node, f"cannot make {after} of {before}")
        dims = logical_dims(before)
        if not same_order(before):
            if self._feeds_only_dense((node.name, 0)):
                self.flattened[after.name] = (dims[1], dims[2], dims[3])
            else:
                x = self.as_stored(node, x)
        self.emit(node, "Flatten", [x], attrs={"axis": 1})

    def _feeds_only_dense(self, source: tuple[str, int]) -> bool:
        """Whether a flattened tensor only reaches dense layers whose weights can be permuted."""
        readers = self._seen_through(source, lambda node: node.op in UNARY and node.op != "Softmax")
        return bool(readers) and all(
            reader.op == "InnerProduct"
            and position == 0
            and len(reader.parents) > 1
            and self._is_stored_weight(reader.parents[1])
            for reader, position in readers
        )

    def _is_stored_weight(self, source: tuple[str, int]) -> bool:
        node = self.nodes[source[0]]
        while _is_view(node):
            source, node = node.parents[0], self.nodes[node.parents[0][0]]
        return node.op == "Data" and self._only_weight(source)

    def as_stored(self, node: Node, x: str) -> str:
        """An NHWC image with its elements in storage order."""
        name = f"{node.name}.nhwc"
        self.out.op("Transpose", [x], [f"{name}.out"], name=name, attrs={"perm": (0, 2, 3, 1)})
        return f"{name}.out"

    def axis(self, node: Node, name: str) -> int:
        """A stored axis, as an axis of the logical tensor."""
        axis, rank = node.params.get(name, 0), len(node.inputs[0].dims)
        if not -rank <= axis < rank:
            raise self.network.error(node, f"axis {axis} of {node.inputs[0]}")
        order = TO_LOGICAL.get(node.inputs[0].layout, tuple(range(rank)))
        return order.index(axis % rank)

    def concat(self, node: Node) -> None:
        parts = [self.operand(node, index) for index in range(len(node.parents))]
        self.emit(node, "Concat", parts, attrs={"axis": self.axis(node, "concat_axis")})

    def split(self, node: Node) -> None:
        axis = self.axis(node, "split_axis")
        x = self.operand(node, 0)
        sizes = [logical_dims(spec)[axis] for spec in node.outputs]
        self.emit(
            node, "Split", [x, self.out.constant(f"{node.name}.split", sizes)], attrs={"axis": axis}
        )

    def reshape(self, node: Node) -> None:
        x, after = self.operand(node, 0), node.outputs[0]
        if not same_order(node.inputs[0]):
            x = self.as_stored(node, x)
        shape = self.out.constant(
            f"{node.name}.shape", logical_dims(after) if same_order(after) else after.dims
        )
        if same_order(after):
            self.emit(node, "Reshape", [x, shape])
            return
        self.out.op("Reshape", [x, shape], [f"{node.name}.out"], name=node.name)
        self.out.op(
            "Transpose",
            [f"{node.name}.out"],
            [after.name],
            name=f"{node.name}.nchw",
            attrs={"perm": (0, 3, 1, 2)},
        )
        self.names[node.name, 0] = after.name

    def repeat(self, node: Node) -> None:
        before, after = logical_dims(node.inputs[0]), logical_dims(node.outputs[0])
        if len(before) != len(after) or any(b % a for a, b in zip(before, after, strict=False)):
            raise self.network.error(node, f"cannot repeat {node.inputs[0]} to {node.outputs[0]}")
        counts = [b // a for a, b in zip(before, after, strict=True)]
        repeats = self.out.constant(f"{node.name}.repeats", counts)
        self.emit(node, "Tile", [self.operand(node, 0), repeats])

    def padding(self, node: Node) -> None:
        sizes, rank = node.params.get("padding_size", ()), len(node.inputs[0].dims)
        if len(sizes) != 2 * rank or not all(0 <= size < 1 << 31 for size in sizes):
            raise self.network.error(node, f"padding_size {list(sizes)}", f"{2 * rank} sizes")
        order = TO_LOGICAL.get(node.inputs[0].layout, range(rank))
        pads = [sizes[2 * axis + side] for side in (0, 1) for axis in order]
        given = self.out.constant(f"{node.name}.pads", pads)
        self.emit(node, "Pad", [self.operand(node, 0), given])

    def control(self, node: Node) -> None:
        inputs = [self.operand(node, index) for index in range(len(node.parents))]
        self.emit(node, node.op, inputs, domain="smaug")


def _is_view(node: Node) -> bool:
    layouts = {node.inputs[0].layout, node.outputs[0].layout} if node.op == "Reorder" else set()
    return layouts in ({"NCHW", "NHWC"}, {"NC", "CN"})


_T = _Translator
_TRANSLATORS: dict[str, Callable[[_Translator, Node], None]] = {
    **dict.fromkeys(UNARY, _T.unary),
    **dict.fromkeys(BINARY, _T.binary),
    **dict.fromkeys(("Convolution3d", "ConvolutionDepthwise"), _T.convolution),
    **dict.fromkeys(("MaxPooling", "AveragePooling"), _T.pool),
    **dict.fromkeys(("Switch", "Merge"), _T.control),
    "InnerProduct": _T.dense,
    "BatchNorm": _T.batch_norm,
    "Reorder": _T.reorder,
    "Concat": _T.concat,
    "Split": _T.split,
    "Reshape": _T.reshape,
    "Repeat": _T.repeat,
    "Padding": _T.padding,
}
