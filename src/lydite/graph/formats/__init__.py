"""Readers of other systems' models: what a file is, is told by its content.

    graph = read_file("model.onnx", dims={"batch": 8})
    graph = read_file("lenet5_smv_topo.pbtxt", params="lenet5_smv_params.pb")   # SMAUG
    graph = read_file("graph_0.pbtxt")                                           # TensorFlow
    graph = read_file("resnet50.json")                                           # AISim

A PyTorch module is read by `lydite.graph.formats.torch_reader.read_torch`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.graph.formats.aisim_reader import graph_of_aisim, read_aisim_graph
from lydite.graph.formats.pbtxt import read_pbtxt, read_text
from lydite.graph.formats.smaug_network import network_of_message
from lydite.graph.formats.smaug_params import load_params
from lydite.graph.formats.smaug_reader import graph_of_network, read_smaug
from lydite.graph.formats.smaug_writer import write_smaug
from lydite.graph.formats.tensorflow_reader import (
    graph_of_graphdef,
    read_graphdef,
    untranslated,
)
from lydite.graph.graph import Graph
from lydite.graph.onnx_reader import read_onnx
from lydite.graph.shapes.retype import bind_dims

__all__ = [
    "read_aisim_graph",
    "read_file",
    "read_graphdef",
    "read_smaug",
    "suffixes",
    "untranslated",
    "write_smaug",
]

Reader = Callable[[Path, "Path | None"], Graph]


def read_file(
    path: Path | str, *, params: Path | str | None = None, dims: Mapping[str, int] | None = None
) -> Graph:
    """Read a model file of any format that is known.

    Args:
        path: the file.
        params: a second file with the weights, where the format has one (SMAUG).
        dims: symbolic sizes to bind, by name.

    Raises:
        InputError: an unknown format (says what is read), or as the format's own reader.
    """
    path = Path(path)
    for name, suffix, _, reader in _FORMATS:
        if path.name.endswith(suffix):
            if params is not None and suffix != ".pbtxt":
                raise InputError(f"{name} has no file of parameters", where=str(path))
            if suffix == ".onnx":
                return read_onnx(path, dims=dims)
            graph = reader(path, None if params is None else Path(params))
            return bind_dims(graph, dims) if dims else graph
    what = "is a folder" if path.is_dir() else "no such file" if not path.exists() else ""
    raise InputError(what or "has a format that nobody reads", where=str(path), allowed=suffixes())


def suffixes() -> str:
    """What is read, for messages: "model.onnx (ONNX), ..."."""
    return ", ".join(f"*{suffix} ({name})" for name, suffix, listed, _ in _FORMATS if listed)


def _pbtxt(path: Path, params: Path | None) -> Graph:
    """SMAUG's topologies have `nodes`, TensorFlow's graphs `node`."""
    root = read_pbtxt(path)
    if root.all("nodes"):
        network = network_of_message(root)
        if params is not None:
            load_params(network, params)
        return graph_of_network(network)
    if root.all("node"):
        if params is not None:
            raise InputError("a GraphDef has no file of parameters", where=str(path))
        return graph_of_graphdef(root)
    raise root.error(
        "a text that nobody reads", allowed="SMAUG's topology (nodes) or a GraphDef (node)"
    )


def _json(path: Path, _: Path | None) -> Graph:
    """AISim's is a list of nodes."""
    try:
        content: Any = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", where=str(path)) from error
    if isinstance(content, dict):
        raise InputError(
            "an object that nobody reads", where=str(path), allowed="AISim's list of nodes"
        )
    return graph_of_aisim(content, str(path))


def _onnx(path: Path, _: Path | None) -> Graph:
    return read_onnx(path)


def _pt2(path: Path, _: Path | None) -> Graph:
    from lydite.graph.formats.torch_reader import refused_pt2

    raise refused_pt2(path)


_FORMATS: tuple[tuple[str, str, bool, Reader], ...] = (
    ("ONNX", ".onnx", True, _onnx),
    ("SMAUG or TensorFlow", ".pbtxt", True, _pbtxt),
    ("AISim", ".json", True, _json),
    ("PyTorch", ".pt2", False, _pt2),
)
"""Name, suffix, whether it is listed, and reader."""
