"""Readers of formats other than those of simulators: ONNX, TensorFlow, PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lydite.graph.formats.pbtxt import first_field, read_pbtxt
from lydite.graph.formats.readers import ModelReader, bound
from lydite.graph.graph import Graph
from lydite.graph.onnx_reader import read_onnx


class _Onnx(ModelReader):
    """ONNX's binary files."""

    title = "ONNX"
    suffixes = (".onnx",)

    def claims(self, path: Path) -> bool:
        """Takes every file with the suffix; never a folder."""
        return path.suffix == ".onnx"

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph, of any opset."""
        del params
        return read_onnx(path, dims=dims)


class _TensorFlow(ModelReader):
    """TensorFlow's GraphDef in text form."""

    title = "TensorFlow"
    suffixes = (".pbtxt",)
    content = "a GraphDef (node)"

    def claims(self, path: Path) -> bool:
        """Takes messages with fields `node`."""
        return path.is_file() and first_field(path, ("node", "nodes")) == "node"

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph of the message."""
        from lydite.graph.formats.tensorflow_reader import graph_of_graphdef

        del params
        return bound(graph_of_graphdef(read_pbtxt(path)), dims)


class _TensorFlowBinary(ModelReader):
    """TensorFlow's frozen graphs and SavedModels in binary form."""

    title = "TensorFlow"
    suffixes = (".pb",)
    content = "a frozen GraphDef or a SavedModel"

    def claims(self, path: Path) -> bool:
        """Takes such messages, and folders that hold a saved_model.pb."""
        from lydite.graph.formats.graphdef_binary import is_graphdef

        return is_graphdef(path)

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """The graph of the message."""
        from lydite.graph.formats.graphdef_binary import read_graphdef_bytes
        from lydite.graph.formats.tensorflow_reader import graph_of_graphdef

        del params
        return bound(graph_of_graphdef(read_graphdef_bytes(path)), dims)


class _Torch(ModelReader):
    """PyTorch's saved programs, which are refused."""

    title = "PyTorch"
    suffixes = (".pt2",)
    listed = False

    def claims(self, path: Path) -> bool:
        """Takes every such file, in order to explain why it is not loaded."""
        return path.suffix == ".pt2"

    def read(self, path: Path, params: Path | None, dims: Mapping[str, int]) -> Graph:
        """Always refused, because loading such a file can run any code."""
        from lydite.graph.formats.torch_reader import refused_pt2

        del params, dims
        raise refused_pt2(path)


ONNX, TENSORFLOW, TORCH = _Onnx(), _TensorFlow(), _Torch()
TENSORFLOW_BINARY = _TensorFlowBinary()
