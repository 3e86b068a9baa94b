"""Rows of NeuSight (github.com/sitar-lab/NeuSight, MIT), in float32.

`train` and `test` with linear, bmm, elem, ln and softmax. The output of its linear and bmm rows is
M x K, and N is reduced.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.learn.rows import Rows, make_rows

NEUSIGHT = {
    "Tesla P4": "nvidia-p4",
    "Tesla P100-PCIE-16GB": "nvidia-p100-pcie-16gb",
    "Tesla V100-PCIE-32GB": "nvidia-v100-pcie-32gb",
    "Tesla T4": "nvidia-t4",
    "NVIDIA A100-PCIE-40GB": "nvidia-a100-pcie-40gb",
}
_TWO_INPUTS = ("add", "mul", "div", "sub")
_LEAST_S = 6e-5
"""Rows of the training set that take less measure launches."""
_TEST_WEIGHT = {"product32": 30.0, "stream": 3.0}
"""Weight of an aligned shape, as models have them, beside those of random sizes."""
_KINDS = (("product32", ("linear", "bmm")), ("stream", ("elem", "ln", "softmax")))


def neusight_rows(folder: Path, families: Sequence[str]) -> Iterator[Rows]:
    """Rows by family and device.

    Raises:
        InputError: a file cannot be read, or lacks a column.
    """
    for family, kinds in _KINDS:
        if family not in families:
            continue
        lines: dict[str, list[tuple[float, ...]]] = {}
        for split in ("train", "test"):
            for kind in kinds:
                for path in _files(folder / split / kind):
                    for row in _csv(path):
                        device = NEUSIGHT.get(row["Device"])
                        line = _line(row, kind, split == "test", str(path))
                        if device and line:
                            lines.setdefault(device, []).append(line)
        for device, found in sorted(lines.items()):
            table = np.array(found)
            test = table[:, 1] > 0
            weight = np.where(test, _TEST_WEIGHT[family], 1.0)
            yield make_rows(family, device, table[:, 2:], table[:, 0], weight=weight, aligned=test)


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.csv.gz")) if path.is_dir() else [path.with_suffix(".csv.gz")]


def _csv(path: Path) -> Iterator[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None


def _line(row: Mapping[str, str], kind: str, test: bool, where: str) -> tuple[float, ...] | None:
    """Seconds, test, and the sizes of the family; None for what is not learned from."""
    try:
        seconds = float(row["Latency"]) * 1e-3
        if kind in ("linear", "bmm"):
            sizes = tuple(float(row[name]) for name in ("B", "M", "K", "N"))
            return (seconds, float(test), *sizes)
        rows, width = float(row["B"]), float(row["H"])
    except (KeyError, ValueError) as error:
        raise InputError(f"lacks a number: {error}", where=where) from None
    name = row["OPName"]
    if name == "pow" or (not test and seconds < _LEAST_S):  # two powers differ by their exponent
        return None
    place = {"ln": 1.0, "softmax": 2.0}.get(name, 0.0)
    operands = 2.0 if name in _TWO_INPUTS else 1.0
    moved = 4 * rows * width * (operands + 1)
    return (seconds, float(test), place, moved, width, rows, operands)
