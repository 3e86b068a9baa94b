"""Checks of models that nobody vouches for, before ONNX's native code, which trusts its input.

Whole models are refused by name; invalid nodes are kept from shape inference. Fuzzing ONNX 1.23
showed that a few operators crash or hang on attributes of the wrong type, huge axes, malformed
equations, or inputs without a type.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

import onnx
from onnx import TensorProto, checker

from lydite.errors import GraphError, InputError, unknown_name
from lydite.graph.attributes import schema
from lydite.graph.operators import operators

_EQUATION = re.compile(r"[A-Za-z.,\s]*(->[A-Za-z.\s]*)?")
_NEEDS_TYPES = frozenset(("RegexFullMatch", "DictVectorizer", "LabelEncoder", "TreeEnsemble"))
IR_VERSION = 10
_AXES = {"axis": (-(1 << 30), 1 << 30), "batch_dims": (0, 1 << 30)}

KNOWN_DOMAINS = (
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.experimental",
    "com.ms.internal.nhwc",
    "org.pytorch.aten",
    "com.microsoft.dml",
)
OLDEST_OPSET = 7
MOST_INLINED = 100_000
"""Most operators that calls of functions may stand for."""


def check_node(node: onnx.NodeProto, opsets: Mapping[str, int]) -> None:
    """Refuse a node that contradicts its schema; nodes without a schema or with bodies pass.

    Raises:
        onnx.checker.ValidationError: attributes or number of inputs do not fit the operator.
        ValueError: an attribute is out of range.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    known = schema(node.op_type, domain, opsets.get(domain, 1)) is not None
    if known and not any(_bodies(node)):
        checker.check_node(node, _context(tuple(sorted(opsets.items()))))
    for attribute in node.attribute:
        low, high = _AXES.get(attribute.name, (None, None))
        if low is not None and high is not None and not low <= attribute.i <= high:
            raise ValueError(f"{attribute.name}={attribute.i} is not an axis")
        if attribute.name == "equation" and not _EQUATION.fullmatch(attribute.s.decode("latin-1")):
            raise ValueError(f"{attribute.s!r} is not an equation")


@lru_cache(maxsize=64)
def _context(opsets: tuple[tuple[str, int], ...]) -> Any:
    context = checker.C.CheckerContext()
    context.ir_version = IR_VERSION
    context.opset_imports = dict(opsets)
    return context


def safe_as_a_whole(model: onnx.ModelProto, opsets: Mapping[str, int]) -> bool:
    """Whether whole-model shape inference is safe.

    Every node must pass `check_node` and read only tensors produced before it, and no function may
    be recursive.
    """
    return _functions_end(model.functions) and _safe(model.graph, opsets, set())


def _functions_end(functions: Iterable[onnx.FunctionProto]) -> bool:
    calls = {
        (function.domain, function.name): {
            (node.domain, node.op_type) for node in all_nodes(function.node)
        }
        for function in functions
    }
    try:
        TopologicalSorter(calls).prepare()
    except CycleError:
        return False
    return True


def all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, those of bodies after the one that holds them."""
    for node in nodes:
        yield node
        if node.attribute:
            for body in _bodies(node):
                yield from all_nodes(body.node)


def _safe(graph: onnx.GraphProto, opsets: Mapping[str, int], seen: set[str]) -> bool:
    known = {*seen, *(value.name for value in graph.input), *(w.name for w in graph.initializer)}
    known.add("")  # stands for an input that is left out
    checked: set[Hashable] = set()
    for node in graph.node:
        inputs, outputs = list(node.input), list(node.output)
        form = _form(node, inputs, outputs)
        if form not in checked:
            try:
                check_node(node, opsets)
            except (checker.ValidationError, ValueError):
                return False
            checked.add(form)
        if node.op_type in _NEEDS_TYPES or not known.issuperset(inputs):
            return False
        if node.attribute and not all(_safe(body, opsets, known) for body in _bodies(node)):
            return False
        known.update(outputs)
    return True


def _form(node: onnx.NodeProto, inputs: Sequence[str], outputs: Sequence[str]) -> Hashable:
    """What `check_node` sees of a node with these inputs and outputs."""
    attributes = node.attribute
    return (
        node.op_type,
        node.domain,
        tuple(map(bool, inputs)) if "" in inputs else len(inputs),
        tuple(map(bool, outputs)) if "" in outputs else len(outputs),
        tuple(a.SerializeToString() for a in attributes) if attributes else (),
    )


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def check_text(model: onnx.ModelProto, where: str) -> None:
    """Names must be printable: protobuf hands over one that is not UTF-8 as bytes."""
    names = {item.domain for item in model.opset_import}
    names |= {name for function in model.functions for name in (function.domain, function.name)}
    _add_names(model.graph, names)
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        raise InputError(
            "holds a name that is no printable text", where=where, hint="export it again"
        )


def _add_names(graph: onnx.GraphProto, names: set[Any]) -> None:
    """Add the names of a graph, and of those inside it, to a set."""
    names.add(graph.name)
    for values in (graph.input, graph.output, graph.value_info):
        for value in values:
            names.add(value.name)
            names.update(dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for weight in graph.initializer:
        names.add(weight.name)
        names.update(text for entry in weight.external_data for text in (entry.key, entry.value))
    for node in graph.node:
        names.update((node.name, node.op_type, node.domain))
        names.update(node.input)
        names.update(node.output)
        for attribute in node.attribute:
            names.add(attribute.name)
            if attribute.HasField("g"):
                _add_names(attribute.g, names)


def check_attributes(model: onnx.ModelProto, where: str) -> None:
    """Refuse tensors in attributes whose data lie in another file, which native code would open."""
    graphs = (model.graph, *model.functions)
    for node in all_nodes(node for graph in graphs for node in graph.node if node.attribute):
        for attribute in node.attribute:
            sparse = [attribute.sparse_tensor, *attribute.sparse_tensors]
            tensors = [attribute.t, *attribute.tensors, *(s.values for s in sparse)]
            if any(map(is_external, tensors)):
                raise InputError(
                    "a tensor in an attribute has its data in another file",
                    where=f"{where}: {node.name or node.op_type}",
                    allowed="data in the attribute; weights may be external",
                )


def check_functions(model: onnx.ModelProto, where: str) -> None:
    """Refuse functions that call each other until they stand for more than can be read."""
    if not model.functions:
        return
    bodies = {(f.domain, f.name): list(all_nodes(f.node)) for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(key: tuple[str, str], calls: tuple[tuple[str, str], ...] = ()) -> int:
        if key not in bodies or key in calls:
            return 1
        if key not in sizes:
            inner = ((node.domain, node.op_type) for node in bodies[key])
            sizes[key] = sum(size(called, (*calls, key)) for called in inner)
        return sizes[key]

    try:
        total = sum(size((node.domain, node.op_type)) for node in all_nodes(model.graph.node))
    except RecursionError:
        raise InputError("its functions call each other too deeply", where=where) from None
    if total > MOST_INLINED + len(model.graph.node):
        raise InputError(
            f"its functions stand for {total} operators",
            where=where,
            allowed=f"{MOST_INLINED} at most",
        )


def check_domains(model: onnx.ModelProto, opsets: Mapping[str, int], where: str) -> None:
    """Refuse an opset that is impossible or too old, and a domain that nobody knows.

    Raises:
        InputError: there is such an opset or domain.
        GraphError: a node has no operator type.
    """
    own = {function.domain for function in model.functions}
    own |= {name.rpartition(":")[0] for name in operators()}
    for domain, version in opsets.items():
        if not 0 < version < 2**31:
            raise InputError(
                f"opset {version} of '{domain or 'ai.onnx'}' is impossible", where=where
            )
    standard = opsets.get("")
    if standard is not None and not standard >= OLDEST_OPSET:
        raise InputError(
            f"opset {standard} is too old",
            where=where,
            allowed=f"{OLDEST_OPSET} and newer",
            hint="convert it with onnx.version_converter",
        )
    for index, node in enumerate(model.graph.node):
        if not node.op_type:
            raise GraphError("a node has no operator type", where=f"{where}: node {index}")
        if node.domain not in KNOWN_DOMAINS and node.domain not in own:
            error = unknown_name("operator domain", node.domain, [d for d in KNOWN_DOMAINS if d])
            raise InputError(
                error.what,
                where=f"{where}: {node.name or node.op_type}",
                allowed=error.allowed,
                hint=error.hint,
            )


def is_external(tensor: TensorProto) -> bool:
    """Whether a tensor's data lie in another file."""
    return tensor.data_location == TensorProto.EXTERNAL
