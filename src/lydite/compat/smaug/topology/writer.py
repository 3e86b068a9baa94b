"""Write a `Graph` as SMAUG's two files, from which the reader restores the same graph.

What SMAUG has no operator for is refused by name: biases inside a layer, broadcasting, groups,
paddings other than its own. An activation is fused into the layer before it where it is named after
it ("conv" and "conv.relu"), as the reader names what SMAUG had fused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lydite.compat.smaug.topology.layout import (
    BINARY,
    FROM_LOGICAL,
    columns_to_nhwc,
    free_outputs,
    same_order,
    same_pads,
    stored_dims,
    stored_variance,
    to_stored,
)
from lydite.compat.smaug.topology.network import (
    Network,
    Spec,
    topology_text,
)
from lydite.compat.smaug.topology.params import params_bytes
from lydite.compat.smaug.topology.place import ACTIVATIONS, Place, Placer
from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.graph import Graph, Op, random_weight
from lydite.opkey import TensorType

_BINARY = {onnx: smaug for smaug, onnx in BINARY.items()}
_CONTROL = ("smaug:Switch", "smaug:Merge")


def write_smaug(
    graph: Graph,
    folder: Path | str,
    *,
    backend: str = "SMV",
    mem_policy: str = "AllDma",
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write `<name>_topo.pbtxt` and `<name>_params.pb`; missing values are drawn at random.

    SMAUG does not store the epsilon of a batch normalisation: the variance is stored as the
    reciprocal root, and read back with 1e-5.

    Raises:
        InputError: SMAUG has no form for an operator, a type or a tensor (names it).
        LyditeError: the folder cannot be written.
    """
    return write_network(network_of_graph(graph, backend, mem_policy, seed), folder)


def write_network(network: Network, folder: Path | str, seed: int = 0) -> tuple[Path, Path]:
    """Write a network's two files; see `write_smaug`."""
    stem = Path(folder) / network.name
    if stem.parent != Path(folder) or not network.name.isprintable():
        raise InputError(f"'{network.name}' is not a file name")
    specs = {node.inputs[0].name: node.inputs[0] for node in network.nodes if node.op == "Data"}
    data = params_bytes(
        (spec, _numbers(network, spec, seed + index)) for index, spec in enumerate(specs.values())
    )
    topology = write_atomic(stem.with_name(f"{stem.name}_topo.pbtxt"), topology_text(network))
    return topology, write_atomic(stem.with_name(f"{stem.name}_params.pb"), data)


def _numbers(network: Network, spec: Spec, seed: int) -> np.ndarray:
    """Values of a Data node; drawn at random if missing."""
    given = network.data.get(spec.name)
    if given is None:
        return random_weight(TensorType(spec.dtype, spec.dims), seed)
    return given() if callable(given) else given


def network_of_graph(
    graph: Graph, backend: str = "SMV", mem_policy: str = "AllDma", seed: int = 0
) -> Network:
    """A graph as a network of SMAUG; see `write_smaug`."""
    return _Writer(graph, Network(graph.name, backend, mem_policy), seed).run()


class _Writer(Placer):
    """Translates the operators one at a time."""

    def run(self) -> Network:
        for name in self.graph.inputs:
            self.data(name, None, self.layout_of(name))
        for op in self.graph.ops:
            if op.name not in self.fused:
                self._operator(op)
        self._check_outputs()
        self.network.in_order()
        return self.network

    def _check_outputs(self) -> None:
        free = free_outputs(self.graph.ops)
        if tuple(free) != self.graph.outputs:
            raise InputError(
                f"its outputs are {', '.join(self.graph.outputs)}",
                where=self.graph.name,
                allowed=f"for SMAUG the tensors that no operator reads: {', '.join(free)}",
            )

    # --- operators ----------------------------------------------------------------------------

    def _operator(self, op: Op) -> None:
        kind = op.qualified_type
        if kind in ACTIVATIONS:
            self.unary(op)
        elif kind in _BINARY:
            self.binary(op)
        elif kind in _CONTROL:
            sources = [self.want(op, i) for i in range(len(op.inputs))]
            self.emit(op, op.op_type, sources, sources[0][2].layout)
        elif kind in _WRITERS:
            _WRITERS[kind](self, op)
        else:
            known = sorted([*_WRITERS, *ACTIVATIONS, *_BINARY])
            raise self.refuse(op, "SMAUG has no such operator", ", ".join(known))

    def unary(self, op: Op) -> None:
        rank = len(self.dims(op.inputs[0]))
        if op.op_type == "Softmax" and (rank != 2 or op.attrs.get("axis", -1) not in (-1, 1)):
            raise self.refuse(op, f"over {rank} dimensions", "over the last of two")
        source = self.want(op, 0)
        self.emit(op, ACTIVATIONS[op.op_type], [source], source[2].layout, **self.activation(op))

    def binary(self, op: Op) -> None:
        shapes = [self.dims(name) for name in op.inputs]
        if shapes[0] != shapes[1]:
            raise self.refuse(op, f"broadcasts {shapes[0]} and {shapes[1]}", "equal sizes")
        first = self.want(op, 0)
        layout = first[2].layout
        self.emit(op, _BINARY[op.op_type], [first, self.want(op, 1, layout)], layout)

    def convolution(self, op: Op) -> None:
        x, w = self.dims(op.inputs[0]), self.dims(op.inputs[1])
        kernel, attrs = w[2:], op.attrs
        group = attrs.get("group", 1)
        depthwise = group == x[1] and group == w[0] and w[1] == 1 and x[1] > 1
        if len(op.inputs) > 2 or len(x) != 4:
            raise self.refuse(op, "has a bias or is not over images", "images, no bias")
        if (group != 1 and not depthwise) or any(d != 1 for d in _ints(op, "dilations", 1)):
            raise self.refuse(op, "has groups or a dilation", "neither, or one group a channel")
        params: dict[str, Any] = {
            "padding": self._padding(op, kernel),
            "stride": _ints(op, "strides", 1),
        }
        source = self.want(op, 0, self.image)
        if depthwise:
            weight = self._weight(
                op, 1, self.image, (1, w[0], *kernel), lambda array: array.swapaxes(0, 1)
            )
            self.emit(op, "ConvolutionDepthwise", [source, weight], self.image, **params)
        else:
            weight = self.want(op, 1, self.image)
            self.emit(op, "Convolution3d", [source, weight], self.image, **params)

    def _padding(self, op: Op, kernel: tuple[int, ...]) -> str:
        pads = list(_ints(op, "pads", 0, 4))
        automatic = op.attrs.get("auto_pad", "NOTSET")
        if pads == same_pads(kernel) and automatic == "NOTSET":
            return "SamePadding"
        if any(pads) or automatic not in ("NOTSET", "VALID"):
            raise self.refuse(
                op,
                f"pads {pads if automatic == 'NOTSET' else automatic}",
                f"none, or {same_pads(kernel)}",
            )
        return "ValidPadding"

    def _weight(
        self,
        op: Op,
        index: int,
        layout: str,
        dims: tuple[int, ...],
        change: Callable[[np.ndarray], np.ndarray],
    ) -> Place:
        """A weight that SMAUG stores with other sizes or in another order; `change` converts it."""
        name = op.inputs[index]
        if name not in self.graph.initializers:
            raise self.refuse(op, f"'{name}' is computed", "a weight with numbers")
        if name in self.made:
            return self.made[name].get("weight") or self.want(op, index)

        def stored(array: np.ndarray) -> np.ndarray:
            return to_stored(change(array).reshape(dims), layout)

        return self.data(name, stored_dims(dims, layout), layout, change=stored)

    def pool(self, op: Op) -> None:
        attrs = dict(op.attrs)
        pads = list(_ints(op, "pads", 0, 4))
        odd = any(pads) or attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        if odd or attrs.get("ceil_mode") or any(d != 1 for d in _ints(op, "dilations", 1)):
            raise self.refuse(op, "has padding, a dilation or rounds up", "none of them")
        kind = "MaxPooling" if op.op_type == "MaxPool" else "AveragePooling"
        source = self.want(op, 0, self.image)
        sizes: dict[str, Any] = {
            "stride": _ints(op, "strides", 1),
            "pool_size": _ints(op, "kernel_shape", 1),
        }
        self.emit(op, kind, [source], self.image, **sizes)

    def dense(self, op: Op) -> None:
        x, w, *bias = op.inputs
        scaled = op.attrs.get("alpha", 1.0) != 1 or op.attrs.get("transA", 0)
        if bias or scaled or not op.attrs.get("transB", 0):
            raise self.refuse(op, "is not x W^T", "transB, no bias, no factor")
        source, chw = self.want(op, 0, "NC"), self._flattened(x)
        if chw is not None and w in self.graph.initializers:
            weight = self._weight(
                op, 1, self.weights, self.dims(w), lambda array: columns_to_nhwc(array, chw)
            )
        else:
            weight = self.want(op, 1, self.weights)
        self.emit(op, "InnerProduct", [source, weight], "NC")

    def _flattened(self, name: str) -> tuple[int, int, int] | None:
        """Channels, rows and columns of the NHWC image whose flat form a tensor is."""
        op = self.graph.producers.get(name)
        while op is not None and op.qualified_type in ACTIVATIONS and op.op_type != "Softmax":
            op = self.graph.producers.get(op.inputs[0])
        return self.flat.get(op.name) if op is not None else None

    def _only_dense(self, name: str) -> bool:
        """Whether a tensor only reaches dense layers whose weights can be permuted."""
        waiting, layers = [name], []
        while waiting:
            read = waiting.pop()
            readers = self.graph.consumers.get(read, [])
            if not readers or read in self.graph.outputs:
                return False
            unary = [op for op in readers if op.op_type in ACTIVATIONS and op.op_type != "Softmax"]
            waiting += [op.outputs[0] for op in unary]
            layers += [(op, read) for op in readers if op not in unary]
        return all(
            op.qualified_type == "Gemm"
            and op.inputs[0] == read != op.inputs[1]
            and op.inputs[1] in self.graph.initializers
            and self.looks_like_weight(op.inputs[1])
            for op, read in layers
        )

    def flatten(self, op: Op) -> None:
        name = op.inputs[0]
        if op.attrs.get("axis", 1) != 1 or len(self.dims(self.stored.get(name, name))) != 4:
            raise self.refuse(op, "is not from an image to a matrix", "axis 1 of four")
        source = self._in_order(op)
        if name not in self.stored and not same_order(source[2]):
            channels, rows, columns = self.dims(name)[1:]
            self.flat[op.name] = (channels, rows, columns)
        self.emit(op, "Reorder", [source], "NC")

    def _in_order(self, op: Op) -> Place:
        """The input of an operator that takes elements in storage order."""
        name = op.inputs[0]
        if name in self.stored:
            inner = Op(op.name, "", (self.stored[name],), ())
            return self.want(inner, 0, "NHWC")
        source = self.want(op, 0)
        dense = op.op_type == "Flatten" and self._only_dense(op.outputs[0])
        if len(source[2].dims) == 4 and not same_order(source[2]) and not dense:
            return self.want(op, 0, "NCHW")
        return source

    def transpose(self, op: Op) -> None:
        perm = op.attrs.get("perm")
        readers = self.graph.consumers.get(op.outputs[0], [])
        if perm == (0, 2, 1):
            source = self.want(op, 0)
            self.emit(op, "Reorder", [source], "NCT" if source[2].layout == "NTC" else "NTC")
        elif (
            perm == FROM_LOGICAL["NHWC"]
            and len(readers) == 1
            and readers[0].op_type in ("Flatten", "Reshape")
            and op.name == f"{readers[0].name}.nhwc"
        ):
            self.stored[op.outputs[0]] = op.inputs[0]
        else:
            raise self.refuse(op, f"perm {perm}", "the last two of three")

    def batch_norm(self, op: Op) -> None:
        count = self.dims(op.inputs[1])[0]
        changes = (lambda a: a, lambda a: a, lambda a: a, stored_variance)
        scale, bias, mean, variance = (
            self._weight(op, index, "NC", (1, count), change)
            for index, change in zip((1, 2, 3, 4), changes, strict=True)
        )
        flat = len(self.dims(op.inputs[0])) == 2
        layout = "NC" if flat else self.image
        sources = [self.want(op, 0, layout), mean, variance, scale, bias]
        self.emit(op, "BatchNorm", sources, layout)

    def _axis(self, op: Op, layout: str) -> int:
        axis: Any = op.attrs.get("axis", 0)
        rank = len(self.dims(op.inputs[0]))
        order: tuple[int, ...] = FROM_LOGICAL.get(layout, tuple(range(rank)))
        return order.index(axis % rank)

    def concat(self, op: Op) -> None:
        layout = self.want(op, 0)[2].layout
        sources = [self.want(op, index, layout) for index in range(len(op.inputs))]
        self.emit(op, "Concat", sources, layout, concat_axis=self._axis(op, layout))

    def split(self, op: Op) -> None:
        source = self.want(op, 0)
        layout = source[2].layout
        self.emit(op, "Split", [source], layout, split_axis=self._axis(op, layout))

    def reshape(self, op: Op) -> None:
        if self.graph.constant(op.inputs[1]) is None:
            raise self.refuse(op, "its shape is computed", "a constant")
        source, after = self._in_order(op), self.graph.consumers.get(op.outputs[0], [])
        rank = len(self.dims(op.outputs[0]))
        if len(after) == 1 and after[0].name == f"{op.name}.nchw":
            self.fused.add(after[0].name)
            self.emit(op, "Reshape", [source], "NHWC", outputs=after[0].outputs)
            return
        layout = {4: "NCHW", 3: "NTC", 2: "NC", 1: "N"}[rank]
        made = stored_dims(self.dims(op.outputs[0]), self.image) if rank == 4 else ()
        if rank == 4 and same_order(Spec("", "", made, self.image)):
            layout = self.image
        self.emit(op, "Reshape", [source], layout)

    def tile(self, op: Op) -> None:
        source = self.want(op, 0)
        self.emit(op, "Repeat", [source], source[2].layout)

    def pad(self, op: Op) -> None:
        pads = self.graph.constant(op.inputs[1]) if len(op.inputs) == 2 else None
        if pads is None or op.attrs.get("mode", "constant") != "constant" or pads.min() < 0:
            raise self.refuse(op, "is not zero padding", "constant, positive sizes")
        source = self.want(op, 0)
        layout, rank = source[2].layout, len(pads) // 2
        order = FROM_LOGICAL.get(layout, range(rank))
        sizes = tuple(int(pads[axis + side * rank]) for axis in order for side in (0, 1))
        self.emit(op, "Padding", [source], layout, padding_size=sizes)


def _ints(op: Op, name: str, default: int, count: int = 2) -> tuple[int, ...]:
    found: Any = op.attrs.get(name, (default,) * count)
    return tuple(found)


_W = _Writer
_WRITERS: dict[str, Callable[[_Writer, Op], None]] = {
    "Conv": _W.convolution,
    "MaxPool": _W.pool,
    "AveragePool": _W.pool,
    "Gemm": _W.dense,
    "BatchNormalization": _W.batch_norm,
    "Flatten": _W.flatten,
    "Transpose": _W.transpose,
    "Concat": _W.concat,
    "Split": _W.split,
    "Reshape": _W.reshape,
    "Tile": _W.tile,
    "Pad": _W.pad,
}
