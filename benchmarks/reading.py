"""Reading a graph of a large language model's size: 10,000 operators, weights not touched.

python benchmarks/reading.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from _figures import Figure, publish

from lydite.graph import Builder, Graph, Tensor, read_onnx, total_work, write_onnx
from lydite.opkey import Dim

OPERATORS = 10_000
HIDDEN, HEADS, INNER = 4096, 32, 11008
REPEATS = 5
GOAL_S = 3.0


def decoder(batch: Dim, sequence: Dim, layers: int) -> Graph:
    """A decoder of llama's shape, written as exporters write it.

    Where a size is a name, shapes are computed in the graph (Shape, Gather, Concat), as in models
    that were exported with dynamic axes.
    """
    g = Builder("decoder")
    x = g.input("embedded", (batch, sequence, HIDDEN))
    cosine, sine = (
        g.input(part, (batch, 1, sequence, HIDDEN // HEADS)) for part in ("cosine", "sine")
    )
    mask = g.input("mask", (batch, 1, sequence, sequence))
    dynamic = isinstance(batch, str) or isinstance(sequence, str)
    for _ in range(layers):
        x = x + _attention(g, _norm(g, x), cosine, sine, mask, dynamic)
        x = x + _feed_forward(g, _norm(g, x))
    return g.build(x)


def large_decoder(batch: Dim, sequence: Dim) -> Graph:
    """As many layers as it takes to have `OPERATORS` operators."""
    return decoder(batch, sequence, -(-OPERATORS // len(decoder(batch, sequence, 1).ops)))


def _norm(g: Builder, x: Tensor) -> Tensor:
    square = g.op("Pow", x, g.constant(2.0, "two", g.dtype))
    mean = g.op("ReduceMean", square, g.constant([-1], "axes"), keepdims=1)
    root = g.op("Sqrt", mean + g.constant(1e-6, "epsilon", g.dtype))
    return (x * g.op("Reciprocal", root)) * g.weight((HIDDEN,), "norm.weight")


def _attention(
    g: Builder, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor, dynamic: bool
) -> Tensor:
    query, key, value = (
        _split(g, _dense(g, x, HIDDEN, HIDDEN), dynamic) for _ in ("query", "key", "value")
    )
    query, key = _rotated(g, query, cosine, sine), _rotated(g, key, cosine, sine)
    scores = g.op("MatMul", query, g.transpose(key, (0, 1, 3, 2)))
    scores = scores * g.constant((HIDDEN // HEADS) ** -0.5, "scale", g.dtype) + mask
    mixed = g.transpose(g.op("MatMul", g.softmax(scores), value), (0, 2, 1, 3))
    joined = _shaped(g, mixed, [HIDDEN], dynamic)
    return _dense(g, joined, HIDDEN, HIDDEN)


def _dense(g: Builder, x: Tensor, width: int, features: int) -> Tensor:
    return g.op("MatMul", x, g.weight((width, features)))


def _split(g: Builder, x: Tensor, dynamic: bool) -> Tensor:
    return g.transpose(_shaped(g, x, [HEADS, HIDDEN // HEADS], dynamic), (0, 2, 1, 3))


def _shaped(g: Builder, x: Tensor, tail: list[int], dynamic: bool) -> Tensor:
    """The first two sizes kept, then `tail`."""
    if not dynamic:
        return g.reshape(x, [0, 0, *tail])
    shape = g.op("Shape", x)
    axis = g.constant([0], "axes")
    parts = [g.op("Unsqueeze", g.op("Gather", shape, g.constant(i, "index")), axis) for i in (0, 1)]
    return g.op("Reshape", x, g.concat([*parts, g.constant(tail, "tail")], 0))


def _rotated(g: Builder, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = HIDDEN // HEADS // 2
    axis = g.constant([3], "axis")
    ends = [g.constant([end], "bound") for end in (0, half, 2 * half)]
    first, second = (g.op("Slice", x, ends[i], ends[i + 1], axis) for i in (0, 1))
    return x * cosine + g.concat([g.op("Neg", second), first], 3) * sine


def _feed_forward(g: Builder, x: Tensor) -> Tensor:
    gate = _dense(g, x, HIDDEN, INNER)
    inner = gate * g.op("Sigmoid", gate) * _dense(g, x, HIDDEN, INNER)
    return _dense(g, inner, INNER, HIDDEN)


def seconds(action: Callable[[], object]) -> float:
    """Median CPU time of this process over a few calls, after one that does not count."""
    action()
    times: list[float] = []
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return median(times)


def _read(title: str, path: Path, dims: Mapping[str, int]) -> list[Figure]:
    graph = read_onnx(path, dims=dims)
    conditions = {"operators": len(graph.ops), "file_bytes": path.stat().st_size}
    read = seconds(lambda: read_onnx(path, dims=dims))
    what = f"read a decoder of 10,000 operators, {title}"
    found = [Figure(what, read, "s CPU", GOAL_S, "lower", conditions)]
    if not graph.open_dims:
        work = seconds(lambda: total_work(graph))
        what = f"work of all its operators, {title}"
        found.append(Figure(what, work, "s CPU", None, "lower", conditions))
    return found


def main() -> None:
    """Write the models, read them, publish the figures."""
    cases: list[tuple[str, Dim, Dim, Mapping[str, int]]] = [
        ("fixed sizes", 1, 128, {}),
        ("named sizes, bound", "batch", "sequence", {"batch": 1, "sequence": 128}),
        ("named sizes, left open", "batch", "sequence", {}),
    ]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, batch, sequence, dims in cases:
            path = Path(folder) / "model.onnx"
            write_onnx(large_decoder(batch, sequence), path, weights=False)
            figures += _read(title, path, dims)
    publish("reading", figures)
    sys.exit(any(item.reached is False for item in figures))


if __name__ == "__main__":
    main()
