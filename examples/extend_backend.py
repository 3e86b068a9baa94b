"""A backend in one file: ONNX's reference evaluator, measured like any other.

A package ships it through an entry point instead of `BACKENDS.added`:

    [project.entry-points."lydite.backends"]
    reference = "my_package:ReferenceBackend"
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import lydite as ly
from lydite.backends import BACKENDS, Capabilities, NodeTime, Prepared, Settings
from lydite.backends.base import Chain, check_feeds, check_runnable, square_product
from lydite.backends.isolate import calls, replicated
from lydite.graph import Graph, OpKey, model_to_proto


class Evaluated(Prepared):
    """A graph that numpy computes."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self._graph, draw = graph, np.random.default_rng(seed)
        self._evaluator = ReferenceEvaluator(model_to_proto(graph, seed=seed))
        shapes = {name: graph.type_of(name).shape or () for name in graph.inputs}
        self._feeds = {n: draw.random(s, dtype=np.float32) for n, s in shapes.items()}
        self._made: Sequence[np.ndarray] = ()

    def run(self) -> None:
        self._made = self._evaluator.run(None, self._feeds)

    def synchronize(self) -> None:
        """numpy is done when `run` returns."""

    def bind(self, feeds: Mapping[str, np.ndarray]) -> None:
        check_feeds(feeds, self._graph)
        self._feeds |= dict(feeds)

    def outputs(self) -> dict[str, np.ndarray]:
        return dict(zip(self._graph.outputs, self._made, strict=True))

    def close(self) -> None:
        self._made = ()


class ReferenceBackend:
    """ONNX's reference evaluator: no fusion, one thread, numpy."""

    name = "reference"
    pace_key = square_product("MatMul")

    def capabilities(self) -> Capabilities:
        return Capabilities(True, {"onnx": onnx.__version__}, ("cpu",), ("float32",))

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        del settings
        check_runnable(graph)
        return graph

    def prepare(self, graph: Graph, settings: Settings) -> Prepared:
        return Evaluated(self.lower(graph, settings), settings.seed)

    def prepare_op(self, key: OpKey, settings: Settings, copies: int, turns: int = 1) -> Prepared:
        return Evaluated(replicated(key, copies, turns), settings.seed)

    def prepare_calls(self, settings: Settings, copies: int, chain: Chain = "same") -> Prepared:
        return Evaluated(calls(copies, chain), settings.seed)

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """The evaluator has no profiler: whole runs are told, shared out evenly."""
        prepared, found = self.prepare(graph, settings), []
        for _ in range(runs):
            start = time.perf_counter()
            prepared.run()
            each = (time.perf_counter() - start) / len(graph.ops)
            found.append([NodeTime(op.name, i * each, each) for i, op in enumerate(graph.ops)])
        return found


def main() -> None:
    with BACKENDS.added("reference", f"{__name__}:ReferenceBackend"):
        found = ly.bench("lenet5", backend="reference", budget=0.5)
        print(found.summary())


if __name__ == "__main__":
    main()
