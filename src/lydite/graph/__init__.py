"""The model graph: `Graph`, its readers and writers, the building API, the work per operator."""

from lydite.graph.attributes import default_attrs
from lydite.graph.builder import Builder, Tensor
from lydite.graph.graph import UNKNOWN, Graph, Initializer, Op, random_weight
from lydite.graph.keys import all_keys, key_of, keys_of, model_key
from lydite.graph.onnx_reader import graph_from_model, read_onnx
from lydite.graph.onnx_writer import model_to_proto, write_onnx
from lydite.graph.op import Attr
from lydite.graph.reuse import SMALL_WEIGHT_BYTES, spans_of
from lydite.graph.shapes.control import retyped
from lydite.graph.shapes.given import with_values
from lydite.graph.shapes.retype import bind_dims, rebatched
from lydite.graph.work import GraphWork, Work, body_runs, total_work, work_of, work_of_key
from lydite.opkey import Operand, OpKey, TensorType

__all__ = [
    "SMALL_WEIGHT_BYTES",
    "UNKNOWN",
    "Attr",
    "Builder",
    "Graph",
    "GraphWork",
    "Initializer",
    "Op",
    "OpKey",
    "Operand",
    "Tensor",
    "TensorType",
    "Work",
    "all_keys",
    "bind_dims",
    "body_runs",
    "default_attrs",
    "graph_from_model",
    "key_of",
    "keys_of",
    "model_key",
    "model_to_proto",
    "random_weight",
    "read_onnx",
    "rebatched",
    "retyped",
    "spans_of",
    "total_work",
    "with_values",
    "work_of",
    "work_of_key",
    "write_onnx",
]
