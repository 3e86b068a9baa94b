"""int8 by QuantizeLinear and DequantizeLinear around operators with eight-bit kernels.

Weights are int8, symmetric, with one scale per output channel; activations are uint8 with one scale
per tensor and the zero point at 128 or, for tensors without negative values, at 0; biases are
int32. Softmax, normalisations, functions, embeddings and everything else stay float32, as in ONNX
Runtime's static quantisation. Batch normalisations are folded first. Without calibration, scales
are placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.graph.builder import Tensor
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.passes.fold import folded
from lydite.graph.passes.rewrite import Rewriter
from lydite.graph.upgrade import OPSET, upgraded
from lydite.opkey import TensorType

PRODUCTS = ("Conv", "Gemm", "MatMul")
PASSING = ("MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Mul", "Concat", "Resize")
"""Operators other than products that have eight-bit kernels."""

FOLLOWS = ("Relu", "Clip")
"""Operators that fuse into a product at no cost; its output is quantised after them."""

_KEEPS_SIGN = (
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Concat",
    "Resize",
    "Flatten",
    "Reshape",
    "Transpose",
)
_PLACEHOLDER = 1 / 32


def quantised(graph: Graph, largest: Mapping[str, float] | None = None) -> Graph:
    """The network in eight bits.

    Args:
        graph: A float32 network.
        largest: Largest magnitude of each activation from a calibration, by tensor name of
            `folded(graph)`; 4 for activations that are not in it.

    Raises:
        GraphError: the graph has control flow.
    """
    return _Quantiser(folded(upgraded(graph)), largest or {}).run()


class _Quantiser:
    """Appends a pair of QuantizeLinear and DequantizeLinear for each tensor."""

    def __init__(self, graph: Graph, largest: Mapping[str, float]) -> None:
        self._graph, self._largest = graph, largest
        self._positive = _never_negative(graph)
        self._pairs: dict[str, Tensor] = {}
        self._scales: dict[str, np.ndarray] = {}

    def run(self) -> Graph:
        """The quantised graph."""
        return Rewriter(self._graph, opset=OPSET).run(self._op)

    def _op(self, new: Rewriter, op: Op) -> None:
        if op.domain or op.op_type not in (*PRODUCTS, *PASSING) or not self._eligible(op):
            new.keep(op)
            return
        inputs = new.inputs(op)
        for index in range({"Resize": 1, "Conv": 2, "Gemm": 2}.get(op.op_type, len(inputs))):
            inputs[index] = self._input(new, op, index)
        if op.op_type in ("Conv", "Gemm") and len(inputs) > 2:
            inputs[2] = self._bias(new, inputs)
        new.keep(op, inputs)
        self._output(new, op.outputs[0])

    def _eligible(self, op: Op) -> bool:
        first = op.inputs[0]
        return self._graph.type_of(first).dtype == "float32" and not self._graph.is_constant(first)

    def _input(self, new: Rewriter, op: Op, index: int) -> Tensor:
        name = op.inputs[index]
        if not self._graph.is_constant(name):
            return self._pair(new, name)
        is_weight = op.op_type in PRODUCTS and index == 1
        return self._weight(new, op, name) if is_weight else new.tensor(name)

    def _output(self, new: Rewriter, name: str) -> None:
        """Quantise an output, unless an activation follows or it is a graph output."""
        readers = self._graph.consumers.get(name, [])
        followed = len(readers) == 1 and readers[0].op_type in FOLLOWS
        if readers and not followed and name not in self._graph.outputs:
            new.rename(name, self._pair(new, name))

    def _pair(self, new: Rewriter, name: str) -> Tensor:
        if name not in self._pairs:
            g, largest = new.g, self._largest.get(name, 128 * _PLACEHOLDER)
            positive = name in self._positive
            number = max(largest, 1e-12) / (255 if positive else 127)
            scale = g.constant(number, f"{name}/scale", "float32")
            zero = g.constant(0 if positive else 128, f"{name}/zero", "uint8")
            low = g.op("QuantizeLinear", new.tensor(name), scale, zero, name=f"{name}/quantised")
            back = g.op("DequantizeLinear", low, scale, zero, name=f"{name}/dequantised")
            self._pairs[name], self._scales[back.name] = back, np.array([number], np.float32)
        return self._pairs[name]

    def _weight(self, new: Rewriter, op: Op, name: str) -> Tensor:
        """A weight in int8; output channels are the first axis, or the last of a plain product."""
        init = self._graph.initializers.get(name)
        if init is None or init.type.shape is None or len(init.type.shape) < 2:
            return new.tensor(name)
        rows = op.op_type == "Conv" or bool(op.attrs.get("transB"))
        axis = 0 if rows else len(init.type.shape) - 1
        if name not in self._pairs:
            scales = _channel_scales(init, axis)
            self._pairs[name] = self._stored(new, name, _rounded(init, scales, axis), scales, axis)
        return self._pairs[name]

    def _bias(self, new: Rewriter, inputs: Sequence[Tensor | None]) -> Tensor | None:
        """A bias in int32, scaled by the product of both scales; products add it before scaling."""
        data, weight, bias = inputs[:3]
        init = self._graph.initializers.get(bias.name) if bias is not None else None
        if data is None or weight is None or bias is None or init is None or len(bias.shape) != 1:
            return bias
        pair = [self._scales.get(tensor.name) for tensor in (data, weight)]
        if pair[0] is None or pair[1] is None or pair[1].size != bias.shape[0]:
            return bias
        scales = pair[0] * pair[1]
        return self._stored(new, bias.name, _rounded(init, scales, 0, "int32"), scales, 0)

    def _stored(
        self, new: Rewriter, name: str, low: Initializer, scales: np.ndarray, axis: int
    ) -> Tensor:
        g, dtype = new.g, low.type.dtype
        stored = g.declare(f"{name}/{dtype}", low)
        scale = g.constant(scales, f"{name}/scale", "float32")
        zero = g.constant(np.zeros(scales.shape), f"{name}/zero", dtype)
        back = g.op("DequantizeLinear", stored, scale, zero, axis=axis, name=f"{name}/dequantised")
        self._scales[back.name] = scales
        return back


def _never_negative(graph: Graph) -> set[str]:
    """Outputs of ReLU, sigmoid or softmax, and of operators that only move or average them."""
    tensors: set[str] = set()
    for op in graph.ops:
        low = graph.constant(op.inputs[1]) if op.op_type == "Clip" and len(op.inputs) > 1 else None
        sources = op.inputs if op.op_type == "Concat" else op.inputs[:1]
        kept = op.op_type in _KEEPS_SIGN and all(name in tensors for name in sources)
        if (
            op.op_type in ("Relu", "Sigmoid", "Softmax")
            or kept
            or (low is not None and float(low.item()) >= 0)
        ):
            tensors.update(op.outputs)
    return tensors


def _channel_scales(init: Initializer, axis: int) -> np.ndarray:
    """Scales that map a channel's largest weight to 127; placeholders if there are no values."""
    channels = int((init.type.shape or ())[axis])
    if not init.has_data:
        return np.full(channels, 1 / 128, np.float32)
    array = np.abs(init.array())
    largest = array.max(axis=tuple(i for i in range(array.ndim) if i != axis))
    return np.maximum(largest, 1e-12).astype(np.float32) / 127


def _rounded(init: Initializer, scales: np.ndarray, axis: int, dtype: str = "int8") -> Initializer:
    """The weight in integers, computed when it is first read."""
    type_ = TensorType(dtype, init.type.shape)
    if not init.has_data:
        return Initializer(type_)

    def load() -> np.ndarray:
        array = init.array()
        wide = scales.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        bound = 127 if dtype == "int8" else 2**31 - 1
        return np.clip(np.rint(array / wide), -bound, bound).astype(dtype)

    return Initializer(type_, load=load)
