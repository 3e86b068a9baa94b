"""Step times from a profile of the same GPU, in the layout of LLMServingSim 2.

A folder holds dense.csv (layer, tokens, time_us), attention.csv (prefill_chunk, kv_prefill,
n_decode, kv_decode, time_us) and per_sequence.csv (layer, sequences, time_us), plain or gzipped;
times are of one layer (github.com/casys-kaist/LLMServingSim, `profile/<gpu>/<model>/<type>/tp<n>`).
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from lydite.errors import InputError
from lydite.serving.times import (
    DECODE_CONTEXT,
    DECODE_SEQUENCES,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
    StepTimes,
)

_ONCE = ("embedding", "final_layernorm")
"""Operators that a model has once; norms come twice in a layer, all others once."""
_TWICE = ("layernorm",)


def read_profile(folder: Path, layers: int) -> StepTimes:
    """Step times of a model of some layers.

    Raises:
        InputError: a file is missing, lacks a column, or holds no time.
    """
    if layers < 1:
        raise InputError(f"{layers} layers", allowed="1 or more")
    dense, attention = _rows(folder, "dense"), _rows(folder, "attention")
    once = _rows(folder, "per_sequence")
    alone, beside = _decoding(attention)
    return StepTimes(
        _by_number(dense, "tokens", layers),
        _by_number(once, "sequences", layers, everything_once=True),
        layers * alone,
        layers * _prefilling(attention),
        layers * beside,
        skew=_skew(folder),
        sources={"measured": 1.0},
    )


def _skew(folder: Path) -> float:
    """What a batch of unlike contexts costs, where the profile measured it; else 0.

    meta.yaml beside or above the folder states it by degree of tensor parallelism.
    """
    degree = folder.name.removeprefix("tp")
    for path in (folder / "meta.yaml", folder.parent / "meta.yaml"):
        if not path.is_file():
            continue
        try:
            fit = yaml.safe_load(path.read_text("utf-8"))["skew_fit"]
            if not fit["enabled"]:
                return 0.0
            share = float(fit["per_tp"][int(degree) if degree.isdigit() else 1]["alpha_default"])
        except KeyError:
            return 0.0  # was not measured
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise InputError(f"cannot be read: {error}", where=str(path)) from None
        if not 0 <= share <= 1:
            raise InputError(f"alpha_default is {share:g}", where=str(path), allowed="0 to 1")
        return share
    return 0.0


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    for path in (folder / f"{name}.csv", folder / f"{name}.csv.gz"):
        if path.is_file():
            return list(_read(path))
    raise InputError(f"no {name}.csv or {name}.csv.gz", where=str(folder))


def _read(path: Path) -> Iterator[dict[str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None


def _number(row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"a row has no number in the column '{column}'") from None
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{column} is {value:g}", allowed="0 or more")
    return value


def _by_number(
    rows: list[dict[str, str]], column: str, layers: int, *, everything_once: bool = False
) -> np.ndarray:
    """Seconds by number of tokens or sequences, from 0 on, linear between measured numbers."""
    parts: dict[str, dict[float, float]] = {}
    for row in rows:
        name = row.get("layer", "")
        parts.setdefault(name, {})[_number(row, column)] = _number(row, "time_us") * 1e-6
    if not parts:
        raise InputError(f"a profile without rows by {column}")
    most = int(max(max(points) for points in parts.values()))
    total = np.zeros(most + 1)
    for name, points in parts.items():
        times = 1 if everything_once or name in _ONCE else layers
        times *= 2 if name in _TWICE else 1
        known = sorted(points)
        total += times * np.interp(np.arange(most + 1), known, [points[n] for n in known])
    total[0] = 0.0
    return total


def _decoding(rows: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Attention of decoding sequences, alone and beside prompts (what they add to the prompt)."""
    alone: dict[tuple[float, float], float] = {}
    prompts: dict[tuple[float, float], float] = {}
    mixed: list[tuple[tuple[float, float], tuple[float, float], float]] = []
    for row in rows:
        chunk, before = _number(row, "prefill_chunk"), _number(row, "kv_prefill")
        sequences, context = _number(row, "n_decode"), _number(row, "kv_decode")
        seconds = _number(row, "time_us") * 1e-6
        if not chunk and sequences:
            alone[sequences, context] = seconds
        elif not sequences:
            prompts[chunk, before] = seconds
        else:
            mixed.append(((chunk, before), (sequences, context), seconds))
    if not alone:
        raise InputError("a profile without decoding attention")
    added: dict[tuple[float, float], list[float]] = {}
    for prompt, decoding, seconds in mixed:
        if prompt in prompts:
            added.setdefault(decoding, []).append(seconds - prompts[prompt])
    beside = dict(alone)
    beside |= {key: max(float(np.median(each)), 1e-7) for key, each in added.items()}
    grids = (DECODE_SEQUENCES, DECODE_CONTEXT)
    return _on_grid(alone, *grids), _on_grid(beside, *grids)


def _prefilling(rows: list[dict[str, str]]) -> np.ndarray:
    points = {
        (_number(row, "prefill_chunk"), _number(row, "kv_prefill")): _number(row, "time_us") * 1e-6
        for row in rows
        if not _number(row, "n_decode") and _number(row, "prefill_chunk")
    }
    if not points:
        raise InputError("a profile without attention of prompts")
    return _on_grid(points, PREFILL_TOKENS, PREFILL_CONTEXT)


def _on_grid(
    points: dict[tuple[float, float], float], rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Values of a grid: along each measured row first, then from row to row."""
    measured = sorted({row for row, _ in points})
    lines = []
    for row in measured:
        known = sorted((column, value) for (at, column), value in points.items() if at == row)
        lines.append(_along(columns, [c for c, _ in known], [v for _, v in known]))
    table = np.array(lines)
    return np.stack([_along(rows, measured, table[:, j]) for j in range(len(columns))], axis=1)


def _along(wanted: np.ndarray, known: list[float], values: object) -> np.ndarray:
    """Linear between points; constant below them, and along the last two above them."""
    at, seconds = np.asarray(known, float), np.asarray(values, float)
    found = np.interp(wanted, at, seconds)
    beyond = wanted > at[-1]
    if beyond.any() and len(at) > 1:
        slope = max(0.0, (seconds[-1] - seconds[-2]) / (at[-1] - at[-2]))
        found[beyond] = seconds[-1] + slope * (wanted[beyond] - at[-1])
    return found
