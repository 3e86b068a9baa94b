"""Our latency against the method of onnxruntime_perf_test: a plain loop over `session.run`.

    python benchmarks/latency.py

Both run the same file in one process, in turns, round by round; the figure is the median over the
rounds of the ratio of the two, less 1. ONNX Runtime's tool feeds numpy-like buffers and lets the
runtime allocate the outputs; so does the loop here.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from _figures import Figure, publish
from _nets import light_model, light_paths

from lydite.backends import Settings, find_backend
from lydite.graph import Graph, read_onnx, write_onnx
from lydite.measure.timing import sample, warm_up
from lydite.models import build_model

ROUNDS = 25


class PlainLoop:
    """What onnxruntime_perf_test does: default options but the thread counts, `run` with feeds."""

    def __init__(self, path: Path, graph: Graph) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        rng = np.random.default_rng(0)
        self.feeds = {
            name: rng.random([int(d) for d in graph.type_of(name).shape or ()], dtype=np.float32)
            if graph.type_of(name).dtype == "float32"
            else np.ones([int(d) for d in graph.type_of(name).shape or ()], np.int64)
            for name in graph.inputs
        }

    def seconds(self, calls: int) -> float:
        start = time.process_time()
        for _ in range(calls):
            self.session.run(None, self.feeds)
        return (time.process_time() - start) / calls


def compare(graph: Graph) -> np.ndarray:
    """Ratio of our time over the loop's, one per round."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_onnx(graph, Path(folder) / "model.onnx")
        loop = PlainLoop(path, graph)
        ours = find_backend("onnxruntime").prepare(read_onnx(path), Settings())
        _, latency = warm_up(ours, 1.0)
        loop.seconds(2)
        calls = max(1, round(0.1 / latency))
        ratios = []
        for number in range(ROUNDS):
            pair = [lambda: sample(ours, calls, "process"), lambda: loop.seconds(calls)]
            order = (0, 1) if number % 2 else (1, 0)
            taken = {which: pair[which]() for which in order}
            ratios.append(taken[0] / taken[1])
        ours.close()
    return np.array(ratios)


def main() -> None:
    graphs = [build_model("resnet50"), build_model("mobilenetv2"), build_model("bert-base")]
    graphs += [light_model(p) for p in light_paths() if "squeeze" in p.stem or "shuffle" in p.stem]
    figures: list[Figure] = []
    differences = []
    for graph in graphs:
        ratios = compare(graph)
        difference = float(np.median(ratios) - 1)
        differences.append(abs(difference))
        spread = [float(x) for x in np.percentile(ratios - 1, [25, 75])]
        figures.append(
            Figure(
                f"difference to a plain loop, {graph.name}",
                difference,
                "share",
                None,
                "lower",
                {"iqr": spread, "rounds": ROUNDS},
            )
        )
    figures.append(
        Figure("largest difference to the plain loop", max(differences), "share", 0.02, "lower")
    )
    publish("latency", figures)


if __name__ == "__main__":
    main()
