"""Precision: the same network with other element types, as frameworks change them.

- "float16", "bfloat16", "float64": all tensors, as `module.half()` does.
- "autocast-float16", "autocast-bfloat16": weights stay float32 and are cast for products; sums,
  normalisations and functions that lose precision stay float32. The lists are those of
  torch.autocast (PyTorch 2.x, "CUDA Ops that can autocast").
- "int8": see `lydite.graph.passes.quantise`; "int4": see `lydite.graph.passes.nbits`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.errors import unknown_name
from lydite.graph.builder import Tensor
from lydite.graph.dtypes import dtype_number, numpy_dtype
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.operators import operator
from lydite.graph.passes.nbits import four_bits
from lydite.graph.passes.quantise import quantised
from lydite.graph.passes.rewrite import Rewriter
from lydite.graph.shapes.control import retyped
from lydite.graph.upgrade import OPSET, upgraded
from lydite.opkey import TensorType

PRECISIONS = (
    "float32",
    "float16",
    "bfloat16",
    "float64",
    "autocast-float16",
    "autocast-bfloat16",
    "int8",
    "int4",
)

_BFLOAT16_OPSET = 22


def in_precision(graph: Graph, precision: str) -> Graph:
    """The graph in one of `PRECISIONS`.

    Raises:
        InputError: there is no such precision.
        GraphError: an operator does not support the type, or the graph has control flow.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    graph = upgraded(graph)
    if precision == "int8":
        return quantised(graph)
    if precision == "int4":
        return four_bits(graph)
    mode, _, dtype = precision.rpartition("-")
    if mode:
        return _Autocast(dtype).run(graph)
    return _whole(graph, dtype)


def _whole(graph: Graph, dtype: str) -> Graph:
    """The graph with floating-point tensors, and casts to other widths, converted to `dtype`."""
    changed = {
        name: _converted(init, dtype)
        for name, init in graph.initializers.items()
        if _is_float(init.type) and not _steers(graph, name)
    }
    tensors = {**graph.tensors, **{name: init.type for name, init in changed.items()}}
    ops = tuple(_cast_to(op, graph, dtype) for op in graph.ops)
    opset = max(graph.opsets.get("", 1), _BFLOAT16_OPSET if dtype == "bfloat16" else OPSET)
    whole = replace(
        graph,
        ops=ops,
        tensors=tensors,
        initializers={**graph.initializers, **changed},
        opsets={**graph.opsets, "": opset},
    )
    inputs = {
        name: replace(graph.type_of(name), dtype=dtype)
        for name in graph.inputs
        if _is_float(graph.type_of(name))
    }
    return retyped(whole, inputs)


def _is_float(type_: TensorType) -> bool:
    return type_.dtype in ("float32", "float16", "bfloat16", "float64")


def _steers(graph: Graph, name: str) -> bool:
    """Whether an input must stay float32, such as the scales of a resize."""
    return any(op.op_type in ("Resize", "Upsample") for op in graph.consumers.get(name, ()))


def _converted(init: Initializer, dtype: str) -> Initializer:
    type_ = replace(init.type, dtype=dtype)
    target = numpy_dtype(dtype)
    if init.value is not None:
        return Initializer(type_, value=init.value.astype(target))
    if init.load is not None:
        load = init.load
        return Initializer(type_, load=lambda: load().astype(target))
    return Initializer(type_)


def _cast_to(op: Op, graph: Graph, dtype: str) -> Op:
    """The operator, with a cast to another floating-point width changed to `dtype`."""
    made = [t for t in graph.output_types(op) if _is_float(t)]
    if op.op_type == "Cast" and made:
        return replace(op, attrs={**op.attrs, "to": dtype_number(dtype)})
    value = op.attrs.get("value")
    if op.op_type in ("Constant", "ConstantOfShape") and made and isinstance(value, np.ndarray):
        return replace(op, attrs={**op.attrs, "value": value.astype(numpy_dtype(dtype))})
    return op


def _is_bias(graph: Graph, op: Op) -> bool:
    """Whether an addition is a bias of a product, which frameworks compute in the dense layer."""
    if op.qualified_type != "Add":
        return False
    before = graph.producers.get(op.inputs[0])
    added = graph.initializers.get(op.inputs[1])
    product = before is not None and before.qualified_type == "MatMul"
    return product and added is not None and len(added.type.shape or ()) == 1


class _Autocast:
    """Appends casts as autocast does; each weight is cast once."""

    def __init__(self, dtype: str) -> None:
        self._low = dtype
        self._casts: dict[tuple[str, str], Tensor] = {}

    def run(self, graph: Graph) -> Graph:
        """The graph with casts."""
        opset = _BFLOAT16_OPSET if self._low == "bfloat16" else OPSET
        return Rewriter(graph, opset=opset).run(self._op)

    def _op(self, new: Rewriter, op: Op) -> None:
        inputs = new.inputs(op)
        wanted = self._wanted(new.graph, op, inputs)
        if wanted is None:
            new.keep(op)
            return
        new.keep(op, [self._cast(new, t, wanted) for t in inputs])

    def _wanted(self, graph: Graph, op: Op, inputs: list[Tensor | None]) -> str | None:
        """The type that all floating-point inputs are cast to; None to leave them unchanged."""
        floats = {t.type.dtype for t in inputs if t is not None and _is_float(t.type)}
        if not floats or (op.domain and op.domain != "com.microsoft"):
            return None
        row = operator(op.qualified_type)
        policy = row.precision if row is not None else "widest"
        if policy == "low" or _is_bias(graph, op):
            return self._low
        if policy == "float32":
            return "float32"
        if len(floats) < 2 or policy == "mixed":
            return None
        return "float32" if "float32" in floats else self._low

    def _cast(self, new: Rewriter, tensor: Tensor | None, dtype: str) -> Tensor | None:
        if tensor is None or not _is_float(tensor.type) or tensor.type.dtype == dtype:
            return tensor
        key = (tensor.name, dtype)
        if key not in self._casts:
            self._casts[key] = new.g.op(
                "Cast", tensor, to=dtype_number(dtype), name=f"{tensor.name}/cast"
            )
        return self._casts[key]
