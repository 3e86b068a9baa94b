"""Places of a graph's tensors in a SMAUG network: layouts, weights, fusion."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lydite.compat.smaug.topology.layout import (
    ACT_ATTRS,
    CONSTANT,
    FEED,
    UNARY,
    stored_dims,
    to_stored,
)
from lydite.compat.smaug.topology.network import ALIGNMENT, DTYPES, Network, Node, Spec
from lydite.errors import InputError
from lydite.graph import Graph, Initializer, Op, default_attrs
from lydite.graph.formats import OPSET

ACTIVATIONS = {onnx: smaug for smaug, onnx in UNARY.items()}
"""SMAUG's names of activations, by ONNX's."""

_FUSING = ("Conv", "Gemm", "BatchNormalization")
_WEIGHTS = {"Conv": 1, "Gemm": 1, "BatchNormalization": 4}
"""Number of inputs that are weights, by operator."""

Place = tuple[str, int, Spec]
"""A node, an output index, and how that output is stored."""


class Placer:
    """Tracks where each tensor of a graph is stored, and appends nodes to a network.

    Args:
        graph: Graph to write.
        network: Network that receives the nodes.
        seed: Random seed for missing values.
    """

    def __init__(self, graph: Graph, network: Network, seed: int) -> None:
        self.graph, self.network, self.seed = graph, network, seed
        self.image = "NHWC" if network.backend == "SMV" else "NCHW"
        self.weights = "NC" if network.backend == "SMV" else "CN"
        self.made: dict[str, dict[str, Place]] = {}
        self.stored: dict[str, str] = {}
        self.fused: set[str] = set()
        self.next = {one.name: other for one, other in itertools.pairwise(graph.ops)}
        self.flat: dict[str, tuple[int, int, int]] = {}

    def refuse(self, op: Op, what: str, allowed: str = "") -> InputError:
        """An error that names the operator."""
        return InputError(
            what,
            where=f"{self.graph.name}: {op.name} ({op.qualified_type}) for SMAUG",
            allowed=allowed,
        )

    def dims(self, name: str) -> tuple[int, ...]:
        """Sizes of a tensor.

        Raises:
            InputError: the sizes are not fixed, or SMAUG does not have the type.
        """
        type_ = self.graph.type_of(name)
        allowed = ["float16", "bool", "int32", "int64"]
        allowed += ["float32", "float64"] if self.network.backend != "SMV" else []
        if type_.dtype not in allowed or type_.dtype not in DTYPES.values():
            raise InputError(
                f"'{name}' is {type_}",
                where=self.graph.name,
                allowed=f"for the backend {self.network.backend} {', '.join(allowed)}",
            )
        if type_.shape is None or not type_.is_static or not 1 <= len(type_.shape) <= 4:
            raise InputError(
                f"'{name}' is {type_}", where=self.graph.name, allowed="1 to 4 fixed sizes"
            )
        return tuple(int(dim) for dim in type_.shape)

    def layout_of(self, name: str) -> str:
        """Layout that the backend needs for a tensor."""
        return {4: self.image, 3: "NTC", 2: "NC", 1: "N"}[len(self.dims(name))]

    def spec(self, name: str, tensor: str, layout: str) -> Spec:
        """A tensor as stored by SMAUG."""
        dims = stored_dims(self.dims(tensor), layout)
        dtype = self.graph.type_of(tensor).dtype
        return Spec(name, dtype, dims, layout, ALIGNMENT[self.network.backend])

    def data(
        self,
        name: str,
        shape: tuple[int, ...] | None,
        layout: str,
        *,
        end: str = "/input0",
        change: Callable[[np.ndarray], np.ndarray] = lambda array: array,
    ) -> Place:
        """A Data node for an input or a weight; `change` converts its values to SMAUG's form."""
        weight = self.graph.initializers.get(name)
        if weight is None and end == "/input0" and self.looks_like_weight(name):
            end = FEED
        dims = shape or stored_dims(self.dims(name), layout)
        dtype, alignment = self.graph.type_of(name).dtype, ALIGNMENT[self.network.backend]
        given = Spec(name + end, dtype, dims, layout, alignment)
        made = Spec(f"{name}/output0", dtype, dims, layout, alignment)
        self.network.nodes.append(Node(name, "Data", [], [given], [made]))
        seed = self.seed + len(self.network.data)
        source = weight or Initializer(self.graph.type_of(name))

        def load() -> np.ndarray:
            array = change(source.array(seed))
            return array.reshape(shape) if shape else to_stored(array, layout)

        self.network.data[given.name] = load
        found = (name, 0, made)
        self.made.setdefault(name, {})[layout if shape is None else "weight"] = found
        return found

    def looks_like_weight(self, name: str) -> bool:
        """Whether the reader would consider it a weight from its use alone."""
        readers = self.graph.consumers.get(name, [])
        return bool(readers) and all(
            name in op.inputs[1 : 1 + _WEIGHTS.get(op.op_type, 0)] and name != op.inputs[0]
            for op in readers
        )

    def want(self, op: Op, index: int, layout: str = "") -> Place:
        """Place of an input, reordered to `layout` if it is stored otherwise."""
        name = op.inputs[index]
        if name in self.stored:
            raise self.refuse(op, f"reads '{name}', a transposed image")
        if name not in self.made:
            if name not in self.graph.initializers:
                raise self.refuse(op, f"reads '{name}', which SMAUG does not keep")
            end = CONSTANT if not self.looks_like_weight(name) else "/input0"
            self.data(name, None, layout or self.layout_of(name), end=end)
        places = self.made[name]
        if not layout or layout in places:
            return places.get(layout) or next(iter(places.values()))
        source = next(iter(places.values()))
        return self.reorder(f"{name}:{layout.lower()}", source, name, layout)

    def reorder(self, name: str, source: Place, tensor: str, layout: str) -> Place:
        """Reorder a tensor to another layout."""
        node_name = name.replace("/", ":")
        made = self.spec(f"{node_name}/output0", tensor, layout)
        self.network.nodes.append(Node(node_name, "Reorder", [source[:2]], [source[2]], [made]))
        self.made[tensor][layout] = (node_name, 0, made)
        return self.made[tensor][layout]

    def emit(
        self,
        op: Op,
        smaug_op: str,
        sources: list[Place],
        layout: str,
        outputs: tuple[str, ...] = (),
        **params: Any,
    ) -> None:
        """Append a node for an operator; its outputs lie in `layout`."""
        fused = self._fused_activation(op)
        if fused is not None:
            self.fused.add(fused.name)
            params |= {"activation": ACTIVATIONS[fused.op_type], **self.activation(fused)}
        names = fused.outputs if fused is not None else outputs or op.outputs
        specs = [self.spec(name, name, layout) for name in names]
        inputs = [source[2] for source in sources]
        parents = [source[:2] for source in sources]
        self.network.nodes.append(Node(op.name, smaug_op, parents, inputs, specs, params))
        for index, name in enumerate(names):
            self.made[name] = {layout: (op.name, index, specs[index])}

    def _fused_activation(self, op: Op) -> Op | None:
        if op.op_type not in _FUSING or op.outputs != (f"{op.name}.out",):
            return None
        after = self.next.get(op.name)
        if (
            after is None
            or self.graph.consumers.get(op.outputs[0]) != [after]
            or after.op_type not in ACTIVATIONS
            or after.inputs[0] != op.outputs[0]
            or after.name != f"{op.name}.{ACTIVATIONS[after.op_type].lower()}"
        ):
            return None
        return after

    def activation(self, op: Op) -> dict[str, Any]:
        """The parameters of an activation."""
        kind = ACTIVATIONS[op.op_type]
        if kind == "HardTanh":
            bounds = [self.graph.constant(name) for name in op.inputs[1:]]
            names = op.inputs[1:] == (f"{op.name}.min", f"{op.name}.max")
            if len(bounds) != 2 or not names or any(b is None or b.size != 1 for b in bounds):
                raise self.refuse(op, "needs constant bounds", f"{op.name}.min and {op.name}.max")
            numbers = [float(b.item()) for b in bounds if b is not None]
            return {"act": dict(zip(("min", "max"), numbers, strict=True))}
        attrs: Mapping[str, Any] = {**default_attrs(op.op_type, "", OPSET), **op.attrs}
        found = {ours: attrs[theirs] for ours, theirs in ACT_ATTRS.get(kind, {}).items()}
        return {"act": found} if found else {}
