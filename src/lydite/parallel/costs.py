"""What running side by side costs on this machine, measured: hand-off, calls, interference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from lydite.backends import Prepared, Settings
from lydite.backends.onnxruntime import OnnxRuntimeBackend
from lydite.graph import Builder, Graph
from lydite.parallel.runner import Workers
from lydite.parallel.stages import Costs

_ROUNDS = 15
_HANDOFFS = 300
_SWEEP = 1 << 20
"""Floats of each operand of the operator that is bound by memory: 4 MiB."""


def measured_costs(backend: OnnxRuntimeBackend, workers: Workers) -> Costs:
    """Measure the costs on the workers' cores; the caller is pinned to the first one.

    A call's cost is the intercept over chains of one and two products; the further threads' is what
    that of a call on all cores is more. The slowdown of a kind beside another is that of a small
    product (bound by computation) or a sum of 4 MiB (bound by memory) on the first worker, while
    the others repeat the other kind.
    """
    count = len(workers.cores)
    call_s = _intercept(backend, 1, ())
    wide_s = _intercept(backend, count, workers.cores[1:])
    kinds = [[_prepared(backend, graph) for _ in range(count)] for graph in (_product(1), _sum())]
    slowdown = np.ones((2, 2))
    for first in range(2):
        for second in range(2):
            others = [item.run for item in kinds[second][1:]]
            slowdown[first, second] = _beside(kinds[first][0].run, others, workers)
    for items in kinds:
        for item in items:
            item.close()
    return Costs(
        count,
        handoff_s=_handoff(workers),
        wake_s=max(0.0, wide_s - call_s),
        call_s=call_s,
        slowdown=slowdown,
    )


def _handoff(workers: Workers) -> float:
    """Median seconds to start all workers on nothing and to wait for them."""
    steps: list[Callable[[], None]] = [lambda: None] * len(workers.cores)
    taken = []
    for _ in range(_HANDOFFS):
        start = time.perf_counter()
        workers.together(steps)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def _intercept(backend: OnnxRuntimeBackend, threads: int, cores: Sequence[int]) -> float:
    """Seconds of a call without its operators."""
    items = [_prepared(backend, _product(length), threads, cores) for length in (1, 2)]
    once, twice = (_seconds(item.run, 20) for item in items)
    for item in items:
        item.close()
    return max(0.0, 2 * once - twice)


def _beside(
    run: Callable[[], None], others: Sequence[Callable[[], None]], workers: Workers
) -> float:
    """Factor on the time of `run` while the others run again and again; at least 1."""
    ratios = []
    for _ in range(_ROUNDS):
        alone, ended, taken = _seconds(run, 3, 1), [], []

        def timed(taken: list[float] = taken, ended: list[bool] = ended) -> None:
            try:
                taken.append(_seconds(run, 3, 1))
            finally:
                ended.append(True)

        def repeated(other: Callable[[], None], ended: list[bool] = ended) -> None:
            while not ended:
                other()

        workers.together([timed, *(lambda other=other: repeated(other) for other in others)])
        ratios.append(taken[0] / alone)
    return max(1.0, float(np.median(ratios)))


def _seconds(run: Callable[[], None], calls: int, rounds: int = _ROUNDS) -> float:
    """Median seconds of a call."""
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        taken.append((time.perf_counter() - start) / calls)
    return float(np.median(taken))


def _prepared(
    backend: OnnxRuntimeBackend, graph: Graph, threads: int = 1, cores: Sequence[int] = ()
) -> Prepared:
    arrays = {
        name: np.ones([int(dim) for dim in graph.type_of(name).shape or ()], np.float32)
        for name in (*graph.inputs, *graph.outputs)
    }
    settings = Settings(threads=threads, optimise=False)
    return backend.prepare_bound(graph, settings, arrays, cores)


def _product(length: int) -> Graph:
    g = Builder("product")
    x = g.input("x", (192, 192))
    for _ in range(length):
        x = g.linear(x, 192, bias=False)
    return g.build(x)


def _sum() -> Graph:
    g = Builder("sum")
    x = g.input("x", (_SWEEP,))
    return g.build(g.op("Add", x, x))
