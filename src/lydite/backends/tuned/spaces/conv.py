"""Direct convolution in ONNX Runtime's blocked layout.

Activations are (C / lanes, H, W, lanes), or (C, H, W) where there are fewer channels than lanes.
The padding is neither copied nor guarded: rows bound their loops, and tiles at the left and right
edge have their taps clipped when they are written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lydite.backends.tuned.emit import Emit, Index, tiles
from lydite.backends.tuned.space import (
    HERTZ,
    L2_BYTES_PER_CYCLE,
    Space,
    fetched,
    tile_cycles,
    tile_features,
)
from lydite.backends.tuned.spaces.product import sum_error
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.tile import (
    begin,
    column_tiles,
    fetch_ahead,
    live_taps,
    multiply,
    nested,
    store,
)
from lydite.backends.tuned.toolchain import Machine

BODY, _CODE, SPILLED = 256, 2600, 40
"""Most multiply-adds in a loop's body and in the kernel, and most sums of a tile."""


def is_blocked(task: Task, here: Machine) -> bool:
    """Whether the input is in blocks of channels."""
    return task.dims["c"] >= here.lanes


def fits_blocks(task: Task, here: Machine) -> bool:
    """Whether the channels fill their blocks."""
    c, o, lanes = task.dims["c"], task.dims["o"], here.lanes
    return o % lanes == 0 and (c % lanes == 0 or c < lanes)


def plain_weights(task: Task, here: Machine, stored: np.ndarray) -> np.ndarray:
    """ONNX Runtime's reordered weights as (O, C, KH, KW).

    The runtime stores OIHWBiBo for a blocked input and OIHWBo for others
    (`MlasReorderFilterOIHWBiBo` and `MlasReorderFilterOIHWBo`).
    """
    d, lanes = task.dims, here.lanes
    o, c, kh, kw = d["o"], d["c"], d["kh"], d["kw"]
    if task.kind == "depthwise":
        return stored.reshape(o // lanes, kh, kw, lanes).transpose(0, 3, 1, 2).reshape(o, 1, kh, kw)
    if is_blocked(task, here):
        blocks = stored.reshape(o // lanes, c // lanes, kh, kw, lanes, lanes)
        return blocks.transpose(0, 5, 1, 4, 2, 3).reshape(o, c, kh, kw)
    blocks = stored.reshape(o // lanes, c, kh, kw, lanes)
    return blocks.transpose(0, 4, 1, 2, 3).reshape(o, c, kh, kw)


def group_starts(blocks: int, vectors: int) -> list[int]:
    """First block of each group of output channels; the last group may overlap."""
    return [min(g * vectors, blocks - vectors) for g in range(tiles(blocks, vectors))]


def packed_groups(
    task: Task, here: Machine, f: Mapping[str, Any], constants: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    """Weights as (group, C, KH, KW, vectors x lanes)."""
    d, width = task.dims, f["vectors"] * here.lanes
    weights = plain_weights(task, here, constants[1]).reshape(d["o"], -1)
    groups = [
        weights[start * here.lanes : start * here.lanes + width].T
        for start in group_starts(d["o"] // here.lanes, f["vectors"])
    ]
    bias = [constants[2].ravel()] if task.epilogue.bias else []
    return [np.stack(groups).ravel(), *bias]


def _direct_fits(task: Task, here: Machine) -> bool:
    return fits_blocks(task, here)


def _direct_factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    blocks = task.dims["o"] // here.lanes
    depth = here.lanes if is_blocked(task, here) else task.dims["c"]
    return {
        "rows": [r for r in range(1, 29) if r <= task.dims["ow"]],
        "vectors": [v for v in (1, 2, 3, 4, 6) if v <= blocks],
        "unroll": [u for u in (1, 2, 3, 4, 8, 16) if depth % u == 0],
        "order": ["channels", "pixels"],
        "taps": ["outside", "inside"],
        "ahead": ["none", "panel"],
    }


def _runs(task: Task, rows: int) -> tuple[tuple[int, int, bool], ...]:
    d = task.dims
    return column_tiles(d["ow"], rows, d["kw"], d["stride_w"], d["left"], d["w"])


def _direct_valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    del here
    sums = f["rows"] * f["vectors"]
    if sums > SPILLED or sums * f["unroll"] > BODY:
        return False
    if f["ahead"] == "panel" and f["order"] == "pixels":
        return False
    return sums * f["unroll"] * task.dims["kw"] * len(_runs(task, f["rows"])) <= _CODE


class _Direct:
    """Writes the kernel of one configuration."""

    def __init__(self, task: Task, here: Machine, f: Mapping[str, Any]) -> None:
        self.e, self.task, self.f, d = Emit(here.lanes), task, f, task.dims
        self.d, self.lanes, self.width = d, here.lanes, f["vectors"] * here.lanes
        self.rows, self.vectors = f["rows"], f["vectors"]
        self.blocked = is_blocked(task, here)
        self.depth = here.lanes if self.blocked else d["c"]
        self.blocks = d["o"] // here.lanes
        self.groups = tiles(self.blocks, f["vectors"])
        e, size = self.e, d["o"] * d["oh"] * d["ow"]
        self.x = e.argument("x", d["c"] * d["h"] * d["w"])
        self.residual = e.argument("residual", size) if task.epilogue.residual else None
        panels = self.groups * d["c"] * d["kh"] * d["kw"] * self.width
        self.weights = e.argument("weights", panels)
        self.bias = e.argument("bias", d["o"]) if task.epilogue.bias else None
        self.y = e.argument("y", size)

    def write(self) -> Any:
        e, pixels_first = self.e, self.f["order"] == "pixels"
        with nested(e, self.groups, self.d["oh"], swap=pixels_first) as (group, row):
            turn = 0
            for start, count, edge in _runs(self.task, self.rows):
                if count == 1:
                    self.tile(group, row, (turn, start), start if edge else None)
                else:
                    with e.loop(count) as number:
                        place = turn + number, start + number * self.rows
                        self.tile(group, row, place, None)
                turn += count
        return e.function()

    def tile(self, group: Index, row: Index, place: tuple[Index, Index], clip: int | None) -> None:
        """One tile, by its number in the row and its first column.

        `clip` is the first column where taps have to be clipped, else None.
        """
        e, d, rows, vectors = self.e, self.d, self.rows, self.vectors
        turn, column = place
        block = e.start(group, vectors, self.blocks)
        sums = e.registers(rows * vectors)
        begin(e, sums, rows, vectors, self.bias, lambda v: (block + v) * self.lanes)
        top = row * d["stride_h"] - d["top"]
        low = e.bind_index(e.most(0 - top, e.index(0)))
        high = e.bind_index(e.least(d["h"] - top, e.index(d["kh"])))
        live = [list(range(rows))] * d["kw"]
        if clip is not None:
            edge = clip, d["stride_w"], d["left"], d["w"]
            live = [live_taps(rows, kx, *edge) for kx in range(d["kw"])]
        parts = d["c"] // self.depth
        with e.loop(parts) as part:
            if self.f["ahead"] == "panel":
                size, turns = d["c"] * d["kh"] * d["kw"] * self.width, tiles(d["ow"], rows)
                share = (row * turns + turn) * parts + part
                shares = d["oh"] * turns * parts
                fetch_ahead(e, self.weights, (group + 1) * size, size, share, shares)
            with e.loop(high - low, low) as ky:
                self.add(sums, group, (part, top, ky), column, live)

        def at(i: int, v: int) -> Index:
            return (((block + v) * d["oh"] + row) * d["ow"] + column + i) * self.lanes

        store(e, sums, rows, vectors, self.task.epilogue, self.y, self.residual, at)

    def add(
        self,
        sums: Any,
        group: Index,
        place: tuple[Index, Index, Index],
        column: Index,
        live: Sequence[Sequence[int]],
    ) -> None:
        """Add one row of taps for one block of channels."""
        e, unroll = self.e, self.f["unroll"]
        if self.f["taps"] == "outside":
            for kx, pixels in enumerate(live):
                if pixels:
                    with e.loop(self.depth // unroll) as co:
                        for u in range(unroll):
                            self.tap(sums, group, place, column, (co * unroll + u, kx), pixels)
            return
        with e.loop(self.depth // unroll) as co:
            for u in range(unroll):
                for kx, pixels in enumerate(live):
                    if pixels:
                        self.tap(sums, group, place, column, (co * unroll + u, kx), pixels)

    def tap(
        self,
        sums: Any,
        group: Index,
        place: tuple[Index, Index, Index],
        column: Index,
        inner: tuple[Index, int],
        pixels: Sequence[int],
    ) -> None:
        e, d, lanes = self.e, self.d, self.lanes
        (part, top, ky), (ci, kx) = place, inner

        def pixel(i: int) -> Any:
            across = (column + i) * d["stride_w"] + kx - d["left"]
            if self.blocked:
                return e.number(self.x, ((part * d["h"] + top + ky) * d["w"] + across) * lanes + ci)
            return e.number(self.x, (ci * d["h"] + top + ky) * d["w"] + across)

        tap = ((group * d["c"] + part * lanes + ci) * d["kh"] + ky) * d["kw"] + kx
        multiply(
            e,
            sums,
            pixels,
            self.vectors,
            pixel,
            lambda v: e.vector(self.weights, tap * self.width + v * lanes),
        )


def _direct_write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    return _Direct(task, here, f).write()


def _direct_seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    d, rows, vectors = task.dims, f["rows"], f["vectors"]
    count = tiles(d["o"] // here.lanes, vectors) * d["oh"] * tiles(d["ow"], rows)
    steps = d["c"] * d["kh"] * d["kw"]
    cycles = tile_cycles(here, rows, vectors, f["unroll"]) * steps
    loops = steps / f["unroll"] / (d["kw"] if f["taps"] == "inside" else 1)
    panel = 4.0 * vectors * here.lanes * steps
    moved = panel if panel > 0.6 * here.l1_bytes else 0.0
    if f["order"] == "pixels" and 4.0 * d["o"] * steps > 0.8 * here.l2_bytes:
        moved *= 4
    cycles *= _crowded(d["kw"], rows * vectors, f)
    total = count * (max(cycles, moved / L2_BYTES_PER_CYCLE) + loops + 30 + rows * vectors)
    return fetched(total, 4.0 * d["o"] * steps, f["ahead"] == "panel") / HERTZ


def _crowded(taps: int, sums: int, f: Mapping[str, Any]) -> float:
    """Factor by which LLVM's spills slow a tile that leaves few registers to a long body.

    Seen on convolutions of 3x3: 28 sums take 2.2 times as long from 12 taps in the body on.
    """
    if taps == 1:
        return 1.0
    inside = f["taps"] == "inside"
    long = f["unroll"] * taps * sums > 400 or (sums > 24 and (inside or f["unroll"] * taps > 6))
    return 2.2 if long else 1.2 if inside else 1.0


def _direct_features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    d = task.dims
    waste = tiles(d["ow"], f["rows"]) * f["rows"] / d["ow"]
    blocks = d["o"] // here.lanes
    waste *= tiles(blocks, f["vectors"]) * f["vectors"] / blocks
    panel = 4 * f["vectors"] * here.lanes * d["c"] * d["kh"] * d["kw"]
    sizes = [math.log2(d[name]) for name in ("c", "o", "ow", "kw")]
    return [
        *tile_features(here, f["rows"], f["vectors"], f["unroll"]),
        waste,
        math.log2(panel),
        *sizes,
    ]


DIRECT = Space(
    "conv-direct",
    "conv",
    _direct_fits,
    _direct_factors,
    _direct_valid,
    _direct_write,
    packed_groups,
    _direct_seconds,
    _direct_features,
    sum_error,
    ("kh", "kw", "stride_w"),
)
