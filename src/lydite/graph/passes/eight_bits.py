"""Eight-bit kernels: DequantizeLinear, an operator and QuantizeLinear become one operator."""

from __future__ import annotations

from dataclasses import replace

from lydite.graph.graph import Graph, Op
from lydite.graph.passes.attention import without_dead
from lydite.graph.passes.quantise import FOLLOWS
from lydite.graph.passes.rewrite import Rewriter
from lydite.records import dataclass

_CONTRIB = "com.microsoft"
_KERNELS: dict[str, tuple[str, str]] = {
    "Conv": ("", "QLinearConv"),
    "MatMul": ("", "QLinearMatMul"),
    "Gemm": (_CONTRIB, "QGemm"),
    "Add": (_CONTRIB, "QLinearAdd"),
    "Mul": (_CONTRIB, "QLinearMul"),
    "AveragePool": (_CONTRIB, "QLinearAveragePool"),
    "GlobalAveragePool": (_CONTRIB, "QLinearGlobalAveragePool"),
}
"""Domain and type of an operator's eight-bit form."""

_BYTEWISE = ("MaxPool", "Reshape", "Flatten", "Transpose")
"""Operators that work directly on quantised values."""


@dataclass(frozen=True)
class _Group:
    """Operators that become one: the dequantised inputs, the operator, and what quantises it."""

    op: Op
    sources: tuple[Op, ...]
    behind: tuple[Op, ...]

    @property
    def last(self) -> Op:
        """The QuantizeLinear."""
        return self.behind[-1]


def with_eight_bits(graph: Graph) -> Graph:
    """The graph with eight-bit kernels between quantised tensors."""
    groups = {g.last.name: g for op in graph.ops if (g := _group(graph, op)) is not None}
    inner = {op.name for group in groups.values() for op in (group.op, *group.behind)}
    if not groups:
        return graph

    def rewrite(new: Rewriter, op: Op) -> None:
        group = groups.get(op.name)
        if group is not None:
            _emit(new, group)
        elif op.name not in inner:
            new.keep(op)

    return without_dead(Rewriter(graph).run(rewrite))


def _group(graph: Graph, op: Op) -> _Group | None:
    if op.domain or op.op_type not in (*_KERNELS, *_BYTEWISE):
        return None
    count = 1 if op.op_type in _BYTEWISE else len(op.inputs)
    sources = [graph.producers.get(name) for name in op.inputs[:count]]
    if any(s is None or s.op_type != "DequantizeLinear" for s in sources):
        return None
    behind = _behind(graph, op)
    dequantised = tuple(source for source in sources if source is not None)
    return _Group(op, dequantised, behind) if behind else None


def _behind(graph: Graph, op: Op) -> tuple[Op, ...]:
    """The QuantizeLinear, after an activation if its range clips to the same values."""
    readers = graph.consumers.get(op.outputs[0], [])
    if len(readers) == 1 and readers[0].op_type in FOLLOWS and op.op_type in _KERNELS:
        ends = graph.consumers.get(readers[0].outputs[0], [])
        if len(ends) == 1 and ends[0].op_type == "QuantizeLinear" and _clips(graph, ends[0]):
            return readers[0], ends[0]
    single = len(readers) == 1 and readers[0].op_type == "QuantizeLinear"
    return (readers[0],) if single else ()


def _clips(graph: Graph, quantise: Op) -> bool:
    """Whether the zero point is 0, which clips negative values."""
    zero = graph.constant(quantise.inputs[2]) if len(quantise.inputs) > 2 else None
    return zero is not None and int(zero.item()) == 0


def _emit(new: Rewriter, group: _Group) -> None:
    op, outputs = group.op, group.last.outputs
    if op.op_type in _BYTEWISE:
        new.keep(replace(op, inputs=(group.sources[0].inputs[0], *op.inputs[1:]), outputs=outputs))
        return
    domain, op_type = _KERNELS[op.op_type]
    ending = group.last.inputs[1:3]
    triples = [source.inputs[:3] for source in group.sources]
    names = [name for triple in triples[:2] for name in triple]
    if op.op_type == "Conv":
        names += [*ending, *(triple[0] for triple in triples[2:])]
    elif op.op_type == "Gemm":
        names += [triples[2][0] if len(triples) > 2 else "", *ending]
    else:
        names += ending
    attrs = {k: v for k, v in op.attrs.items() if k != "beta"}
    if domain:
        new.g.allow(domain)
    new.keep(
        replace(
            op, op_type=op_type, domain=domain, inputs=tuple(names), outputs=outputs, attrs=attrs
        )
    )
