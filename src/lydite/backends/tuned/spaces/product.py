"""Products of matrices by register tiles over packed weights.

Tails are neither padded in the output nor guarded: the last tile overlaps its neighbour. So a size
that nothing divides costs at most one tile more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lydite.backends.tuned.emit import Emit, Index, tiles
from lydite.backends.tuned.space import (
    HERTZ,
    L2_BYTES_PER_CYCLE,
    MEMORY_BYTES_PER_CYCLE,
    Space,
    fetched,
    tile_cycles,
    tile_features,
)
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.tile import begin, fetch_ahead, multiply, nested, store
from lydite.backends.tuned.toolchain import Machine

BODY = 256
"""Most multiply-adds in a loop's body: LLVM takes seconds for longer ones."""
_SPILLED = 40
"""Most sums of a tile; what exceeds the registers is spilled."""
_SPREAD = 8
"""Parts of a sum between which lines of the next panel are fetched."""
_LONG = 1024
"""Sums of more terms than this may be cut into blocks."""


def _fits(task: Task, here: Machine) -> bool:
    return task.dims["n"] >= here.lanes and task.dims["m"] > 1


def _factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    m, n, k = (task.dims[name] for name in "mnk")
    blocks = [b for b in (128, 256, 512) if k >= _LONG and k % b == 0]
    return {
        "rows": [r for r in range(1, 17) if r <= m],
        "vectors": [v for v in range(1, 7) if v * here.lanes <= n],
        "unroll": [1, 2, 4, 8],
        "order": ["columns", "rows"],
        "block": [0, *blocks],
        "ahead": ["none", "panel"] if task.dims["const"] else ["none"],
    }


def _valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    del here
    sums, e = f["rows"] * f["vectors"], task.epilogue
    if sums * f["unroll"] > BODY or sums > _SPILLED:
        return False
    if f["ahead"] == "panel" and f["order"] == "rows":
        return False
    # A row that two tiles share would be added up twice, and a sum in parts is not yet clipped.
    plain = task.dims["m"] % f["rows"] == 0 and e.low == -math.inf and e.high == math.inf
    plain = plain and "alpha_millionths" not in task.dims and task.dims["batch"] == 1
    return not f["block"] or (plain and f["order"] == "columns" and f["block"] % f["unroll"] == 0)


def packed(weights: np.ndarray, width: int) -> np.ndarray:
    """K x N weights as panels of `width` columns; the last panel overlaps where need be."""
    n = weights.shape[1]
    starts = [min(j * width, n - width) for j in range(tiles(n, width))]
    return np.stack([weights[:, start : start + width] for start in starts]).ravel()


def packed_constants(
    task: Task, here: Machine, f: Mapping[str, Any], constants: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    """Weights in panels, where they are constant, and the bias."""
    arrays: list[np.ndarray] = []
    if task.dims["const"]:
        weights = constants[1].T if task.dims["trans"] else constants[1]
        arrays.append(packed(weights, f["vectors"] * here.lanes))
    if task.epilogue.bias:
        arrays.append(constants[2].ravel())
    return arrays


class _Matmul:
    """Writes the kernel of one configuration."""

    def __init__(self, task: Task, here: Machine, f: Mapping[str, Any]) -> None:
        self.e, self.task, self.f, d = Emit(here.lanes), task, f, task.dims
        self.m, self.n, self.k, self.batch = d["m"], d["n"], d["k"], d["batch"]
        self.rows, self.vectors, self.lanes = f["rows"], f["vectors"], here.lanes
        self.width = self.vectors * self.lanes
        self.length = f["block"] or self.k
        panels = tiles(self.n, self.width) * self.width * self.k
        self.a = self.e.argument("a", self.batch * self.m * self.k)
        self.b = self.e.argument("b", panels if d["const"] else self.batch * self.k * self.n)
        self.bias = self.e.argument("bias", self.n) if task.epilogue.bias else None
        self.c = self.e.argument("c", self.batch * self.m * self.n)

    def write(self) -> Any:
        e, across, down = self.e, tiles(self.n, self.width), tiles(self.m, self.rows)
        with e.loop(self.batch) as turn:
            if self.f["block"]:
                with e.loop(across) as jo, e.loop(self.k // self.length) as part:
                    with e.loop(down) as io:
                        self.tile(turn, jo, io, part)
            else:
                with nested(e, across, down, swap=self.f["order"] == "rows") as (jo, io):
                    self.tile(turn, jo, io, 0)
        return e.function()

    def tile(self, turn: Index, jo: Index, io: Index, part: Index) -> None:
        e, rows, vectors = self.e, self.rows, self.vectors
        j0, i0 = e.start(jo, self.width, self.n), e.start(io, rows, self.m)

        def at(i: int, v: int) -> Index:
            return (turn * self.m + i0 + i) * self.n + j0 + v * self.lanes

        def first() -> None:
            begin(e, sums, rows, vectors, self.bias, lambda v: j0 + v * self.lanes)

        sums = e.registers(rows * vectors)
        if self.f["block"]:
            with e.when(part == 0):
                first()
            with e.otherwise():
                for i in range(rows):
                    for v in range(vectors):
                        sums[i * vectors + v] = e.vector(self.c, at(i, v))
        else:
            first()
        if self.f["ahead"] == "panel":
            size, turns = self.width * self.k, tiles(self.m, self.rows)
            share = part * turns + io
            shares = self.k // self.length * turns * _SPREAD
            self.ahead = (jo + 1) * size, size, share * _SPREAD, shares
        self.add(sums, turn, (jo, j0), i0, part * self.length)
        alpha = self.task.dims.get("alpha_millionths", 1_000_000) / 1e6
        if alpha != 1:
            for number in range(rows * vectors):
                sums[number] = sums[number] * e.splat(alpha)
        store(e, sums, rows, vectors, self.task.epilogue, self.c, None, at)

    def add(
        self, sums: Any, turn: Index, panel: tuple[Index, Index], i0: Index, first_k: Index
    ) -> None:
        e, unroll, k = self.e, self.f["unroll"], self.k
        (jo, j0), const = panel, self.task.dims["const"]

        def step(kk: Index) -> None:
            start = (jo * k + kk) * self.width if const else (turn * k + kk) * self.n + j0
            multiply(
                e,
                sums,
                range(self.rows),
                self.vectors,
                lambda i: e.number(self.a, (turn * self.m + i0 + i) * k + kk),
                lambda v: e.vector(self.b, start + v * self.lanes),
            )

        turns = self.length // unroll
        if self.f["ahead"] == "panel" and turns >= _SPREAD:
            start, size, share, shares = self.ahead
            with e.loop(_SPREAD) as spread:
                fetch_ahead(e, self.b, start, size, share + spread, shares)
                with e.loop(turns // _SPREAD) as ko:
                    for u in range(unroll):
                        step(first_k + (spread * (turns // _SPREAD) + ko) * unroll + u)
            done = turns // _SPREAD * _SPREAD
            with e.loop(turns - done) as ko:
                for u in range(unroll):
                    step(first_k + (done + ko) * unroll + u)
        else:
            with e.loop(turns) as ko:
                for u in range(unroll):
                    step(first_k + ko * unroll + u)
        for u in range(self.length % unroll):
            step(first_k + self.length - self.length % unroll + u)


def _write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    return _Matmul(task, here, f).write()


def _seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    m, n, k, batch = (task.dims[name] for name in ("m", "n", "k", "batch"))
    rows, width = f["rows"], f["vectors"] * here.lanes
    count = batch * tiles(n, width) * tiles(m, rows)
    length = f["block"] or k
    step = tile_cycles(here, rows, f["vectors"], f["unroll"])
    panel, strip = 4.0 * width * length, 4.0 * rows * length
    inner, outer = (strip, panel) if f["order"] == "columns" else (panel, strip)
    # What the inner loop goes through comes from L2; what stays is in L1 if it fits.
    moved = inner + (outer if outer + inner > 0.8 * here.l1_bytes else 0.0)
    if f["order"] == "rows" and 4.0 * n * k > 0.8 * here.l2_bytes:
        moved *= L2_BYTES_PER_CYCLE / MEMORY_BYTES_PER_CYCLE
    extra = 2.0 * rows * f["vectors"] + 15
    cycles = count * (k / length) * (max(step * length, moved / L2_BYTES_PER_CYCLE) + extra)
    weights = 4.0 * n * k if task.dims["const"] else 0.0
    return fetched(cycles, weights, f["ahead"] == "panel") / HERTZ


def _features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    m, n, k = (task.dims[name] for name in "mnk")
    width, length = f["vectors"] * here.lanes, f["block"] or k
    waste = tiles(n, width) * width / n * tiles(m, f["rows"]) * f["rows"] / m
    return [
        *tile_features(here, f["rows"], f["vectors"], f["unroll"]),
        math.log2(4 * width * length),
        waste,
        math.log2(m),
        math.log2(n),
        math.log2(k),
    ]


def sum_error(factors: Mapping[str, Any]) -> float:
    """Sums in another order differ by rounding alone."""
    del factors
    return 5e-5


MATMUL = Space(
    "matmul",
    "product",
    _fits,
    _factors,
    _valid,
    _write,
    packed_constants,
    _seconds,
    _features,
    sum_error,
    ("const",),
)
