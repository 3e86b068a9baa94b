"""Build a graph operator by operator: shapes are inferred as you build, no weight is allocated.

    g = Builder("tiny")
    x = g.input("image", (1, 3, 224, 224))
    x = g.relu(g.conv(x, 64, 7, stride=2, pad=3))
    graph = g.build(g.linear(g.flatten(g.global_average_pool(x)), 1000))

Any ONNX operator is called by its own name: `g.op("Softmax", x, axis=-1)`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from lydite.errors import GraphError
from lydite.graph.attributes import short_float
from lydite.graph.graph import Graph, Initializer
from lydite.graph.op import Attr, Op
from lydite.graph.shapes.infer import infer_outputs
from lydite.graph.shapes.propagate import Values
from lydite.graph.tensor import Tensor
from lydite.opkey import Dim, TensorType

Size = int | Sequence[int]


class Builder:
    """Collects operators, inferring their output types; `build` returns the graph.

    Args:
        name: Name of the model.
        dtype: Default element type of inputs and weights.
        opset: ONNX opset to build in.
    """

    def __init__(self, name: str, *, dtype: str = "float32", opset: int = 20) -> None:
        self.name, self.dtype = name, dtype
        self._opsets: dict[str, int] = {"": opset}
        self._ops: list[Op] = []
        self._tensors: dict[str, TensorType] = {}
        self._inputs: list[str] = []
        self._initializers: dict[str, Initializer] = {}
        self._values = Values({}, opset)
        self._counts: dict[str, int] = {}
        self._taken: set[str] = set()
        self._buffers: frozenset[str] = frozenset()
        self._in_common: dict[Hashable, list[Tensor]] = {}
        self._common: _Common | None = None

    @classmethod
    def on(cls, graph: Graph, name: str = "") -> Builder:
        """A builder that continues where `graph` ends; `tensor` returns its tensors by name."""
        made = cls(name or graph.name, opset=graph.opsets.get("", 1))
        made._opsets, made._ops, made._tensors = (
            dict(graph.opsets),
            list(graph.ops),
            dict(graph.tensors),
        )
        made._buffers = graph.buffers
        made._inputs, made._initializers = list(graph.inputs), dict(graph.initializers)
        floats = [t.dtype for t in graph.tensors.values() if "float" in t.dtype]
        made.dtype = max(set(floats), key=floats.count) if floats else made.dtype
        for full, init in graph.initializers.items():
            if init.value is not None:
                made._values.learn(full, init.value)
        for op in graph.ops:
            made._values.record(op, made._tensors)
        made._taken = {*graph.tensors, *(op.name for op in graph.ops)}
        return made

    def tensor(self, name: str) -> Tensor:
        """An existing tensor, by name.

        Raises:
            GraphError: there is no such tensor.
        """
        if name not in self._tensors:
            raise GraphError(f"there is no tensor '{name}'", where=self.name)
        return Tensor(self, name)

    @property
    def last(self) -> Op:
        """The most recently appended operator."""
        return self._ops[-1]

    def value_of(self, tensor: Tensor) -> np.ndarray | None:
        """Value of a small tensor that follows from constants, else None."""
        return self._values.get(tensor.name)

    def type_of(self, tensor: Tensor) -> TensorType:
        """Inferred type of a tensor."""
        return self._tensors[tensor.name]

    def _fresh(self, stem: str) -> str:
        while True:
            count = self._counts.get(stem, 0)
            self._counts[stem] = count + 1
            label = f"{stem}_{count}" if count else stem
            if label not in self._taken:
                return label

    def input(self, name: str, shape: Sequence[Dim], dtype: str | None = None) -> Tensor:
        """Add a graph input of the given sizes (names for symbolic ones)."""
        if name in self._tensors:
            raise GraphError(f"there is already a tensor '{name}'", where=self.name)
        self._tensors[name] = TensorType(dtype or self.dtype, tuple(shape))
        self._inputs.append(name)
        return Tensor(self, name)

    def weight(
        self, shape: Sequence[int], name: str = "weight", dtype: str | None = None
    ) -> Tensor:
        """Declare a weight of the given shape, without allocating it."""
        type_ = TensorType(dtype or self.dtype, tuple(shape))
        if self._common is not None:
            return self._common.weight(type_, lambda: self._declared(name, type_))
        return self._declared(name, type_)

    def _declared(self, name: str, type_: TensorType) -> Tensor:
        full = self._fresh(name)
        self._tensors[full], self._initializers[full] = type_, Initializer(type_)
        return Tensor(self, full)

    @contextmanager
    def sharing(self, key: Hashable) -> Iterator[None]:
        """Weights declared inside are those that were declared under the same key before.

        They are told apart by their order. The key None gives new ones, within another key too.
        """
        before = self._common
        known = self._in_common.setdefault(key, [])
        self._common = None if key is None else _Common(known)
        try:
            yield
        finally:
            self._common = before

    def constant(self, value: Any, name: str = "const", dtype: str = "int64") -> Tensor:
        """Add a small constant with its value."""
        from lydite.graph.dtypes import numpy_dtype

        full, array = self._fresh(name), np.asarray(value, numpy_dtype(dtype))
        type_ = TensorType(dtype, tuple(array.shape))
        self._tensors[full] = type_
        self._initializers[full] = Initializer(type_, value=array)
        self._values.learn(full, array)
        return Tensor(self, full)

    def ops(
        self,
        op_type: str,
        *inputs: Tensor | None,
        outputs: int = 1,
        domain: str = "",
        name: str = "",
        **attrs: Attr | list[int] | list[float] | None,
    ) -> list[Tensor]:
        """Append an operator with several outputs; attributes with the value None are omitted.

        Raises:
            GraphError: the inputs do not fit the operator; the error names it and all input types.
        """
        if domain:
            self._opsets.setdefault(domain, 1)
        label = self._fresh(name or op_type.lower())
        given = {k: _plain(tuple(v) if isinstance(v, list) else v) for k, v in attrs.items()}
        out = tuple(f"{label}.{i}" if outputs > 1 else f"{label}.out" for i in range(outputs))
        names = tuple(t.name if t else "" for t in inputs)
        kept = {k: v for k, v in given.items() if v is not None}
        return self.append(Op(label, op_type, names, out, kept, domain))

    def append(self, op: Op, types: Sequence[TensorType] | None = None) -> list[Tensor]:
        """Append an existing operator, which names its inputs and outputs.

        Args:
            op: Operator to append.
            types: Types of its outputs; None to infer them.

        Raises:
            GraphError: the inputs do not fit the operator.
        """
        if types is None:
            input_types = [self._tensors[n] if n else None for n in op.inputs]
            known = [self._values.get(name) for name in op.inputs]
            types = infer_outputs(op, input_types, known, self._opsets, strict=True)
        self._ops.append(op)
        self._tensors |= {n: t for n, t in zip(op.outputs, types, strict=True) if n}
        self._values.record(op, self._tensors)
        return [Tensor(self, n) for n in op.outputs]

    def retype_input(self, name: str, type_: TensorType) -> None:
        """Change the type of an input that no operator has read yet."""
        self._tensors[name] = type_

    def allow(self, domain: str, version: int = 1) -> None:
        """Import a domain of operators, if it is not imported yet."""
        self._opsets.setdefault(domain, version)

    def declare(self, name: str, init: Initializer) -> Tensor:
        """Add a weight of another graph, with its name and, if it has one, its value."""
        self._tensors[name], self._initializers[name] = init.type, init
        if init.value is not None:
            self._values.learn(name, init.value)
        return Tensor(self, name)

    def op(self, op_type: str, *inputs: Tensor | None, **rest: Any) -> Tensor:
        """Append an operator with one output; see `ops`."""
        return self.ops(op_type, *inputs, **rest)[0]

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: Size,
        *,
        stride: Size = 1,
        pad: Size | str = 0,
        dilation: Size = 1,
        group: int = 1,
        bias: bool = True,
        name: str = "conv",
    ) -> Tensor:
        """Append a convolution over the trailing axes; `pad` is per side, in pairs, or "same"."""
        if x.type.shape is None or len(x.shape) < 3:
            raise GraphError(f"needs [batch, channels, ...], got {x.type}", where=f"{name} (Conv)")
        rank = len(x.shape) - 2
        size = _per_axis(kernel, rank)
        if x.shape[1] % group or channels % group:
            raise GraphError(
                f"{x.shape[1]} input and {channels} output channels are not divisible into "
                f"{group} groups",
                where=f"{name} (Conv)",
            )
        weight = self.weight((channels, x.shape[1] // group, *size), f"{name}.weight")
        biases = [self.weight((channels,), f"{name}.bias")] if bias else []
        return self.op(
            "Conv",
            x,
            weight,
            *biases,
            name=name,
            kernel_shape=size,
            strides=_per_axis(stride, rank),
            dilations=_per_axis(dilation, rank),
            group=group,
            **_pads(pad, rank),
        )

    def pool(
        self,
        reduction: str,
        x: Tensor,
        kernel: Size,
        *,
        stride: Size | None = None,
        pad: Size | str = 0,
        ceil_mode: int = 0,
        **attrs: Any,
    ) -> Tensor:
        """Append pooling; `reduction` is "Max" or "Average", and `stride` defaults to `kernel`."""
        rank = len(x.shape) - 2
        size = _per_axis(kernel, rank)
        return self.op(
            f"{reduction}Pool",
            x,
            kernel_shape=size,
            ceil_mode=ceil_mode or None,
            strides=_per_axis(kernel if stride is None else stride, rank),
            **_pads(pad, rank),
            **attrs,
        )

    def linear(self, x: Tensor, features: int, *, bias: bool = True, name: str = "fc") -> Tensor:
        """x W + b over the last axis: Gemm for matrices, MatMul and Add for more axes."""
        width = x.shape[-1]
        if len(x.shape) == 2:
            weight = self.weight((features, width), f"{name}.weight")
            biases = [self.weight((features,), f"{name}.bias")] if bias else []
            return self.op("Gemm", x, weight, *biases, transB=1, name=name)
        y = self.op("MatMul", x, self.weight((width, features), f"{name}.weight"), name=name)
        return y + self.weight((features,), f"{name}.bias") if bias else y

    def batch_norm(self, x: Tensor, *, eps: float = 1e-5, name: str = "bn") -> Tensor:
        """Batch normalisation with stored statistics."""
        parts = [
            self.weight((x.shape[1],), f"{name}.{part}")
            for part in ("scale", "bias", "mean", "var")
        ]
        return self.op("BatchNormalization", x, *parts, epsilon=eps, name=name)

    def layer_norm(self, x: Tensor, *, eps: float = 1e-12, name: str = "ln") -> Tensor:
        """Layer normalisation over the last axis."""
        parts = [self.weight((x.shape[-1],), f"{name}.{part}") for part in ("scale", "bias")]
        return self.op("LayerNormalization", x, *parts, axis=-1, epsilon=eps, name=name)

    def relu(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return self.op("Relu", x)

    def clip(self, x: Tensor, low: float, high: float) -> Tensor:
        """x clamped to [low, high]; ReLU6 is clip(x, 0, 6)."""
        bounds = [self.constant(v, "bound", x.type.dtype) for v in (low, high)]
        return self.op("Clip", x, *bounds)

    def global_average_pool(self, x: Tensor) -> Tensor:
        """Mean over all spatial positions: [N, C, ...] -> [N, C, 1, ...]."""
        return self.op("GlobalAveragePool", x)

    def flatten(self, x: Tensor, axis: int = 1) -> Tensor:
        """Two axes: those before `axis` merged, and the rest merged."""
        return self.op("Flatten", x, axis=axis)

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """New sizes; 0 keeps a size, -1 takes what the others leave."""
        return self.op("Reshape", x, self.constant(list(shape), "shape"))

    def transpose(self, x: Tensor, perm: Sequence[int]) -> Tensor:
        """Reorder the axes to `perm`."""
        return self.op("Transpose", x, perm=list(perm))

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenate along an axis."""
        return self.op("Concat", *parts, axis=axis)

    def softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        """Softmax over one axis."""
        return self.op("Softmax", x, axis=axis)

    def build(self, *outputs: Tensor) -> Graph:
        """The finished graph, with the given outputs."""
        return Graph(
            name=self.name,
            ops=tuple(self._ops),
            tensors=dict(self._tensors),
            inputs=tuple(self._inputs),
            outputs=tuple(t.name for t in outputs),
            initializers=dict(self._initializers),
            opsets=dict(self._opsets),
            buffers=self._buffers & self._initializers.keys(),
        )


class _Common:
    """Weights that are declared once, and taken again in the same order."""

    def __init__(self, known: list[Tensor]) -> None:
        self._known, self._taken = known, 0

    def weight(self, type_: TensorType, declare: Callable[[], Tensor]) -> Tensor:
        """The next one; declared if there is none yet."""
        if self._taken == len(self._known):
            self._known.append(declare())
        found = self._known[self._taken]
        if found.type != type_:
            raise GraphError(f"a weight in common is {found.type}, not {type_}", where=found.name)
        self._taken += 1
        return found


def _plain(value: Any) -> Any:
    """A number as it would read back from a file, where attributes are float32."""
    if isinstance(value, float):
        return short_float(value)
    return tuple(_plain(item) for item in value) if isinstance(value, tuple) else value


def _per_axis(value: Size, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)


def _pads(pad: Size | str, rank: int) -> dict[str, Any]:
    if isinstance(pad, str):
        return {"auto_pad": "SAME_UPPER"}
    sides = _per_axis(pad, rank)
    full = sides if len(sides) == 2 * rank else sides * 2
    return {"pads": full} if any(full) else {}
