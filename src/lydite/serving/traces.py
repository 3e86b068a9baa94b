"""Traces of requests: Azure, Mooncake, BurstGPT, logs and load generators' results with times."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.serving.bench_files import (
    FORMATS,
    LINE_CHARACTERS,
    MOST_ROWS,
    BenchFile,
    arrays_of,
    read_bench,
)
from lydite.serving.requests import BLOCK, Requests, made

MOONCAKE_BLOCK = 512
PRIORITY = "priority"
"""Column of a request's priority, in any layout."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Times of a log's requests in seconds after their arrival: float64, NaN where unknown."""

    ttft_s: np.ndarray
    latency_s: np.ndarray


@dataclass(frozen=True)
class _Layout:
    """Columns of a layout: where times (and their unit in seconds) and lengths are."""

    name: str
    time: str
    unit_s: float
    prompt: str
    output: str
    blocks: str = ""
    block: int = 0
    first: str = ""
    last: str = ""


_LAYOUTS = (
    _Layout("Azure", "TIMESTAMP", 1.0, "ContextTokens", "GeneratedTokens"),
    _Layout("BurstGPT", "Timestamp", 1.0, "Request tokens", "Response tokens"),
    _Layout(
        "Mooncake", "timestamp", 1e-3, "input_length", "output_length", "hash_ids", MOONCAKE_BLOCK
    ),
    _Layout(
        "vLLM's request log",
        "queued_ts",
        1.0,
        "input_toks",
        "output_toks",
        "prefix_blocks_of_16",
        BLOCK,
        first="first_token_ts",
        last="last_token_ts",
    ),
    _Layout(
        "LLMServingSim's workload",
        "arrival_time_ns",
        1e-9,
        "input_toks",
        "output_toks",
        "prefix_blocks_of_16",
        BLOCK,
    ),
    _Layout("times and lengths", "arrival_s", 1.0, "prompt", "output", "blocks", BLOCK),
)
LAYOUTS = tuple(layout.name for layout in _LAYOUTS)


def read_trace(path: Path | str, benchmark: int | None = None) -> Requests:
    """The requests of a trace: .csv, .json or .jsonl, plain or gzipped; its fields say which.

    Args:
        path: A trace with one row per request, or a load generator's result file.
        benchmark: Number of the benchmark in a result file that holds several, counted from 1;
            None for the only one.

    Raises:
        InputError: the file cannot be read, has no known columns, or a value is no number.
    """
    return _read(Path(path), benchmark)[0]


def read_log(path: Path | str, benchmark: int | None = None) -> tuple[Requests, Measured]:
    """The requests of a log or of a load generator's result file, and when their tokens came.

    Args:
        path, benchmark: As for `read_trace`.

    Raises:
        InputError: as `read_trace`; or the log holds no times of tokens.
    """
    requests, measured = _read(Path(path), benchmark)
    if measured is None or not np.isfinite([measured.ttft_s, measured.latency_s]).any():
        raise InputError(
            "holds no times of tokens to compare with",
            where=str(path),
            allowed="rows with queued_ts, first_token_ts, last_token_ts; result files of "
            + ", ".join(each.name for each in FORMATS),
            hint="--trace plays it without comparing",
        )
    return requests, measured


def _read(path: Path, benchmark: int | None) -> tuple[Requests, Measured | None]:
    bench = read_bench(path, benchmark)
    if bench is not None:
        return _of_bench(bench, path)
    if benchmark is not None:
        raise InputError(
            "--benchmark has no effect: the file holds rows, not benchmarks", where=str(path)
        )
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise InputError("holds no requests", where=str(path))
    layout = next(
        (each for each in _LAYOUTS if {each.time, each.prompt, each.output} <= set(first)), None
    )
    if layout is None:
        names = ", ".join(sorted(map(str, first))[:12])
        raise InputError(
            f"has the columns {names}",
            where=str(path),
            allowed="; ".join(f"{e.time}, {e.prompt}, {e.output} ({e.name})" for e in _LAYOUTS)
            + "; result files of "
            + ", ".join(each.name for each in FORMATS),
        )
    times: list[float] = []
    lengths: list[tuple[int, int]] = []
    keys: list[np.ndarray] = []
    seen: list[tuple[float, float]] = []
    ids: list[str] = []
    priorities: list[int] = []
    for number, row in enumerate(_first(first, rows), start=1):
        if number > MOST_ROWS:
            raise InputError(f"has more than {MOST_ROWS:,} requests", where=str(path))
        where = f"{path}, request {number}"
        times.append(_time(row, layout, where))
        prompt, output = (_whole(row, name, where) for name in (layout.prompt, layout.output))
        lengths.append((prompt, output))
        keys.append(_keys(row, layout, prompt, where))
        ids.append(str(row.get("request_id", number)))
        priorities.append(_priority(row, where))
        if layout.first:
            seen.append((_number(row, layout.first, where), _number(row, layout.last, where)))
    at = np.array(times)
    order = np.argsort(at, kind="stable") if layout.first else np.arange(len(at))
    prompt, output = np.array(lengths)[order].T
    requests = made(
        at[order],
        prompt,
        output,
        keys=[keys[n] for n in order],
        name=path.name,
        origin=f"{layout.name}: {path.name}",
        ids=tuple(ids[n] for n in order),
        priority=np.array(priorities)[order],
    )
    if not seen:
        return requests, None
    first_at, last_at = np.array(seen)[order].T
    return requests, Measured(first_at - at[order], last_at - at[order])


def _of_bench(bench: BenchFile, path: Path) -> tuple[Requests, Measured]:
    start, prompt, output, ttft, latency = arrays_of(bench.requests)
    requests = made(
        start,
        prompt,
        output,
        name=path.name,
        origin=f"{bench.format}: {path.name}",
        ids=tuple(each.name for each in bench.requests),
        notes=bench.notes,
    )
    return requests, Measured(ttft, latency)


def _first(
    first: Mapping[str, Any], rest: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    yield first
    yield from rest


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    names = [suffix for suffix in path.suffixes if suffix != ".gz"]
    reader: Callable[[Any, Path], Iterator[Mapping[str, Any]]]
    if names[-1:] == [".csv"]:
        reader = _csv
    elif names[-1:] in ([".jsonl"], [".json"]):
        reader = _jsonl
    else:
        raise InputError("is no trace", where=str(path), allowed=".csv, .jsonl, and these with .gz")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as lines:
            yield from reader(lines, path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None


def _csv(lines: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    del path
    yield from csv.DictReader(lines)


def _jsonl(lines: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    number = 0
    while line := lines.readline(LINE_CHARACTERS):
        number += 1
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError("is no JSON", where=f"{path}, line {number}") from None
        if not isinstance(row, dict):
            raise InputError("is no JSON object", where=f"{path}, line {number}")
        yield row


def _number(row: Mapping[str, Any], name: str, where: str) -> float:
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"has no number in '{name}'", where=where) from None
    if not np.isfinite(value):
        raise InputError(f"{name} is {value}", where=where, allowed="a finite number")
    return value


def _whole(row: Mapping[str, Any], name: str, where: str) -> int:
    value = _number(row, name, where)
    if value != int(value):
        raise InputError(f"{name} is {value:g}", where=where, allowed="a whole number of tokens")
    return int(value)


def _priority(row: Mapping[str, Any], where: str) -> int:
    """The row's priority, of which the least is the most urgent; 0 where it has none."""
    if row.get(PRIORITY) in (None, ""):
        return 0
    value = _number(row, PRIORITY, where)
    if value != int(value) or abs(value) >= 1 << 31:
        raise InputError(f"{PRIORITY} is {value:g}", where=where, allowed="a whole number")
    return int(value)


def _time(row: Mapping[str, Any], layout: _Layout, where: str) -> float:
    text = row[layout.time]
    if isinstance(text, str) and "-" in text[1:] and ":" in text:
        digits, _, fraction = text.partition(".")
        try:
            at = datetime.fromisoformat(digits.replace("Z", ""))
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return at.timestamp() + (float(f"0.{fraction.rstrip('Z')}") if fraction else 0.0)
        except (ValueError, OverflowError):
            raise InputError(f"'{text[:40]}' is no time", where=where) from None
    seconds = _number(row, layout.time, where) * layout.unit_s
    if seconds < 0:
        raise InputError(f"arrives at {seconds:g} s", where=where, allowed="0 or later")
    return seconds


def _keys(row: Mapping[str, Any], layout: _Layout, prompt: int, where: str) -> np.ndarray:
    """Keys of the blocks of 16 tokens that the row's blocks cover."""
    blocks = row.get(layout.blocks) if layout.blocks else None
    if not blocks:
        return np.zeros(0, np.int64)
    try:
        hashes = np.array(blocks, np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{layout.blocks} are no whole numbers", where=where) from None
    if (hashes < 0).any() or (hashes >= 1 << 50).any():
        raise InputError(f"{layout.blocks} holds a negative or too large number", where=where)
    each = layout.block // BLOCK
    keys = ((hashes + 1)[:, None] * each + np.arange(each)).reshape(-1)
    return keys[: prompt // BLOCK]
