"""Write a `Graph` as an ONNX model; large weights go into one external file beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lydite.errors import GraphError
from lydite.files import replacing, write_atomic
from lydite.graph.attributes import attr_to_proto, schema, standard_attrs
from lydite.graph.dtypes import dtype_number, type_to_proto
from lydite.graph.graph import Graph, Op
from lydite.opkey import TensorType

UNALLOCATED = "lydite:unallocated"
"""Location of the external data of a weight that is declared without values."""

SUBNORMAL = "lydite:subnormal"
"""Entry of such a weight that holds its share of subnormal numbers."""

INLINE_BYTES = 1 << 20
"""If weights exceed this size in total, they are stored outside the model file."""


def write_onnx(graph: Graph, path: Path | str, *, seed: int = 0, weights: bool = True) -> Path:
    """Write `graph`, drawing missing weights with `seed`; large data go to `path`.data.

    Without `weights`, only small constants keep their values and the other weights are declared:
    a file of a few kilobytes that `read_onnx` understands, but that no runtime can run.

    Raises:
        LyditeError: the folder cannot be written or the disk is full; existing files stay intact.
    """
    path = Path(path)
    if not weights:
        return write_atomic(path, model_to_proto(graph, with_data=False).SerializeToString())
    external = graph.parameter_bytes > INLINE_BYTES
    model = model_to_proto(graph, with_data=not external, seed=seed)
    if external:
        del model.graph.initializer[:]
        location = path.name + ".data"
        _write_data(graph, model, path.with_name(location), location, seed)
    return write_atomic(path, model.SerializeToString())


def _write_data(graph: Graph, model: onnx.ModelProto, path: Path, location: str, seed: int) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        for number, (name, init) in enumerate(graph.initializers.items()):
            proto = _tensor(name, init.array(seed + number))
            offset, raw = -(-file.tell() // 64) * 64, proto.raw_data
            if len(raw) <= 1024:
                model.graph.initializer.append(proto)
                continue
            file.seek(offset)
            file.write(raw)
            light = _declared(name, init.type, location)
            for key, value in (("offset", offset), ("length", len(raw))):
                light.external_data.add(key=key, value=str(value))
            model.graph.initializer.append(light)


def _declared(
    name: str, type_: TensorType, location: str = UNALLOCATED, subnormal: float = 0.0
) -> TensorProto:
    proto = TensorProto(
        name=name,
        data_type=dtype_number(type_.dtype),
        dims=[int(dim) for dim in type_.shape or ()],
        data_location=TensorProto.EXTERNAL,
    )
    proto.external_data.add(key="location", value=location)
    if subnormal:
        proto.external_data.add(key=SUBNORMAL, value=f"{subnormal:g}")
    return proto


def _tensor(name: str, array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def model_to_proto(graph: Graph, *, with_data: bool = True, seed: int = 0) -> onnx.ModelProto:
    """The model as protobuf; without data, large initializers are declared but hold no values."""
    proto = graph_to_proto(graph, with_data=with_data, seed=seed)
    model = helper.make_model(
        proto,
        producer_name="lydite",
        opset_imports=[helper.make_opsetid(d, v) for d, v in graph.opsets.items()],
        functions=list(graph.functions),
    )
    model.ir_version = min(model.ir_version, 10)
    return model


def graph_to_proto(graph: Graph, *, with_data: bool = True, seed: int = 0) -> onnx.GraphProto:
    """A graph or subgraph as protobuf."""
    inputs = [_value(name, graph.type_of(name)) for name in graph.inputs]
    weights: list[TensorProto] = []
    for number, (name, init) in enumerate(graph.initializers.items()):
        if with_data or init.value is not None:
            weights.append(_tensor(name, init.array(seed + number)))
        else:
            weights.append(_declared(name, init.type, subnormal=init.subnormal))
    known_elsewhere = {*graph.inputs, *graph.outputs, *graph.initializers, *graph.outer}
    known = [
        _value(name, type_)
        for name, type_ in graph.tensors.items()
        if name not in known_elsewhere and type_.dtype
    ]
    return helper.make_graph(
        _nodes(graph),
        graph.name or "graph",
        inputs,
        [_value(name, graph.type_of(name)) for name in graph.outputs],
        initializer=weights,
        value_info=known,
    )


def _value(name: str, type_: TensorType) -> onnx.ValueInfoProto:
    if not type_.dtype:
        return helper.make_empty_tensor_value_info(name)
    return helper.make_value_info(name, type_to_proto(type_))


def _nodes(graph: Graph) -> list[onnx.NodeProto]:
    """Operators in order; attention to a window gets a mask, which is the standard's way."""
    nodes: list[onnx.NodeProto] = []
    masks: dict[tuple[int, int, int], str] = {}
    for op in graph.ops:
        node = node_to_proto(op, graph)
        window = op.attrs.get("window")
        if op.qualified_type == "Attention" and isinstance(window, int):
            _mask(node, op, graph, window, nodes, masks)
        nodes.append(node)
    return nodes


def _mask(
    node: onnx.NodeProto,
    op: Op,
    graph: Graph,
    window: int,
    nodes: list[onnx.NodeProto],
    masks: dict[tuple[int, int, int], str],
) -> None:
    """Make key j visible to query i where j > i + past - window."""
    new, past = _length(graph, op, 0), _length(graph, op, 4) if len(op.inputs) > 4 else 0
    size = (new, past, window)
    if size not in masks:
        stem = masks[size] = f"window_{new}_{past}_{window}"
        bounds = {"first": past - window, "end": past - window + new, "zero": 0, "one": 1}
        for name, value in {**bounds, "keys": past + new}.items():
            constant = numpy_helper.from_array(np.array(value, np.int64))
            nodes.append(helper.make_node("Constant", [], [f"{stem}/{name}"], value=constant))
        for name, start, stop in (("query", "first", "end"), ("key", "zero", "keys")):
            ends = [f"{stem}/{start}", f"{stem}/{stop}", f"{stem}/one"]
            nodes.append(helper.make_node("Range", ends, [f"{stem}/{name}"]))
        column = numpy_helper.from_array(np.array([1], np.int64))
        nodes.append(helper.make_node("Constant", [], [f"{stem}/axes"], value=column))
        inputs = [f"{stem}/query", f"{stem}/axes"]
        nodes.append(helper.make_node("Unsqueeze", inputs, [f"{stem}/column"]))
        nodes.append(helper.make_node("Greater", [f"{stem}/key", f"{stem}/column"], [stem]))
    inputs = [*node.input, *[""] * (4 - len(node.input))]
    del node.input[:]
    node.input.extend([*inputs[:3], masks[size], *inputs[4:]])


def _length(graph: Graph, op: Op, index: int) -> int:
    """Tokens of a query or of cached keys."""
    if not op.inputs[index]:
        return 0
    shape = graph.type_of(op.inputs[index]).shape
    dim = shape[-2] if shape is not None and len(shape) > 1 else None
    if not isinstance(dim, int):
        raise GraphError("attention to a window needs sizes", where=f"{graph.name}: {op.name}")
    return dim


def node_to_proto(op: Op, graph: Graph) -> onnx.NodeProto:
    """An operator as protobuf."""
    node = helper.make_node(
        op.op_type, list(op.inputs), list(op.outputs), name=op.name, domain=op.domain
    )
    attrs = standard_attrs(op)
    known = schema(op.op_type, op.domain, graph.opsets.get(op.domain, 1))
    node.attribute.extend(attr_to_proto(k, v, graph_to_proto, known) for k, v in attrs.items())
    return node
