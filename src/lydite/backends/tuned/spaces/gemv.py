"""Product of one row and constant weights: a stream of weights, bound by their way from memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lydite.backends.tuned.emit import Emit, Index, tiles
from lydite.backends.tuned.space import (
    HERTZ,
    L2_BYTES_PER_CYCLE,
    MEMORY_BYTES_PER_CYCLE,
    Space,
)
from lydite.backends.tuned.spaces.product import BODY, packed_constants, sum_error
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.tile import finished
from lydite.backends.tuned.toolchain import Machine


def _fits(task: Task, here: Machine) -> bool:
    d = task.dims
    return d["m"] == 1 and d["batch"] == 1 and d["const"] == 1 and d["n"] >= here.lanes


def _factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    return {
        "vectors": [v for v in (1, 2, 3, 4, 6, 8, 12, 16) if v * here.lanes <= task.dims["n"]],
        "chains": [1, 2, 4, 8],
        "unroll": [1, 2, 4, 8],
        "ahead": [0, 8, 32, 128],
        "streams": ["one", "chains"],
    }


def _valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    del here
    sums = f["vectors"] * f["chains"]
    if f["streams"] == "chains" and f["chains"] == 1:
        return False
    return sums <= 32 and sums * f["unroll"] <= BODY and sums <= task.dims["k"]


def _write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    e, lanes = Emit(here.lanes), here.lanes
    n, k, vectors, chains = task.dims["n"], task.dims["k"], f["vectors"], f["chains"]
    width, body, ahead = vectors * lanes, chains * f["unroll"], f["ahead"]
    a = e.argument("a", k)
    b = e.argument("b", tiles(n, width) * width * k)
    bias = e.argument("bias", n) if task.epilogue.bias else None
    c = e.argument("c", n)
    with e.loop(tiles(n, width)) as jo:
        j0 = e.start(jo, width, n)
        sums = e.registers(chains * vectors)
        for chain in range(chains):
            for v in range(vectors):
                begins = bias is not None and chain == 0
                start = e.vector(bias, j0 + v * lanes) if begins else e.splat(0.0)
                sums[chain * vectors + v] = start

        def step(kk: Index, chain: int) -> None:
            factor = e.splat(e.number(a, kk))
            for v in range(vectors):
                if ahead:
                    e.prefetch(b, (jo * k + kk + ahead) * width + v * lanes)
                weight = e.vector(b, (jo * k + kk) * width + v * lanes)
                at = chain * vectors + v
                sums[at] = sums[at] + factor * weight

        apart = f["streams"] == "chains"  # each chain goes through a part of the sum of its own
        with e.loop(k // body) as ko:
            for u in range(body):
                chain, turn = u % chains, ko * f["unroll"] + u // chains
                here_k = chain * (k // body * f["unroll"]) + turn if apart else ko * body + u
                step(here_k, chain)
        for u in range(k % body):
            step(k - k % body + u, u % chains)
        for v in range(vectors):
            value = sums[v]
            for chain in range(1, chains):
                value = value + sums[chain * vectors + v]
            e.put(c, j0 + v * lanes, finished(e, value, task.epilogue))
    return e.function()


def _seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    n, k = task.dims["n"], task.dims["k"]
    width, sums = f["vectors"] * here.lanes, f["vectors"] * f["chains"]
    moved = 4.0 * tiles(n, width) * width * k
    speed = L2_BYTES_PER_CYCLE if moved < 0.8 * here.l2_bytes else MEMORY_BYTES_PER_CYCLE
    turns = tiles(n, width) * k
    step = max(f["vectors"], 4.0 / f["chains"]) + max(0, sums + 2 - here.registers)
    return max(turns * step, moved / speed) / HERTZ + tiles(n, width) * 20 / HERTZ


def _features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    n, k = task.dims["n"], task.dims["k"]
    width = f["vectors"] * here.lanes
    sums = f["vectors"] * f["chains"]
    waste = tiles(n, width) * width / n
    return [float(sums), waste, math.log2(1 + f["ahead"] * width), math.log2(n), math.log2(k)]


GEMV = Space(
    "gemv",
    "product",
    _fits,
    _factors,
    _valid,
    _write,
    packed_constants,
    _seconds,
    _features,
    sum_error,
)
