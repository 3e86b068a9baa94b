"""Read a PyTorch module as a `Graph`, by torch.export and PyTorch's own translation to ONNX.

Weights are not copied: an initializer's `load` reads the module's tensor. A module on the meta
device has no values, and its weights are only declared.
"""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import GraphError, InputError, MissingExtra
from lydite.graph.graph import Graph, Initializer
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.shapes.retype import renamed_dims

_TARGET = re.compile(r"Error when translating node .*?target=torch\.ops\.([\w.]+)")
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def read_torch(
    module: Any, *args: Any, dynamic: Any = None, kwargs: Mapping[str, Any] | None = None
) -> Graph:
    """Export a module as it runs with `args`.

    Args:
        module: A `torch.nn.Module`, in the mode (train or eval) to export.
        args: Example inputs; moved to the meta device if the module is there.
        dynamic: Dynamic sizes, as in torch.export's `dynamic_shapes`.
        kwargs: Example inputs by name.

    Raises:
        MissingExtra: torch, onnxscript or onnx_ir is not installed.
        GraphError: the module cannot be exported, or an operator has no translation; the error
            names it, the module and the line of Python that called it.
    """
    torch = _torch()
    args, kwargs = _placed(torch, module, (args, dict(kwargs or {})))
    name = type(module).__name__
    with _quiet():
        try:
            program = torch.export.export(
                module, args, kwargs, dynamic_shapes=dynamic, strict=False
            )
        except Exception as error:  # whatever the module's own code raises
            raise GraphError(f"cannot be exported: {_first_line(error)}", where=name) from error
    return _with_dim_names(read_exported(program), program, dynamic).renamed(name)


def read_exported(program: Any) -> Graph:
    """An exported program (`torch.export.export`) as a graph.

    Raises:
        InputError: given a path; loading a `.pt2` runs code from the file, so the caller has to.
        MissingExtra, GraphError: as for `read_torch`.
    """
    if isinstance(program, str | Path):
        raise refused_pt2(program)
    torch = _torch()
    if not isinstance(program, torch.export.ExportedProgram):
        raise InputError(f"{type(program).__name__} is not an exported program")
    name = "exported"
    with _quiet():
        try:
            model = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False).model
        except torch.onnx.OnnxExporterError as error:
            raise _untranslated(program, error) from error
        weights = _detached(model)
        proto = _optimised(model)
    graph = _with_weights(graph_from_model(proto, where=name), weights)
    trained = set(program.graph_signature.parameters)
    return replace(graph, buffers=frozenset(set(graph.initializers) - trained))


def _with_dim_names(graph: Graph, program: Any, dynamic: Any) -> Graph:
    """The graph whose open sizes have the names that the caller's `Dim`s have.

    PyTorch exports them as symbols, such as s31.
    """
    names = {}
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    users = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in inputs if node.name in users]
    for shape, axes in zip(shapes, _axes_of(dynamic), strict=False):
        for axis, dim in axes.items():
            symbol, called = str(shape[axis]), getattr(dim, "__name__", "")
            if symbol.isidentifier() and called.isidentifier():
                names[symbol] = called
    return renamed_dims(graph, names) if names else graph


def _axes_of(dynamic: Any) -> list[Mapping[int, Any]]:
    """Dims by axis for every input, in order."""
    if isinstance(dynamic, Mapping):
        dynamic = list(dynamic.values())
    if not isinstance(dynamic, list | tuple):
        return []
    found: list[Mapping[int, Any]] = []
    for item in dynamic:
        if isinstance(item, Mapping) and all(isinstance(axis, int) for axis in item):
            found.append(item)
        elif isinstance(item, list | tuple) and not any(isinstance(i, Mapping) for i in item):
            found.append(dict(enumerate(item)))
        elif item is None:
            found.append({})
        else:
            found += _axes_of(item)
    return found


def refused_pt2(path: Path | str) -> InputError:
    """The refusal to load a saved program, parts of which PyTorch unpickles, which can run code."""
    return InputError(
        "is not loaded: torch.export.load unpickles the file's inputs and constants, which can "
        "run any code",
        where=str(path),
        hint="if you trust it, pass torch.export.load(path) to read_exported",
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch") from None
    for package in ("onnxscript", "onnx_ir"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtra(package, "torch") from None
    return torch


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's notices about packages that are not installed."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def _placed(torch: Any, module: Any, given: Any) -> Any:
    """Example inputs on the meta device, if the module is there."""
    tensors = [*module.parameters(), *module.buffers()]
    if not any(tensor.is_meta for tensor in tensors):
        return given
    return torch.utils._pytree.tree_map_only(torch.Tensor, lambda t: t.to("meta"), given)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _untranslated(program: Any, error: BaseException) -> GraphError:
    """The error for what PyTorch could not translate, with the place where the module calls it."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__
    told = _TARGET.search("\n".join(str(item) for item in causes))
    if told is None:
        return GraphError(f"cannot be translated: {_first_line(causes[-1])}", where="exported")
    target = told[1]
    places = [
        _place(node)
        for node in program.graph.nodes
        if node.op == "call_function" and _plain(str(node.target)) == _plain(target)
    ]
    where = places[0] if places else "exported"
    return GraphError(f"PyTorch has no translation of {target} to ONNX", where=where)


def _plain(target: str) -> str:
    """Name to compare: "aten._linalg_eigh.default" is decomposed to "aten.linalg_eigh.default"."""
    return target.replace("._", ".")


def _place(node: Any) -> str:
    """The module's path and the line of Python that created a node."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    calls = [line.strip() for line in (node.stack_trace or "").splitlines() if "File " in line]
    return ", ".join(part for part in (path or "the module", calls[-1] if calls else "") if part)


def _detached(model: Any) -> dict[str, Any]:
    """Turn the weights of an onnx_ir model into inputs, so that their values are not read."""
    weights = {}
    for name, value in list(model.graph.initializers.items()):
        weights[name] = getattr(value.const_value, "raw", None)
        value.const_value = None
        del model.graph.initializers[name]
        model.graph.inputs.append(value)
    return weights


def _optimised(model: Any) -> Any:
    """The model as protobuf, with constants folded."""
    import onnx_ir
    from onnxscript import optimizer

    optimizer.optimize_ir(model)
    return onnx_ir.serde.serialize_model(model)


def _with_weights(graph: Graph, tensors: Mapping[str, Any]) -> Graph:
    """The graph with those inputs that are weights as initializers."""
    weights = {
        name: Initializer(graph.type_of(name), load=_loader(tensor))
        for name, tensor in tensors.items()
        if name in graph.inputs and graph.consumers.get(name)
    }
    inputs = tuple(name for name in graph.inputs if name not in tensors)
    return replace(graph, inputs=inputs, initializers={**weights, **graph.initializers})


def _loader(tensor: Any):
    if tensor is None or tensor.is_meta:
        return None

    def load() -> np.ndarray:
        import torch

        held = tensor.detach().cpu().contiguous()
        if held.dtype is not torch.bfloat16:
            return held.numpy()
        from lydite.graph.dtypes import numpy_dtype

        return held.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))

    return load
