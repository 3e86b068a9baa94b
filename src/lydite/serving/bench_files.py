"""Result files of load generators: vLLM's `bench serve`, GuideLLM and AIPerf.

A format is a row of `FORMATS`: what its first JSON object looks like, and what reads its requests.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.serving.bench_aiperf import aiperf_runs, is_aiperf, read_aiperf
from lydite.serving.bench_guidellm import guidellm_runs, is_guidellm, read_guidellm
from lydite.serving.bench_rows import BenchRequest, Rows
from lydite.serving.bench_vllm import is_vllm, read_vllm, vllm_runs

MOST_CHARACTERS = 1 << 28
"""Largest file that is read as one JSON document."""

LINE_CHARACTERS = 1 << 22
"""Longest line of a file with one JSON object per line."""

MOST_ROWS = 5_000_000
"""Most requests of a file."""

_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class BenchFile:
    """The answered requests of a result file.

    Attributes:
        format: Name of the format.
        requests: Answered requests, in the order in which they were sent.
        notes: What was left out, and whether the times were simulated.
    """

    format: str
    requests: tuple[BenchRequest, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Format:
    """A format of result files.

    Attributes:
        name: Name in messages.
        knows: Whether a file whose first JSON object this is has the format.
        runs: The benchmarks that the file's JSON objects hold.
        reads: The answered requests of a benchmark, and notes; the text is the place for errors.
    """

    name: str
    knows: Callable[[Mapping[str, Any]], bool]
    runs: Callable[[Iterator[Any], str], list[Any]]
    reads: Callable[[Any, str], Rows]


def read_bench(path: Path, benchmark: int | None = None) -> BenchFile | None:
    """The answered requests of a load generator's result file; None where it is none.

    Args:
        path: .json or .jsonl file, plain or gzipped.
        benchmark: Number of the benchmark in a file that holds several, counted from 1; None for
            the only one.

    Raises:
        InputError: the file is too large, states no requests, arrivals or lengths, holds several
            benchmarks of which none was chosen, or a value is no valid number.
    """
    names = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if names[-1:] not in ([".json"], [".jsonl"]):
        return None
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            objects = _objects(file, path)
            first = next(objects, None)
            layout = next(
                (each for each in FORMATS if isinstance(first, dict) and each.knows(first)), None
            )
            if layout is None:
                return None
            runs = layout.runs(chain([first], objects), str(path))
            run, where = _chosen(runs, benchmark, str(path))
            rows, notes = layout.reads(run, where)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    if not rows:
        raise InputError("; ".join(["holds no answered requests", *notes]), where=where)
    return BenchFile(layout.name, tuple(sorted(rows, key=lambda row: row.start_s)), tuple(notes))


def _objects(file: TextIO, path: Path) -> Iterator[Any]:
    """JSON values of a file: one per line, or one or more over lines of any number and length.

    Ends without a value where the file does not begin with JSON, so that other readers say so.
    """
    number = 0
    while line := file.readline(LINE_CHARACTERS):
        number += 1
        if number > MOST_ROWS:
            raise InputError(f"has more than {MOST_ROWS:,} lines", where=str(path))
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if number == 1 or len(line) == LINE_CHARACTERS:
                yield from _documents(line, file, path)
                return
            raise InputError("is no JSON", where=f"{path}, line {number}") from None
        yield value


def _documents(begun: str, file: TextIO, path: Path) -> Iterator[Any]:
    text = begun + file.read(MOST_CHARACTERS)
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            "is too large for one JSON document",
            where=str(path),
            allowed=f"{MOST_CHARACTERS >> 20} MiB, or one JSON object per line",
        )
    decoder, at = json.JSONDecoder(), _after_space(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            if at == 0:
                return
            raise InputError(f"is no JSON from character {at + 1} on", where=str(path)) from None
        yield value
        at = _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _chosen(runs: list[Any], benchmark: int | None, where: str) -> tuple[Any, str]:
    """The benchmark that was asked for, and its place in messages."""
    if benchmark is None and len(runs) > 1:
        raise InputError(
            f"holds {len(runs)} benchmarks",
            where=where,
            allowed="one",
            hint=f"choose one with --benchmark 1 to {len(runs)}",
        )
    if not runs:
        raise InputError("holds no benchmarks", where=where)
    number = 1 if benchmark is None else benchmark
    if not 1 <= number <= len(runs):
        raise InputError(
            f"has no benchmark {number}", where=where, allowed=f"--benchmark 1 to {len(runs)}"
        )
    return runs[number - 1], where if len(runs) == 1 else f"{where}, benchmark {number}"


FORMATS = (
    _Format("vLLM's bench serve", is_vllm, vllm_runs, read_vllm),
    _Format("GuideLLM", is_guidellm, guidellm_runs, read_guidellm),
    _Format("AIPerf", is_aiperf, aiperf_runs, read_aiperf),
)


def arrays_of(requests: tuple[BenchRequest, ...]) -> tuple[np.ndarray, ...]:
    """Start, prompt, output, time to first token and latency as arrays, times in seconds."""
    return (
        np.array([each.start_s for each in requests]),
        np.array([each.prompt for each in requests]),
        np.array([each.output for each in requests]),
        np.array([each.ttft_s for each in requests]),
        np.array([each.latency_s for each in requests]),
    )
