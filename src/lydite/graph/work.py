"""Work of operators: floating-point operations, bytes and parameters.

An operator's work follows from its key alone: types, attributes, and constants that determine it.
`lydite.graph.operators.call` defines what counts as one FLOP. Bytes are compulsory traffic: each
input read once, each output written once, regardless of caches. Unknown is None and never 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lydite.errors import GraphError
from lydite.graph.attributes import default_attrs
from lydite.graph.graph import Graph, Op, is_parameter
from lydite.graph.keys import key_of, plain_attr
from lydite.graph.operators import (
    Call,
    Known,
    Missing,
    NotKnownError,
    Products,
    fixed_inputs,
    operator,
)
from lydite.graph.shapes.counting import TRIPS, trip_count
from lydite.graph.shapes.functions import inlined, is_function_call
from lydite.graph.shapes.propagate import Values
from lydite.opkey import OpKey
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Work of an operator or a model.

    Attributes:
        flops: Number of FLOPs; a multiply-add counts as 2.
        bytes_read: Bytes of distinct inputs, or of the part of them that is accessed.
        bytes_written: Bytes of outputs; 0 for a view.
        parameters: Number of trained parameters among the inputs.
    """

    flops: float = 0.0
    bytes_read: float = 0.0
    bytes_written: float = 0.0
    parameters: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flops + other.flops,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            self.parameters + other.parameters,
        )

    def times(self, count: float) -> Work:
        """The work of `count` calls that share their parameters."""
        return Work(
            self.flops * count, self.bytes_read * count, self.bytes_written * count, self.parameters
        )

    @property
    def bytes_moved(self) -> float:
        """Bytes read plus bytes written."""
        return self.bytes_read + self.bytes_written

    @property
    def arithmetic_intensity(self) -> float:
        """FLOPs per byte moved; 0 for a view, which computes and moves nothing."""
        return self.flops / self.bytes_moved if self.bytes_moved else 0.0


@dataclass(frozen=True)
class GraphWork:
    """Work of a whole graph.

    Attributes:
        total: Sum over the operators whose work is known; shared weights count once.
        by_type: Work by qualified operator type.
        unknown: Names of the operators whose work is not known.
    """

    total: Work
    by_type: Mapping[str, Work]
    unknown: tuple[str, ...]


def work_of_key(key: OpKey) -> Work | None:
    """Work of the operator that a key describes; None if it has no rule or a size is symbolic."""
    row = operator(key.qualified_type)
    if row is None or isinstance(row.work, Known | Missing):
        return None
    call = call_of(key)
    try:
        cost = row.work(call)
        work = Work(
            flops=float(cost.flops),
            bytes_read=call.all_inputs() if cost.read is None else float(cost.read),
            bytes_written=call.all_outputs() if cost.written is None else float(cost.written),
            parameters=_parameters(key),
        )
        # an invalid attribute, such as a kernel of -1, contradicts the operator
        return work if min(work.flops, work.bytes_read, work.bytes_written) >= 0 else None
    except (NotKnownError, ValueError, IndexError, ArithmeticError):
        return None  # unknown sizes, or an operator that contradicts itself


def call_of(key: OpKey) -> Call:
    """The operator call that a key describes, as rules see it."""
    return Call(
        op_type=key.op_type,
        version=key.version,
        attrs={**_defaults(key), **key.attrs},
        operands=key.inputs,
        ins=key.operand_types(),
        outs=key.outputs,
    )


def products_of_key(key: OpKey) -> Products | None:
    """The matrix products inside the operator that a key describes.

    None if it contains no product, or if they are not known; `facet(key.qualified_type, "array")`
    distinguishes the two.
    """
    row = operator(key.qualified_type)
    if row is None or isinstance(row.array, Known | Missing):
        return None
    try:
        return row.array(call_of(key))
    except (NotKnownError, ValueError, IndexError, ArithmeticError):
        return None


def products_of(op: Op, graph: Graph) -> Products | None:
    """The matrix products inside an operator; see `products_of_key`."""
    try:
        return products_of_key(key_of(op, graph))
    except GraphError:
        return None


def _defaults(key: OpKey) -> dict[str, object]:
    defaults = default_attrs(key.op_type, key.domain, key.version)
    return {name: plain_attr(value) for name, value in defaults.items()}


_UPDATES = ("Adam", "Adagrad", "Momentum", "GradientDescent")
"""Optimiser operators: the weights that they update are counted where they are used."""


def _parameters(key: OpKey) -> int:
    """Elements of constant inputs that are trained; settings such as statistics are not."""
    if key.op_type in _UPDATES:
        return 0
    fixed = range(len(key.inputs))[fixed_inputs(key.qualified_type)]
    return sum(
        operand.type.numel or 0
        for index, operand in enumerate(key.inputs)
        if index not in fixed
        and operand.const
        and operand.type is not None
        and is_parameter(operand.type)
    )


def work_of(op: Op, graph: Graph) -> Work | None:
    """Work of an operator in its graph; None if it is not known.

    Control flow counts its bodies: the more expensive branch of an If (or the one that a constant
    selects), a Loop's body times its constant trip count, a Scan's body once per slice. A
    model-local function counts as its body.
    """
    if is_function_call(op, graph):
        return _function_work(op, graph)
    if op.subgraphs:
        counted = _control_work if op.qualified_type in _BODY_RUNS else _with_inner_functions
        return counted(op, graph)
    try:
        key = key_of(op, graph)
    except GraphError:
        return None
    known: dict[OpKey, Work | None] = graph.memo("work")
    if key not in known:
        known[key] = work_of_key(key)
    return known[key]


def total_work(graph: Graph, works: Sequence[Work | None] | None = None) -> GraphWork:
    """Work of a graph: in total, by operator type, and the operators whose work is not known.

    Args:
        graph: The graph.
        works: Work of each operator (`work_of`), where it is known already.
    """
    alike: Counter[tuple[str, Work]] = Counter()
    unknown: list[str] = []
    for op, work in zip(graph.ops, works or [work_of(op, graph) for op in graph.ops], strict=True):
        if work is None:
            unknown.append(op.name)
        else:
            alike[op.qualified_type, work] += 1
    by_type: dict[str, Work] = {}
    for (name, work), count in alike.items():
        all_of_it = replace(work.times(count), parameters=work.parameters * count)
        by_type[name] = by_type.get(name, Work()) + all_of_it
    total = sum(by_type.values(), Work())
    return GraphWork(replace(total, parameters=graph.parameter_count), by_type, tuple(unknown))


def _body_work(body: Graph) -> Work | None:
    work = total_work(body)
    return None if work.unknown else work.total


@dataclass(frozen=True)
class BodyRuns:
    """The bodies of a control-flow operator, one of which runs, and how often.

    Attributes:
        bodies: The branches of an If that may be taken, or the one body of a loop.
        times: Number of runs; None where it depends on the data.
    """

    bodies: tuple[Graph, ...]
    times: int | None


def body_runs(op: Op, graph: Graph) -> BodyRuns | None:
    """What a control-flow operator runs; None for any other operator."""
    rule = _BODY_RUNS.get(op.qualified_type)
    return rule(op, graph) if rule is not None else None


def _if_runs(op: Op, graph: Graph) -> BodyRuns:
    """Both branches, or the one that a constant selects."""
    chosen = graph.constant(op.inputs[0]) if op.inputs else None
    names = ("then_branch", "else_branch")
    if chosen is not None and chosen.size == 1:
        names = names[:1] if chosen.item() else names[1:]
    return BodyRuns(tuple(b for name in names if isinstance(b := op.attrs.get(name), Graph)), 1)


def _loop_runs(op: Op, graph: Graph) -> BodyRuns:
    """The body as often as its trip count says, or a condition that counts; never where a constant
    forbids it."""
    trips = op.attrs.get(TRIPS)
    if not isinstance(trips, int):
        trips = trip_count(op, graph.constant)
    go = graph.constant(op.inputs[1]) if len(op.inputs) > 1 and op.inputs[1] else None
    forbidden = go is not None and go.size == 1 and not go.item()
    return _repeated(op, 0 if forbidden else trips)


def _scan_runs(op: Op, graph: Graph) -> BodyRuns:
    """The body for each slice of the scanned axis; before opset 9, batch and steps come first."""
    count, axes = op.attrs.get("num_scan_inputs"), op.attrs.get("scan_input_axes")
    if not isinstance(count, int) or not 0 < count <= len(op.inputs):
        return _repeated(op, None)
    shape = graph.type_of(op.inputs[-count]).shape or ()
    axis = axes[0] if isinstance(axes, tuple) and axes else 0
    dims = shape[:2] if graph.opsets.get("", 0) < 9 else shape[axis:][:1]
    fixed = [dim for dim in dims if isinstance(dim, int)]
    return _repeated(op, math.prod(fixed) if fixed and len(fixed) == len(dims) else None)


def _repeated(op: Op, times: int | None) -> BodyRuns:
    body = op.attrs.get("body")
    bodies = (body,) if isinstance(body, Graph) else ()
    return BodyRuns(bodies, times if times is not None and times >= 0 else None)


_BODY_RUNS = {"If": _if_runs, "Loop": _loop_runs, "Scan": _scan_runs}


def _control_work(op: Op, graph: Graph) -> Work | None:
    """Work of the most expensive body, as often as it runs."""
    runs = _BODY_RUNS[op.qualified_type](op, graph)
    if runs.times == 0:
        return Work()
    works = [_body_work(body) for body in runs.bodies]
    known = [work for work in works if work is not None]
    if not known or len(known) < len(works) or runs.times is None:
        return None
    return max(known, key=lambda work: (work.flops, work.bytes_moved)).times(runs.times)


def _with_inner_functions(op: Op, graph: Graph) -> Work | None:
    """Work of an operator that applies function bodies to its own data: their FLOPs are added."""
    plain = {name: value for name, value in op.attrs.items() if not isinstance(value, Graph)}
    work = work_of(replace(op, attrs=plain), graph)
    for body in op.subgraphs:
        inner = _body_work(body)
        if work is None or inner is None:
            return None
        work += Work(flops=inner.flops)
    return work


def _function_work(op: Op, graph: Graph) -> Work | None:
    known = {name: value for name in op.inputs if (value := graph.constant(name)) is not None}
    body = inlined(op, graph.tensors, Values(known, graph.opsets.get("", 1)), graph)
    return _body_work(body) if body is not None else None
