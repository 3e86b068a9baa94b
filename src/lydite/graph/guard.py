"""Checks that keep invalid nodes from ONNX's shape inference, native code that trusts its input.

Fuzzing ONNX 1.23 showed that a few operators crash or hang on attributes of the wrong type, huge
axes, malformed equations, or inputs without a type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

import onnx
from onnx import checker

from lydite.graph.attributes import schema

_EQUATION = re.compile(r"[A-Za-z.,\s]*(->[A-Za-z.\s]*)?")
_NEEDS_TYPES = frozenset(("RegexFullMatch", "DictVectorizer", "LabelEncoder", "TreeEnsemble"))
IR_VERSION = 10
_AXES = {"axis": (-(1 << 30), 1 << 30), "batch_dims": (0, 1 << 30)}


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
        for body in _bodies(node):
            yield from all_nodes(body.node)


def _safe(graph: onnx.GraphProto, opsets: Mapping[str, int], seen: set[str]) -> bool:
    known = {*seen, *(value.name for value in graph.input), *(w.name for w in graph.initializer)}
    for node in graph.node:
        try:
            check_node(node, opsets)
        except (checker.ValidationError, ValueError):
            return False
        if node.op_type in _NEEDS_TYPES or not all(name in known for name in node.input if name):
            return False
        if not all(_safe(body, opsets, known) for body in _bodies(node)):
            return False
        known.update(node.output)
    return True


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
