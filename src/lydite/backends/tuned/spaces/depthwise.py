"""Depthwise convolution in the blocked layout: a few multiply-adds a pixel, bound by loads.

Rows at the top and bottom and tiles at the left and right edge are written apart, with their taps
clipped, so that the inner part has neither guards nor a copy of the padded input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from lydite.backends.tuned.emit import Emit, Index, tiles
from lydite.backends.tuned.space import HERTZ, Space
from lydite.backends.tuned.spaces.conv import plain_weights
from lydite.backends.tuned.spaces.product import sum_error
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.tile import begin, column_tiles, live_taps, store
from lydite.backends.tuned.toolchain import Machine

_CODE = 1600


def _fits(task: Task, here: Machine) -> bool:
    return task.dims["c"] % here.lanes == 0


def _factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    del here
    return {
        "rows": [r for r in range(1, 29) if r <= task.dims["ow"]],
        "lines": [r for r in (1, 2, 4) if r <= task.dims["oh"]],
        "weights": ["kept", "loaded"],
    }


def _columns(task: Task, rows: int) -> tuple[tuple[int, int, bool], ...]:
    d = task.dims
    return column_tiles(d["ow"], rows, d["kw"], d["stride_w"], d["left"], d["w"])


def _lines(task: Task, lines: int) -> tuple[tuple[int, int, bool], ...]:
    d = task.dims
    return column_tiles(d["oh"], lines, d["kh"], d["stride_h"], d["top"], d["h"])


def _valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    del here
    d, sums = task.dims, f["rows"] * f["lines"]
    variants = len(_columns(task, f["rows"])) * len(_lines(task, f["lines"]))
    return sums <= 28 and sums * d["kh"] * d["kw"] * variants <= _CODE


def _constants(
    task: Task, here: Machine, f: Mapping[str, Any], constants: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    """Weights as (C / lanes, KH, KW, lanes)."""
    del f
    d = task.dims
    weights = plain_weights(task, here, constants[1])
    blocks = weights.reshape(d["c"] // here.lanes, here.lanes, d["kh"], d["kw"])
    bias = [constants[2].ravel()] if task.epilogue.bias else []
    return [np.ascontiguousarray(blocks.transpose(0, 2, 3, 1)).ravel(), *bias]


class _Depthwise:
    """Writes the kernel of one configuration."""

    def __init__(self, task: Task, here: Machine, f: Mapping[str, Any]) -> None:
        self.e, self.task, self.d, self.f = Emit(here.lanes), task, task.dims, f
        self.rows, self.lines, self.lanes = f["rows"], f["lines"], here.lanes
        e, d = self.e, task.dims
        size, self.taps = d["c"] * d["oh"] * d["ow"], d["kh"] * d["kw"]
        self.x = e.argument("x", d["c"] * d["h"] * d["w"])
        self.residual = e.argument("residual", size) if task.epilogue.residual else None
        self.weights = e.argument("weights", d["c"] * self.taps)
        self.bias = e.argument("bias", d["c"]) if task.epilogue.bias else None
        self.y = e.argument("y", size)
        self.kept: list[Any] = []

    def write(self) -> Any:
        e = self.e
        with e.loop(self.d["c"] // self.lanes) as block:
            if self.f["weights"] == "kept":
                self.kept = [e.bind(self.weight(block, tap)) for tap in range(self.taps)]
            for start, count, edge in _lines(self.task, self.lines):
                if count == 1:
                    self.along(block, start, start if edge else None)
                else:
                    with e.loop(count) as number:
                        self.along(block, start + number * self.lines, None)
        return e.function()

    def weight(self, block: Index, tap: int) -> Any:
        return self.e.vector(self.weights, (block * self.taps + tap) * self.lanes)

    def along(self, block: Index, row: Index, clip_row: int | None) -> None:
        for start, count, edge in _columns(self.task, self.rows):
            if count == 1:
                self.tile(block, row, start, (clip_row, start if edge else None))
            else:
                with self.e.loop(count) as number:
                    self.tile(block, row, start + number * self.rows, (clip_row, None))

    def tile(
        self, block: Index, row: Index, column: Index, clips: tuple[int | None, int | None]
    ) -> None:
        """One tile; `clips` are its first row and column where taps have to be clipped."""
        e, d, rows, lines = self.e, self.d, self.rows, self.lines
        sums = e.registers(lines * rows)
        begin(e, sums, lines * rows, 1, self.bias, lambda _: block * self.lanes)
        for ky in range(d["kh"]):
            down = (d["stride_h"], d["top"], d["h"])
            live_lines = _live(lines, ky, clips[0], down)
            for kx in range(d["kw"]):
                across = (d["stride_w"], d["left"], d["w"])
                live = _live(rows, kx, clips[1], across)
                if not live or not live_lines:
                    continue
                tap = ky * d["kw"] + kx
                weight = self.kept[tap] if self.kept else e.bind(self.weight(block, tap))
                for line, i in product(live_lines, live):
                    y = (row + line) * d["stride_h"] + ky - d["top"]
                    x = (column + i) * d["stride_w"] + kx - d["left"]
                    value = e.vector(self.x, ((block * d["h"] + y) * d["w"] + x) * self.lanes)
                    sums[line * rows + i] = sums[line * rows + i] + value * weight

        def at(number: int, _: int) -> Index:
            line, i = divmod(number, rows)
            return ((block * d["oh"] + row + line) * d["ow"] + column + i) * self.lanes

        store(e, sums, lines * rows, 1, self.task.epilogue, self.y, self.residual, at)


def _live(count: int, tap: int, clip: int | None, sizes: tuple[int, int, int]) -> list[int]:
    return list(range(count)) if clip is None else live_taps(count, tap, clip, *sizes)


def _write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    return _Depthwise(task, here, f).write()


def _seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    d, rows, lines = task.dims, f["rows"], f["lines"]
    count = d["c"] // here.lanes * tiles(d["oh"], lines) * tiles(d["ow"], rows)
    read = (rows * d["stride_w"] + d["kw"] - 1) * (lines * d["stride_h"] + d["kh"] - 1)
    taps = d["kh"] * d["kw"]
    kept = taps if f["weights"] == "kept" else 1
    spilled = max(0, rows * lines + kept + 1 - here.registers)
    arithmetic = max(rows * lines * taps / 2, 4.0 * taps)
    return count * (max(arithmetic, read / 2) + rows * lines + 2 * spilled + 10) / HERTZ


def _features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    d, rows, lines = task.dims, f["rows"], f["lines"]
    kept = d["kh"] * d["kw"] if f["weights"] == "kept" else 1
    waste = tiles(d["ow"], rows) * rows / d["ow"] * tiles(d["oh"], lines) * lines / d["oh"]
    return [
        float(rows * lines),
        float(rows * lines + kept + 1 > here.registers),
        waste,
        math.log2(d["c"]),
        math.log2(d["ow"]),
    ]


DEPTHWISE = Space(
    "depthwise",
    "depthwise",
    _fits,
    _factors,
    _valid,
    _write,
    _constants,
    _seconds,
    _features,
    sum_error,
    ("kh", "kw", "stride_w"),
)
