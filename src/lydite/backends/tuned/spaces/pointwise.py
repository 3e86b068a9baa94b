"""1x1 convolution in the blocked layout: a product over all pixels, whatever their row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lydite.backends.tuned.emit import Emit, Index, tiles
from lydite.backends.tuned.space import (
    HERTZ,
    L2_BYTES_PER_CYCLE,
    Space,
    fetched,
    tile_cycles,
    tile_features,
)
from lydite.backends.tuned.spaces.conv import BODY, SPILLED, fits_blocks, is_blocked, packed_groups
from lydite.backends.tuned.spaces.product import sum_error
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.tile import (
    begin,
    fetch_ahead,
    multiply,
    nested,
    store,
)
from lydite.backends.tuned.toolchain import Machine


def _fits(task: Task, here: Machine) -> bool:
    d = task.dims
    plain = d["kh"] == d["kw"] == d["stride_h"] == d["stride_w"] == 1 and d["oh"] == d["h"]
    return plain and fits_blocks(task, here) and is_blocked(task, here)


def _factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    blocks, pixels = task.dims["o"] // here.lanes, task.dims["oh"] * task.dims["ow"]
    return {
        "rows": [r for r in range(1, 29) if r <= pixels],
        "vectors": [v for v in (1, 2, 3, 4, 6) if v <= blocks],
        "unroll": [u for u in (1, 2, 4, 8, 16) if here.lanes % u == 0],
        "order": ["channels", "pixels"],
        "ahead": ["none", "panel"],
    }


def _valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    del task, here
    sums = f["rows"] * f["vectors"]
    if f["ahead"] == "panel" and f["order"] == "pixels":
        return False
    return sums <= SPILLED and sums * f["unroll"] <= BODY


def _write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    e, d, lanes = Emit(here.lanes), task.dims, here.lanes
    rows, vectors, unroll = f["rows"], f["vectors"], f["unroll"]
    c, o, pixels, width = d["c"], d["o"], d["oh"] * d["ow"], vectors * lanes
    blocks = o // lanes
    groups = tiles(blocks, vectors)
    x = e.argument("x", c * pixels)
    residual = e.argument("residual", o * pixels) if task.epilogue.residual else None
    weights = e.argument("weights", groups * c * width)
    bias = e.argument("bias", o) if task.epilogue.bias else None
    y = e.argument("y", o * pixels)

    def tile(group: Index, number: Index) -> None:
        block, first = e.start(group, vectors, blocks), e.start(number, rows, pixels)
        sums = e.registers(rows * vectors)
        begin(e, sums, rows, vectors, bias, lambda v: (block + v) * lanes)

        def step(part: Index, ci: Index) -> None:
            channel = group * c + part * lanes + ci
            multiply(
                e,
                sums,
                range(rows),
                vectors,
                lambda i: e.number(x, (part * pixels + first + i) * lanes + ci),
                lambda v: e.vector(weights, channel * width + v * lanes),
            )

        parts = c // lanes
        with e.loop(parts) as part:
            if f["ahead"] == "panel":
                share, shares = number * parts + part, tiles(pixels, rows) * parts
                fetch_ahead(e, weights, (group + 1) * c * width, c * width, share, shares)
            with e.loop(lanes // unroll) as co:
                for u in range(unroll):
                    step(part, co * unroll + u)
        store(
            e,
            sums,
            rows,
            vectors,
            task.epilogue,
            y,
            residual,
            lambda i, v: ((block + v) * pixels + first + i) * lanes,
        )

    pixels_first = f["order"] == "pixels"
    with nested(e, groups, tiles(pixels, rows), swap=pixels_first) as (group, number):
        tile(group, number)
    return e.function()


def _seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    d, rows, vectors = task.dims, f["rows"], f["vectors"]
    pixels = d["oh"] * d["ow"]
    count = tiles(d["o"] // here.lanes, vectors) * tiles(pixels, rows)
    cycles = tile_cycles(here, rows, vectors, f["unroll"]) * d["c"]
    panel, strip = 4.0 * vectors * here.lanes * d["c"], 4.0 * rows * d["c"]
    moved = panel if f["order"] == "pixels" or panel > 0.6 * here.l1_bytes else 0.0
    moved += strip if f["order"] == "channels" else 0.0
    total = count * (max(cycles, moved / L2_BYTES_PER_CYCLE) + 25 + 2 * rows * vectors)
    return fetched(total, 4.0 * d["o"] * d["c"], f["ahead"] == "panel") / HERTZ


def _features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    d, pixels = task.dims, task.dims["oh"] * task.dims["ow"]
    blocks = d["o"] // here.lanes
    waste = tiles(pixels, f["rows"]) * f["rows"] / pixels
    waste *= tiles(blocks, f["vectors"]) * f["vectors"] / blocks
    sizes = [math.log2(value) for value in (d["c"], d["o"], pixels)]
    return [*tile_features(here, f["rows"], f["vectors"], f["unroll"]), waste, *sizes]


POINTWISE = Space(
    "conv-pointwise",
    "conv",
    _fits,
    _factors,
    _valid,
    _write,
    packed_groups,
    _seconds,
    _features,
    sum_error,
)
