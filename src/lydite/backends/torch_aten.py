"""aten's operators: from the program that `torch.export` records, and as calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lydite.backends.torch_ops import tensor_type
from lydite.errors import BackendError
from lydite.graph import Graph, Initializer, Op, TensorType

DOMAIN = "aten"


def aten_graph(program: Any, name: str) -> Graph:
    """The exported program as a `Graph` of domain "aten"; weights are declared without values."""
    signature = program.graph_signature
    weights = {
        *signature.inputs_to_parameters,
        *signature.inputs_to_buffers,
        *signature.inputs_to_lifted_tensor_constants,
    }
    tensors: dict[str, TensorType] = {}
    initializers: dict[str, Initializer] = {}
    inputs: list[str] = []
    ops: list[Op] = []
    outputs: tuple[str, ...] = ()
    parts: dict[str, list[str]] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder":
            tensors[node.name] = tensor_type(value)
            if node.name in weights:
                initializers[node.name] = Initializer(tensors[node.name])
            else:
                inputs.append(node.name)
        elif node.op == "call_function" and node.target.__name__ == "getitem":
            if isinstance(value, torch.Tensor):
                parts[node.args[0].name][node.args[1]] = node.name
                tensors[node.name] = tensor_type(value)
        elif node.op == "call_function" and value is not None:
            several = isinstance(value, tuple | list)
            values = list(value) if several else [value]
            names = [f"{node.name}.{i}" for i in range(len(values))] if several else [node.name]
            names = [
                name if isinstance(part, torch.Tensor) else ""  # a gradient that was not requested
                for name, part in zip(names, values, strict=True)
            ]
            parts[node.name] = names
            for part, tensor in zip(names, values, strict=True):
                if isinstance(tensor, torch.Tensor):
                    tensors[part] = tensor_type(tensor)
            ops.append(_aten_op(node, names))
        elif node.op == "output":
            outputs = tuple(arg.name for arg in node.args[0] if hasattr(arg, "name"))
    ops = _with_parts(ops, parts)
    return Graph(name, tuple(ops), tensors, tuple(inputs), outputs, initializers, {DOMAIN: 1})


def _with_parts(ops: Sequence[Op], parts: dict[str, list[str]]) -> list[Op]:
    return [
        Op(op.name, op.op_type, op.inputs, tuple(parts[op.name]), op.attrs, op.domain) for op in ops
    ]


def _aten_op(node: Any, outputs: Sequence[str]) -> Op:
    """Convert a call: tensors become inputs in schema order, other arguments attributes."""
    inputs: list[str] = []
    attrs: dict[str, Any] = {}
    schema = node.target._schema
    given = dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | dict(
        node.kwargs
    )
    for argument in schema.arguments:
        value: Any = given.get(argument.name)
        argument_type = str(argument.type)
        if "List[" in argument_type and "Tensor" in argument_type:
            values = list(value or [])
            attrs[f"{argument.name}_count"] = len(values)
            inputs += [v.name if v is not None else "" for v in values]
        elif "Tensor" in argument_type:
            inputs.append(value.name if hasattr(value, "name") else "")
            if isinstance(value, int | float):  # a number passed where the schema has a tensor
                attrs[argument.name] = _plain(value)
        elif argument.name in given and value is not None and argument.name != "device":
            attrs[argument.name] = _plain(value)
    while inputs and not inputs[-1]:
        inputs.pop()
    name = node.target.__name__
    return Op(node.name, name, tuple(inputs), tuple(outputs), attrs, DOMAIN)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float | str) else str(value)


def aten_call(op_type: str, attrs: Any, tensors: Sequence[Any]) -> Callable[[], Any]:
    """Bind an aten operator's tensors and attributes to a call without arguments."""
    packet, _, overload = op_type.partition(".")
    function = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
    if function is None:
        raise BackendError(f"PyTorch {torch.__version__} has no operator aten.{op_type}")
    rest = list(tensors)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for argument in function._schema.arguments:
        argument_type = str(argument.type)
        if "List[" in argument_type and "Tensor" in argument_type:
            count = int(attrs.get(f"{argument.name}_count", 0))
            value, rest = rest[:count], rest[count:]
        elif "Tensor" in argument_type:
            value = rest.pop(0) if rest else None
            value = attrs.get(argument.name) if value is None else value
        elif argument.name in attrs:
            value = _revived(attrs[argument.name], argument_type)
        elif argument.has_default_value():
            value = argument.default_value
        else:
            value = None
        if argument.kwarg_only:
            named[argument.name] = value
        else:
            positional.append(value)
    return lambda: function(*positional, **named)


def _revived(value: Any, argument_type: str) -> Any:
    if isinstance(value, str) and value.startswith("torch."):
        return getattr(torch, value.removeprefix("torch."))
    if argument_type == "bool":
        return bool(value)
    return list(value) if isinstance(value, tuple | list) else value
