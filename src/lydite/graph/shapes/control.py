"""Types of a whole graph inferred again, including those of control-flow bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lydite.graph.graph import UNKNOWN, Graph, Op
from lydite.graph.shapes.counting import TRIPS, trip_count
from lydite.graph.shapes.functions import inlined, is_function_call
from lydite.graph.shapes.infer import infer_outputs
from lydite.graph.shapes.propagate import Values
from lydite.opkey import Dim, TensorType

_OPEN = "?"


def typed(
    op: Op, visible: Mapping[str, TensorType], values: Values, opsets: Mapping[str, int]
) -> tuple[Op, list[TensorType]]:
    """The operator with its bodies typed again, and the types of its outputs.

    Args:
        op: Operator of any type.
        visible: Types by name, including those of enclosing graphs.
        values: Known values by name.
        opsets: Opset by domain.
    """
    ins = [visible.get(name, UNKNOWN) if name else None for name in op.inputs]
    known = [values.get(name) for name in op.inputs]
    if not op.subgraphs:
        return op, infer_outputs(op, ins, known, opsets)
    rule = {"If": _if, "Loop": _loop, "Scan": _scan}.get(op.qualified_type)
    if rule is not None:
        result = rule(op, ins, visible, values)
        if result is not None:
            return result
    scores = _scores(op, ins)
    op = _with_bodies(op, {name: scores for name in _bodies(op)}, visible, values)
    return op, infer_outputs(op, ins, known, opsets)


def _bodies(op: Op) -> dict[str, Graph]:
    return {name: value for name, value in op.attrs.items() if isinstance(value, Graph)}


def _with_bodies(
    op: Op,
    inputs: Mapping[str, Sequence[TensorType]],
    visible: Mapping[str, TensorType],
    values: Values,
) -> Op:
    fresh = {
        name: retyped(
            body,
            {n: t for n, t in zip(body.inputs, inputs.get(name, ()), strict=False) if t.dtype},
            visible=visible,
            values=values,
        )
        for name, body in _bodies(op).items()
    }
    return replace(op, attrs={**op.attrs, **fresh})


def _if(
    op: Op, _: Sequence[TensorType | None], visible: Mapping[str, TensorType], values: Values
) -> tuple[Op, list[TensorType]]:
    """The branch that is known to be taken, else what both branches have in common."""
    op = _with_bodies(op, {}, visible, values)
    chosen = values.get(op.inputs[0]) if op.inputs else None
    names = ("then_branch", "else_branch")
    if chosen is not None and chosen.size == 1:
        names = names[:1] if chosen.item() else names[1:]
    branches = [body for name in names if (body := _bodies(op).get(name)) is not None]
    columns = zip(*(map(body.type_of, body.outputs) for body in branches), strict=False)
    return op, _filled([_common(column) for column in columns], op)


def _common(types: Sequence[TensorType]) -> TensorType:
    """The most specific type that covers all given types."""
    first = types[0]
    for other in types[1:]:
        if other.dtype != first.dtype:
            return UNKNOWN
        first = TensorType(first.dtype, _covering(first.shape, other.shape))
    return first


def _covering(
    first: tuple[Dim, ...] | None, second: tuple[Dim, ...] | None
) -> tuple[Dim, ...] | None:
    if first is None or second is None or len(first) != len(second):
        return None
    return tuple(a if a == b else _OPEN for a, b in zip(first, second, strict=True))


def _loop(
    op: Op, ins: Sequence[TensorType | None], visible: Mapping[str, TensorType], values: Values
) -> tuple[Op, list[TensorType]] | None:
    """Loop-carried values keep their type; sizes that an iteration changes become unknown."""
    if not isinstance(op.attrs.get("body"), Graph):
        return None
    fixed = (TensorType("int64", ()), TensorType("bool", ()))
    carried = [type_ or UNKNOWN for type_ in ins[2:]]
    made: list[TensorType] = []
    for _ in range(3):
        op = _with_bodies(op, {"body": (*fixed, *carried)}, visible, values)
        body = _bodies(op)["body"]
        made = [body.type_of(name) for name in body.outputs[1:]]
        wider = [_common((before, after)) for before, after in zip(carried, made, strict=False)]
        if wider == carried:
            break
        carried = wider
    trips = trip_count(op, values.get)
    if trips is not None:
        op = replace(op, attrs={**op.attrs, TRIPS: trips})
    count: Dim = trips if trips is not None else _OPEN
    scanned = [_stacked(type_, count, 0) for type_ in made[len(carried) :]]
    return op, _filled([*carried, *scanned], op)


def _scan(
    op: Op, ins: Sequence[TensorType | None], visible: Mapping[str, TensorType], values: Values
) -> tuple[Op, list[TensorType]] | None:
    """States keep their type; scanned inputs lose the scanned axis, and outputs gain it."""
    slices, body = op.attrs.get("num_scan_inputs"), op.attrs.get("body")
    if not isinstance(slices, int) or not isinstance(body, Graph) or not 0 < slices <= len(ins):
        return None
    if len(body.inputs) != len(ins):  # before opset 9, the sequence lengths come first
        return None
    states = [type_ or UNKNOWN for type_ in ins[:-slices]]
    axes = _axes(op, "scan_input_axes", slices)
    cut = [_sliced(type_ or UNKNOWN, axis) for type_, axis in zip(ins[-slices:], axes, strict=True)]
    op = _with_bodies(op, {"body": [*states, *(type_ for type_, _ in cut)]}, visible, values)
    outputs = [_bodies(op)["body"].type_of(name) for name in body.outputs][len(states) :]
    into = _axes(op, "scan_output_axes", len(outputs))
    scanned = [_stacked(t, cut[0][1], axis) for t, axis in zip(outputs, into, strict=True)]
    return op, _filled([*states, *scanned], op)


def _axes(op: Op, name: str, count: int) -> list[int]:
    given = op.attrs.get(name)
    axes = [axis for axis in given if isinstance(axis, int)] if isinstance(given, tuple) else []
    return axes if len(axes) == count else [0] * count


def _sliced(type_: TensorType, axis: int) -> tuple[TensorType, Dim]:
    """Type of one slice, and the number of slices."""
    shape = type_.shape
    if shape is None or not -len(shape) <= axis < len(shape):
        return TensorType(type_.dtype), _OPEN
    axis %= len(shape)
    return TensorType(type_.dtype, shape[:axis] + shape[axis + 1 :]), shape[axis]


def _stacked(type_: TensorType, count: Dim, axis: int) -> TensorType:
    if type_.shape is None:
        return type_
    place = axis % (len(type_.shape) + 1)
    return TensorType(type_.dtype, (*type_.shape[:place], count, *type_.shape[place:]))


def _filled(types: Sequence[TensorType], op: Op) -> list[TensorType]:
    return [*types[: len(op.outputs)], *[UNKNOWN] * (len(op.outputs) - len(types))]


def _scores(op: Op, ins: Sequence[TensorType | None]) -> list[TensorType]:
    """Type that FlexAttention passes to its functions: scores [batch, heads, queries, keys]."""
    shapes = [type_.shape if type_ is not None else None for type_ in ins[:2]]
    if op.op_type != "FlexAttention" or len(shapes) < 2:
        return []
    query, key = shapes
    if query is None or key is None or len(query) != 4 or len(key) != 4 or not ins[0]:
        return []
    dtype = "float64" if ins[0].dtype == "float64" else "float32"
    if "softmax_precision" in op.attrs:
        from lydite.graph.dtypes import dtype_name

        precision = op.attrs["softmax_precision"]
        dtype = dtype_name(precision) if isinstance(precision, int) else dtype
    return [TensorType(dtype, (*query[:3], key[2]))]


def retyped(
    graph: Graph,
    inputs: Mapping[str, TensorType],
    *,
    visible: Mapping[str, TensorType] | None = None,
    values: Values | None = None,
) -> Graph:
    """The graph with new input types, and every other type inferred from them.

    Args:
        graph: A graph, or the body of an operator.
        inputs: New types by input name; other inputs keep theirs.
        visible: Types in the graphs that enclose a body.
        values: Known values in the graphs that enclose a body.
    """
    tensors = {name: (visible or {}).get(name, UNKNOWN) for name in sorted(graph.outer)}
    tensors |= {name: graph.type_of(name) for name in graph.inputs} | dict(inputs)
    tensors |= {name: init.type for name, init in graph.initializers.items()}
    known = {k: i.value for k, i in graph.initializers.items() if i.value is not None}
    if values is not None:
        outer = {name: values.get(name) for name in graph.outer}
        known |= {name: value for name, value in outer.items() if value is not None}
    local_values = Values(known, graph.opsets.get("", 1))
    ops: list[Op] = []
    for op in graph.ops:
        if is_function_call(op, graph):
            body = inlined(op, tensors, local_values, graph)
            types = [body.type_of(n) if body else UNKNOWN for n in op.outputs]
        else:
            op, types = typed(op, tensors, local_values, graph.opsets)
        tensors |= {name: type_ for name, type_ in zip(op.outputs, types, strict=True) if name}
        local_values.record(op, tensors)
        ops.append(op)
    return replace(graph, ops=tuple(ops), tensors=tensors)
