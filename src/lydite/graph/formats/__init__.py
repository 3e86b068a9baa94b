"""Readers of model files; a file's suffix and content determine which reader takes it.

    graph = read_file("model.onnx", dims={"batch": 8})
    graph = read_file("lenet5_smv_topo.pbtxt", params="lenet5_smv_params.pb")   # SMAUG
    graph = read_file("graph_0.pbtxt")                                           # TensorFlow
    graph = read_file("resnet50.json")                                           # AISim

A package adds a format through an entry point of the group "lydite.readers" that names a
`ModelReader`. `lydite.graph.formats.torch_reader.read_torch` reads a PyTorch module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lydite.graph.formats.assemble import OPSET, Assembler
from lydite.graph.formats.pbtxt import (
    Fields,
    Name,
    TextMessage,
    first_field,
    format_pbtxt,
    parse_pbtxt,
    read_pbtxt,
    read_text,
)
from lydite.graph.formats.readers import (
    READERS,
    ModelReader,
    bound,
    describe_formats,
    is_model_file,
    may_be_file,
    read_file,
    reader_of,
)

if TYPE_CHECKING:
    from lydite.graph.formats.tensorflow_attrs import DTYPES as TENSORFLOW_DTYPES
    from lydite.graph.formats.tensorflow_attrs import node_of as tensorflow_node
    from lydite.graph.formats.tensorflow_reader import (
        graph_of_graphdef,
        read_graphdef,
        untranslated,
    )

__all__ = [
    "OPSET",
    "READERS",
    "TENSORFLOW_DTYPES",
    "Assembler",
    "Fields",
    "ModelReader",
    "Name",
    "TextMessage",
    "bound",
    "describe_formats",
    "first_field",
    "format_pbtxt",
    "graph_of_graphdef",
    "is_model_file",
    "may_be_file",
    "parse_pbtxt",
    "read_file",
    "read_graphdef",
    "read_pbtxt",
    "read_text",
    "reader_of",
    "tensorflow_node",
    "untranslated",
]

# TensorFlow's reader is imported when one of its names is first used, as most models need none.
_LATER = {
    "TENSORFLOW_DTYPES": "tensorflow_attrs:DTYPES",
    "tensorflow_node": "tensorflow_attrs:node_of",
    "graph_of_graphdef": "tensorflow_reader:graph_of_graphdef",
    "read_graphdef": "tensorflow_reader:read_graphdef",
    "untranslated": "tensorflow_reader:untranslated",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module, _, attribute = _LATER[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)
