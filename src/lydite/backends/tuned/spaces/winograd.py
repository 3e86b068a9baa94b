"""3x3 convolution by Winograd's minimal filtering F(2x2, 3x3) and F(4x4, 3x3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308), section 4:
an image tile of (m + 2)^2 becomes m^2 outputs by 16 (m = 2) or 36 (m = 4) products of matrices,
2.25 and 4 times fewer multiplications. The transforms round more than a direct sum does, hence
bounds of the error of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lydite.backends.tuned.emit import Emit, Index, Value, tiles
from lydite.backends.tuned.space import (
    HERTZ,
    L2_BYTES_PER_CYCLE,
    Space,
    fetched,
    tile_cycles,
    tile_features,
)
from lydite.backends.tuned.spaces.conv import (
    fits_blocks,
    group_starts,
    is_blocked,
    plain_weights,
)
from lydite.backends.tuned.spaces.winograd_transforms import WEIGHTS, square
from lydite.backends.tuned.task import Epilogue, Task
from lydite.backends.tuned.tile import begin, fetch_ahead, finished, multiply, store
from lydite.backends.tuned.toolchain import Machine

_BODY, _SPILLED = 256, 40
_ERROR = {2: 5e-5, 4: 1e-4}


def _fits(task: Task, here: Machine) -> bool:
    d = task.dims
    sizes = d["kh"] == d["kw"] == 3 and d["stride_h"] == d["stride_w"] == 1
    return sizes and fits_blocks(task, here) and is_blocked(task, here)


def _grid(task: Task, m: int) -> tuple[int, int]:
    return tiles(task.dims["oh"], m), tiles(task.dims["ow"], m)


def _factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    blocks, most = task.dims["o"] // here.lanes, math.prod(_grid(task, 2))
    sizes = {7, 14, 16, 21, 28, 32, 49, 56, 64, 98, 112, 196, 392, 784}
    sizes |= {math.prod(_grid(task, m)) for m in (2, 4)}
    return {
        "m": [2, 4],
        "block": sorted(size for size in sizes if size <= most),
        "rows": list(range(1, 25)),
        "vectors": [v for v in (1, 2, 3, 4, 6) if v <= blocks],
        "unroll": [u for u in (1, 2, 4, 8, 16) if here.lanes % u == 0],
        "ahead": ["none", "panel"],
    }


def _valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    del here
    sums = f["rows"] * f["vectors"]
    if sums > _SPILLED or sums * f["unroll"] > _BODY:
        return False
    return f["rows"] <= f["block"] <= math.prod(_grid(task, f["m"]))


def _constants(
    task: Task, here: Machine, f: Mapping[str, Any], constants: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    """Transformed weights as ((m + 2)^2, group, C, vectors x lanes)."""
    d, width = task.dims, f["vectors"] * here.lanes
    g = np.array(WEIGHTS[f["m"]])
    weights = plain_weights(task, here, constants[1]).astype(np.float64)
    made = np.einsum("ai,ocij,bj->abco", g, weights, g).astype(np.float32)
    made = made.reshape(len(g) ** 2, d["c"], d["o"])
    starts = group_starts(d["o"] // here.lanes, f["vectors"])
    groups = [made[:, :, s * here.lanes : s * here.lanes + width] for s in starts]
    bias = [constants[2].ravel()] if task.epilogue.bias else []
    return [np.ascontiguousarray(np.stack(groups, 1)).ravel(), *bias]


def _write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    e, d, lanes = Emit(here.lanes), task.dims, here.lanes
    m, block, rows, vectors, unroll = (
        f[name] for name in ("m", "block", "rows", "vectors", "unroll")
    )
    side, (down, across) = m + 2, _grid(task, m)
    products, width = side * side, vectors * lanes
    parts, blocks = d["c"] // lanes, d["o"] // lanes
    groups = tiles(blocks, vectors)
    size = d["o"] * d["oh"] * d["ow"]
    x = e.argument("x", d["c"] * d["h"] * d["w"])
    residual = e.argument("residual", size) if task.epilogue.residual else None
    weights = e.argument("weights", products * groups * d["c"] * width)
    bias = e.argument("bias", d["o"]) if task.epilogue.bias else None
    y = e.argument("y", size)
    image = e.scratch(products * d["c"] * block)
    results = e.scratch(products * d["o"] * block)

    def multiplied(p: Index, group: Index, run: Index) -> None:
        start, first_block = e.start(run, rows, block), e.start(group, vectors, blocks)
        sums = e.registers(rows * vectors)
        begin(e, sums, rows, vectors, None, lambda _: 0)

        def step(part: Index, ci: Index) -> None:
            channel = (p * groups + group) * d["c"] + part * lanes + ci
            multiply(
                e,
                sums,
                range(rows),
                vectors,
                lambda i: e.number(image, ((p * parts + part) * block + start + i) * lanes + ci),
                lambda v: e.vector(weights, channel * width + v * lanes),
            )

        with e.loop(parts) as part:
            if f["ahead"] == "panel":
                size, shares = d["c"] * width, tiles(block, rows) * parts
                coming = (p * groups + group + 1) * size
                fetch_ahead(e, weights, coming, size, run * parts + part, shares)
            with e.loop(lanes // unroll) as co:
                for u in range(unroll):
                    step(part, co * unroll + u)

        def at(i: int, v: int) -> Index:
            return ((p * blocks + first_block + v) * block + start + i) * lanes

        store(e, sums, rows, vectors, Epilogue(), results, None, at)

    with e.loop(tiles(down * across, block)) as number:
        first = e.start(number, block, down * across)
        with e.loop(parts) as part, e.loop(block) as t:
            place = (first + t) // across, (first + t) % across
            _read_tile(e, task, m, place, part, x, image, t, f)
        with e.loop(products) as p, e.loop(groups) as group, e.loop(tiles(block, rows)) as run:
            multiplied(p, group, run)
        with e.loop(blocks) as ob, e.loop(block) as t:
            values = [
                [
                    e.vector(results, (((i * side + j) * blocks + ob) * block + t) * lanes)
                    for j in range(side)
                ]
                for i in range(side)
            ]
            done = square(e, m, "out", values)
            place = (first + t) // across, (first + t) % across
            _write_tile(e, task, m, place, ob, done, bias, residual, y)
    return e.function()


def _read_tile(
    e: Emit,
    task: Task,
    m: int,
    place: tuple[Index, Index],
    part: Index,
    x: Any,
    image: Any,
    t: Index,
    f: Mapping[str, Any],
) -> None:
    """Transform one tile of the input; what lies outside of the image is 0."""
    d, side = task.dims, m + 2
    top = e.bind_index(place[0] * m - d["top"])
    left = e.bind_index(place[1] * m - d["left"])
    read = e.registers(side * side)

    def at(i: int, j: int) -> Index:
        return ((part * d["h"] + top + i) * d["w"] + left + j) * e.lanes

    inside = e.tirx.all(top >= 0, left >= 0, top + side <= d["h"], left + side <= d["w"])
    with e.when(inside):
        for i in range(side):
            for j in range(side):
                read[i * side + j] = e.vector(x, at(i, j))
    with e.otherwise():
        for i in range(side):
            for j in range(side):
                read[i * side + j] = e.splat(0.0)
                within = e.tirx.all(
                    top + i >= 0, top + i < d["h"], left + j >= 0, left + j < d["w"]
                )
                with e.when(within):
                    read[i * side + j] = e.vector(x, at(i, j))
    values = [[read[i * side + j] for j in range(side)] for i in range(side)]
    parts, block = d["c"] // e.lanes, f["block"]
    for i, line in enumerate(square(e, m, "in", values)):
        for j, value in enumerate(line):
            e.put(image, (((i * side + j) * parts + part) * block + t) * e.lanes, value)


def _write_tile(
    e: Emit,
    task: Task,
    m: int,
    place: tuple[Index, Index],
    ob: Index,
    done: Sequence[Sequence[Value]],
    bias: Any,
    residual: Any,
    y: Any,
) -> None:
    """Add bias and residual to one tile of the output, and store what lies within the image."""
    d, (row, column) = task.dims, map(e.bind_index, place)
    added = e.bind(e.vector(bias, ob * e.lanes)) if bias is not None else None
    values = [[e.bind(value) for value in line] for line in done]

    def store(i: int, j: int) -> None:
        at = ((ob * d["oh"] + row * m + i) * d["ow"] + column * m + j) * e.lanes
        value = values[i][j] if added is None else values[i][j] + added
        e.put(y, at, finished(e, value, task.epilogue, residual, at))

    def every(guarded: bool) -> None:
        for i in range(m):
            for j in range(m):
                if guarded:
                    with e.when(e.tirx.all(row * m + i < d["oh"], column * m + j < d["ow"])):
                        store(i, j)
                else:
                    store(i, j)

    if d["oh"] % m == 0 and d["ow"] % m == 0:
        every(False)
        return
    with e.when(e.tirx.all(row * m + m <= d["oh"], column * m + m <= d["ow"])):
        every(False)
    with e.otherwise():
        every(True)


def _seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    d, m, block = task.dims, f["m"], f["block"]
    side = m + 2
    products, total = side * side, math.prod(_grid(task, m))
    parts, blocks = d["c"] // here.lanes, d["o"] // here.lanes
    turns = tiles(total, block)
    groups = tiles(blocks, f["vectors"])
    runs = turns * products * groups * tiles(block, f["rows"])
    step = tile_cycles(here, f["rows"], f["vectors"], f["unroll"])
    panel = 4.0 * f["vectors"] * here.lanes * d["c"]
    strip = 4.0 * f["rows"] * d["c"]
    moved = strip + (panel if panel > 0.6 * here.l1_bytes else 0.0)
    cycles = runs * (max(step * d["c"], moved / L2_BYTES_PER_CYCLE) + 25 + f["rows"] * f["vectors"])
    # Weights come from memory once, or once a block of tiles where they exceed L2.
    weights = 4.0 * products * d["c"] * d["o"]
    times = turns if weights > 0.8 * here.l2_bytes else 1
    cycles = fetched(cycles, times * weights, f["ahead"] == "panel")
    kept = 4.0 * products * block * (d["c"] + d["o"])
    speed = L2_BYTES_PER_CYCLE / (1 if kept < 0.8 * here.l2_bytes else 4)
    cycles += turns * 2 * kept / speed
    cycles += turns * block * (parts + blocks) * products * 3
    return cycles / HERTZ


def _features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    d, m = task.dims, f["m"]
    total = math.prod(_grid(task, m))
    waste = tiles(total, f["block"]) * f["block"] / total
    waste *= tiles(f["block"], f["rows"]) * f["rows"] / f["block"]
    waste *= total * m * m / (d["oh"] * d["ow"])
    kept = 4.0 * (m + 2) ** 2 * f["block"] * (d["c"] + d["o"])
    sizes = [math.log2(value) for value in (d["c"], d["o"], total, kept)]
    return [*tile_features(here, f["rows"], f["vectors"], f["unroll"]), waste, float(m), *sizes]


def winograd_error(factors: Mapping[str, Any]) -> float:
    """The transforms' rounding, in standard deviations of the output."""
    return _ERROR[int(factors["m"])]


WINOGRAD = Space(
    "conv-winograd",
    "conv",
    _fits,
    _factors,
    _valid,
    _write,
    _constants,
    _seconds,
    _features,
    winograd_error,
)
