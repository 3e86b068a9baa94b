"""An ONNX file of 100,000 operators: CPU time and memory of commands that read it.

python benchmarks/large.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from _figures import Figure, publish
from onnx import TensorProto, helper, numpy_helper

OPERATORS = 100_000
WIDTH = 64


def write_model(path: Path) -> None:
    """A chain of products, sums and activations over two shared weights."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.random(shape, np.float32), name)
        for name, shape in (("w", (WIDTH, WIDTH)), ("b", (WIDTH,)))
    ]
    nodes, last = [], "x"
    for number in range(OPERATORS):
        op_type, *rest = (("MatMul", "w"), ("Add", "b"), ("Relu",), ("Mul", "b"))[number % 4]
        made = f"t{number}"
        nodes.append(helper.make_node(op_type, [last, *rest], [made], name=f"n{number}"))
        last = made
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("x", last)
    ]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def cost(*arguments: str) -> tuple[float, float]:
    """CPU seconds, and the most memory in MB, of one command."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lydite", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"lydite {' '.join(arguments)} failed")
    assert isinstance(used, resource.struct_rusage)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main() -> None:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.onnx"
        write_model(path)
        for command, goal in ((("inspect",), 5.0), (("predict", "--on", "h100"), 8.0)):
            name, *rest = command
            seconds, memory = cost(name, str(path), "--dim", "batch=8", *rest)
            what = f"{name} of 100,000 operators"
            figures += [
                Figure(f"{what}, CPU", seconds, "s", goal, "lower"),
                Figure(f"{what}, memory", memory, "MB", 500.0, "lower"),
            ]
    publish("large", figures)


if __name__ == "__main__":
    main()
