"""Read a TensorFlow GraphDef in text form (`.pbtxt`), without TensorFlow.

Operators become ONNX operators if they are equivalent; all others keep their type and attributes in
the domain "tensorflow". Types come from `_output_shapes` if the file has them, else from rules.
Control inputs are kept by name: in the attribute `control` of an operator without data inputs, or
of a "tensorflow:Wait" before an operator that has some. Devices and attributes that begin with "_"
are TensorFlow's annotations, and left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np

from lydite.errors import GraphError, InputError, LyditeError, unknown_name
from lydite.graph.formats.assemble import Assembler
from lydite.graph.formats.pbtxt import TextMessage, read_pbtxt
from lydite.graph.formats.tensorflow_attrs import TfNode, node_of
from lydite.graph.formats.tensorflow_ops import SAME, TYPED, NodeInputs, output_types
from lydite.graph.graph import UNKNOWN, Graph, Initializer
from lydite.graph.op import Attr
from lydite.opkey import Dim, TensorType
from lydite.records import dataclass

DOMAIN = "tensorflow"
_VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
_INPUTS = ("Placeholder", "PlaceholderWithDefault", "PlaceholderV2")
_DTYPE = {
    "Cast": ("DstT",),
    "Shape": ("out_type",),
    "Size": ("out_type",),
    "ArgMax": ("output_type",),
}
_BOOL = (
    "Greater",
    "GreaterEqual",
    "Less",
    "LessEqual",
    "Equal",
    "NotEqual",
    "LogicalAnd",
    "LogicalOr",
    "LogicalNot",
    "IsFinite",
    "IsNan",
    "IsInf",
)


@dataclass(frozen=True, slots=True)
class Untranslated:
    """An operator without a translation rule, and its place in the file."""

    name: str
    op_type: str
    line: int

    def __str__(self) -> str:
        return f"{self.name} ({self.op_type}, line {self.line})"


def read_graphdef(path: Path | str, *, strict: bool = False) -> Graph:
    """Read a GraphDef.

    Raises:
        InputError: the file is malformed or cyclic or has an unknown input (the error gives the
            line); with `strict` also if it has operators without a translation (all are listed).
    """
    return graph_of_graphdef(read_pbtxt(path), strict=strict)


def graph_of_graphdef(root: TextMessage, *, strict: bool = False) -> Graph:
    """A parsed GraphDef as a graph; see `read_graphdef`."""
    nodes = _nodes(root)
    missing = _untranslated(nodes)
    if strict and missing:
        shown = ", ".join(map(str, missing[:8]))
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise InputError(f"no translation for {shown}{more}", where=root.where)
    return _Reader(root, nodes).run()


def untranslated(path: Path | str) -> list[Untranslated]:
    """The operators of a file that have no translation rule.

    Raises:
        InputError: as for `read_graphdef`.
    """
    return _untranslated(_nodes(read_pbtxt(path)))


def _untranslated(nodes: Mapping[str, TfNode]) -> list[Untranslated]:
    known = {*SAME, *TYPED, *_VARIABLES, *_INPUTS, "Const"}
    return [Untranslated(n.name, n.op, n.line) for n in nodes.values() if n.op not in known]


def _nodes(root: TextMessage) -> dict[str, TfNode]:
    messages = root.messages("node")
    if not messages:
        raise root.error("not a GraphDef: it has no 'node'")
    nodes: dict[str, TfNode] = {}
    for message in messages:
        node = node_of(message)
        if nodes.setdefault(node.name, node) is not node:
            raise message.error(f"there is already a node '{node.name}'")
    for node in nodes.values():
        for source in (*(name for name, _ in node.inputs), *node.controls):
            if source not in nodes:
                near = unknown_name("input", source, nodes)
                raise InputError(
                    near.what,
                    where=f"{root.where}, {root.unit} {node.line}: {node.name} ({node.op})",
                    allowed=near.allowed,
                    hint=near.hint,
                )
    return nodes


class _Reader:
    def __init__(self, root: TextMessage, nodes: Mapping[str, TfNode]) -> None:
        self.root, self.nodes = root, nodes
        self.out = Assembler(Path(root.where).stem)
        self.made: dict[str, list[str]] = {}
        self.values: dict[str, np.ndarray] = {}
        self.used: dict[str, int] = {}
        for node in nodes.values():
            for name, index in node.inputs:
                self.used[name] = max(self.used.get(name, 0), index + 1)

    def where(self, node: TfNode) -> str:
        return f"{self.root.where}, {self.root.unit} {node.line}: {node.name} ({node.op})"

    def run(self) -> Graph:
        for node in self._ordered():
            try:
                self._node(node)
            except GraphError as error:
                raise InputError(error.what, where=self.where(node)) from error
        read = {name for op in self.out.ops for name in op.inputs}
        outputs = [n for op in self.out.ops for n in op.outputs if n not in read]
        return self.out.build(outputs)

    def _ordered(self) -> list[TfNode]:
        waiting = {
            node.name: [*(name for name, _ in node.inputs), *node.controls]
            for node in self.nodes.values()
        }
        try:
            return [self.nodes[name] for name in TopologicalSorter(waiting).static_order()]
        except CycleError as error:
            names = ", ".join(f"'{name}'" for name in error.args[1][:4])
            first = self.nodes[error.args[1][0]]
            raise InputError(
                f"the nodes {names} wait for each other in a cycle", where=self.where(first)
            ) from None

    def _node(self, node: TfNode) -> None:
        stated = self._stated(node)
        if node.op in _INPUTS and not node.inputs:
            type_ = _one(stated) or _declared(node)
            self.made[node.name] = [self.out.input(node.name, type_.dtype, type_.shape)]
        elif node.op in _VARIABLES:
            type_ = _one(stated) or _declared(node)
            self.made[node.name] = [self.out.weight(node.name, Initializer(type_))]
        elif node.op == "Const":
            self._constant(node, _one(stated))
        else:
            self._operator(node, stated)

    def _constant(self, node: TfNode, stated: TensorType | None) -> None:
        value = node.attrs.get("value")
        if isinstance(value, np.ndarray):
            self.out.constant(node.name, value)
            self.values[node.name] = value
        else:
            self.out.weight(node.name, Initializer(stated or _declared(node)))
        self.made[node.name] = [node.name]

    def _operator(self, node: TfNode, stated: list[TensorType] | None) -> None:
        inputs = [self._input(node, source) for source in node.inputs]
        if inputs and node.controls:
            inputs[0] = self.out.wait(node.name, inputs[0], node.controls, DOMAIN)
        known = NodeInputs(
            node,
            [self.out.tensors[n] for n in inputs],
            [self.values.get(self.made[s][i]) for s, i in node.inputs],
        )
        attrs = {k: v for k, v in node.attrs.items() if not k.startswith("_")}
        if node.controls and not inputs:
            attrs["control"] = tuple(node.controls)
        same = self._same(known)
        if same is not None and len(inputs) >= same[2]:
            op_type, given, count = same
            self._emit(node, op_type, inputs[:count], given, stated, "")
            return
        ours = output_types(known)
        types = stated or ours or []
        count = max(len(types), len(ours or []), self.used.get(node.name, 0), int(ours is None))
        types = [*types, *(ours or [])[len(types) :]]
        types = [*types, *[_unsized(node)] * (count - len(types))]
        self._emit(node, node.op, inputs, attrs, types, DOMAIN)

    def _same(self, known: NodeInputs) -> tuple[str, dict[str, Attr], int] | None:
        rule = SAME.get(known.node.op)
        if rule is None:
            return None
        with contextlib.suppress(LookupError, ValueError, TypeError, LyditeError):
            return rule(known)
        return None

    def _input(self, node: TfNode, source: tuple[str, int]) -> str:
        name, index = source
        made = self.made[name]
        if index >= len(made):
            raise InputError(
                f"reads output {index} of '{name}', which has only {len(made)}",
                where=self.where(node),
            )
        return made[index]

    def _emit(
        self,
        node: TfNode,
        op_type: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Attr],
        types: Sequence[TensorType] | None,
        domain: str,
    ) -> None:
        if types is None:
            types = self._inferred(node, op_type, inputs, attrs)
        names = [node.name if i == 0 else f"{node.name}:{i}" for i in range(len(types))]
        self.out.op(op_type, inputs, names, name=node.name, domain=domain, types=types, attrs=attrs)
        self.made[node.name] = names
        if op_type == "Identity" and inputs and inputs[0] in self.values:
            self.values[names[0]] = self.values[inputs[0]]

    def _inferred(
        self, node: TfNode, op_type: str, inputs: Sequence[str], attrs: Mapping[str, Attr]
    ) -> list[TensorType]:
        """Output types of a standard operator; unknown if those of its inputs are."""
        types = [self.out.tensors[name] for name in inputs]
        if any(not t.dtype or t.shape is None for t in types):
            return [_unsized(node)]
        scratch = Assembler("scratch")
        scratch.tensors |= dict(zip(inputs, types, strict=True))
        return scratch.op(op_type, inputs, [node.name], name=node.name, attrs=attrs)

    def _stated(self, node: TfNode) -> list[TensorType] | None:
        """Output types given by `_output_shapes`."""
        shapes = node.attrs.get("_output_shapes")
        if not isinstance(shapes, tuple) or not shapes:
            return None
        dtype = _unsized(node).dtype
        return [TensorType(dtype, _dims(node, shape)) for shape in shapes]


def _one(types: Sequence[TensorType] | None) -> TensorType | None:
    return types[0] if types else None


def _unsized(node: TfNode) -> TensorType:
    """The element type that the attributes state, with unknown sizes."""
    if node.op in _BOOL:
        return TensorType("bool", None)
    for name in (*_DTYPE.get(node.op, ()), "T", "dtype"):
        dtype = node.attrs.get(name)
        if isinstance(dtype, str):
            return UNKNOWN if dtype.startswith("DT_") else TensorType(dtype, None)
    return UNKNOWN


def _dims(node: TfNode, shape: object) -> tuple[Dim, ...] | None:
    """Sizes, of which unknown ones are named after the node."""
    if not isinstance(shape, tuple):
        return None
    return tuple(d if d >= 0 else f"{node.name}.{i}" for i, d in enumerate(shape))


def _declared(node: TfNode) -> TensorType:
    shape = node.attrs.get("shape")
    return TensorType(_unsized(node).dtype, _dims(node, shape))
