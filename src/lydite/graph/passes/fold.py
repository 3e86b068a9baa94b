"""Fold batch normalisation into the convolution before it.

With s = scale / sqrt(variance + epsilon): w' = s w and b' = s (b - mean) + bias.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.passes.rewrite import Rewriter
from lydite.opkey import TensorType


def folded(graph: Graph) -> Graph:
    """The graph with batch normalisations folded into the convolutions that they follow."""
    found = {pair[1].name: pair for op in graph.ops if (pair := _foldable(graph, op)) is not None}
    if not found:
        return graph
    convs = {conv.name: norm for conv, norm in found.values()}

    def rewrite(new: Rewriter, op: Op) -> None:
        if op.name in found:
            new.rename(op.outputs[0], new.tensor(found[op.name][0].outputs[0]))
        elif op.name in convs:
            _merge(new, op, convs[op.name])
        else:
            new.keep(op)

    return Rewriter(graph).run(rewrite)


def _foldable(graph: Graph, norm: Op) -> tuple[Op, Op] | None:
    """The convolution before a normalisation that nobody else reads, with it."""
    if norm.qualified_type != "BatchNormalization" or norm.attrs.get("training_mode"):
        return None
    if len(norm.inputs) < 5:
        return None
    conv = graph.producers.get(norm.inputs[0])
    if (
        conv is None
        or len(conv.inputs) < 2
        or conv.qualified_type != "Conv"
        or norm.inputs[0] in graph.outputs
    ):
        return None
    fixed = [*conv.inputs[1:], *norm.inputs[1:]]
    alone = len(graph.consumers[norm.inputs[0]]) == 1 and all(graph.is_constant(n) for n in fixed)
    return (conv, norm) if alone and len(graph.consumers[conv.inputs[1]]) == 1 else None


def _merge(new: Rewriter, conv: Op, norm: Op) -> None:
    graph = new.graph
    data, stem, *shift = list(conv.inputs)
    weight, bias = graph.initializers[stem], graph.initializers.get(shift[0]) if shift else None
    parts = [graph.initializers[name] for name in norm.inputs[1:5]]
    fold = _Folding(weight, parts, bias, float(str(norm.attrs.get("epsilon", 1e-5))))
    scaled = new.g.declare(f"{stem}/folded", fold.weight())
    shifted = new.g.declare(f"{stem}/folded_bias", fold.bias())
    new.keep(conv, [new.tensor(data), scaled, shifted])


class _Folding:
    """The folded weight and bias, computed lazily when their values are read."""

    def __init__(
        self, weight: Initializer, parts: list[Initializer], bias: Initializer | None, eps: float
    ) -> None:
        self._weight, self._parts, self._bias = weight, parts, bias
        self._eps = eps
        given = [weight, *parts, *([bias] if bias is not None else [])]
        self._known = all(init.has_data for init in given)

    def _factor(self) -> np.ndarray:
        scale, _shift, _mean, variance = (part.array() for part in self._parts)
        return scale / np.sqrt(variance + self._eps)

    def weight(self) -> Initializer:
        """w' = s w along the output channels."""

        def load() -> np.ndarray:
            array = self._weight.array()
            factor = self._factor().reshape([-1] + [1] * (array.ndim - 1))
            return (array * factor).astype(array.dtype)

        return replace(self._weight, value=None, load=load if self._known else None)

    def bias(self) -> Initializer:
        """b' = s (b - mean) + shift."""

        def load() -> np.ndarray:
            _scale, shift, mean, _variance = (part.array() for part in self._parts)
            before = self._bias.array() if self._bias is not None else 0.0
            return ((before - mean) * self._factor() + shift).astype(shift.dtype)

        type_ = TensorType(self._weight.type.dtype, self._parts[0].type.shape)
        return Initializer(type_, load=load if self._known else None)
