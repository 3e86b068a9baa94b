"""Build a small net, look at its work, write it as ONNX and read it back."""

import tempfile
from pathlib import Path

from lydite.graph import Builder, keys_of, read_onnx, write_onnx
from lydite.graph.work import total_work
from lydite.units import format_si

g = Builder("tiny")
x = g.input("image", (1, 3, 32, 32))
x = g.relu(g.batch_norm(g.conv(x, 16, 3, pad=1, bias=False)))
x = g.pool("Max", x, 2)
graph = g.build(g.linear(g.flatten(g.global_average_pool(x)), 10))

work = total_work(graph)
print(f"{graph.name}: {graph.parameter_count} parameters, {format_si(work.total.flops, 'FLOP')}")

with tempfile.TemporaryDirectory() as folder:
    path = write_onnx(graph, Path(folder) / "tiny.onnx")
    assert set(keys_of(read_onnx(path)).values()) == set(keys_of(graph).values())
