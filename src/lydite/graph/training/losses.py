"""Losses: appended to a model's outputs, and minimised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lydite.errors import GraphError
from lydite.graph.builder import Builder, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.opkey import TensorType

LABELS = "labels"


def cross_entropy(g: Builder, outputs: Sequence[Tensor]) -> Tensor:
    """Mean of -log softmax at the label, of scores [N, C], [N, S, C] or [N, C, H, W]."""
    scores = outputs[0]
    if len(scores.shape) not in (2, 3, 4):
        raise GraphError(f"cross entropy needs classes, not {scores.type}", where=scores.name)
    labels_shape = (
        scores.shape[:-1] if len(scores.shape) == 3 else (scores.shape[0], *scores.shape[2:])
    )
    labels = g.input(LABELS, labels_shape, "int64")
    if len(scores.shape) == 3:  # the tokens of all samples become rows
        rows = scores.shape[0] * scores.shape[1]
        scores = g.op("Reshape", scores, g.constant([rows, scores.shape[2]]), name="loss/reshape")
        labels = g.op("Reshape", labels, g.constant([rows]), name="loss/reshape")
    logs = g.op("LogSoftmax", scores, axis=1, name="loss/log_softmax")
    return g.op("NegativeLogLikelihoodLoss", logs, labels, name="loss")


def mean_square(g: Builder, outputs: Sequence[Tensor]) -> Tensor:
    """Sum over the outputs of the mean squared difference to a target of the same shape."""
    parts: list[Tensor] = []
    for number, output in enumerate(_numbers(g, outputs)):
        target = g.input(f"target_{number}", output.shape, output.type.dtype)
        apart = g.op("Sub", output, target, name="loss/difference")
        two = g.constant(2.0, "two", output.type.dtype)
        square = g.op("Pow", apart, two, name="loss/square")
        parts.append(g.op("ReduceMean", square, keepdims=0, name="loss/mean"))
    return _added(g, parts)


def total(g: Builder, outputs: Sequence[Tensor]) -> Tensor:
    """The sum of all outputs' elements: the cheapest loss, for measuring."""
    return _added(
        g, [g.op("ReduceSum", out, keepdims=0, name="loss/sum") for out in _numbers(g, outputs)]
    )


def _numbers(g: Builder, outputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs that a loss can be computed from, cast to float32 if their types differ.

    Raises:
        GraphError: there is none.
    """
    outputs_used = [out for out in outputs if "float" in out.type.dtype]
    if not outputs_used:
        raise GraphError("no floating-point output to compute a loss from", where=g.name)
    if len({out.type.dtype for out in outputs_used}) == 1:
        return outputs_used
    number = dtype_number("float32")
    return [
        out if out.type.dtype == "float32" else g.op("Cast", out, to=number, name="loss/cast")
        for out in outputs_used
    ]


def _added(g: Builder, parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = g.op("Add", total, part, name="loss")
    return total


LOSSES: dict[str, Callable[[Builder, Sequence[Tensor]], Tensor]] = {
    "cross_entropy": cross_entropy,
    "mean_square": mean_square,
    "sum": total,
}


def usual_loss(outputs: Sequence[TensorType]) -> str:
    """Cross entropy for a single matrix of scores (or one per token), else mean square."""
    single = len(outputs) == 1 and len(outputs[0].shape or ()) in (2, 3)
    return "cross_entropy" if single else "mean_square"
