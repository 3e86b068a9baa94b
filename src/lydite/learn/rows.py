"""Rows to learn from: times of operators on devices of the catalog, read from others' folders.

- NeuSight (github.com/sitar-lab/NeuSight, MIT): `train` and `test` with linear, bmm, elem, ln and
  softmax, in float32. The output of its linear and bmm rows is M x K, and N is reduced.
- AIConfigurator (github.com/ai-dynamo/aiconfigurator, Apache-2.0): `<system>/gemm/...parquet`, in
  16 bits. One shape under several frameworks counts once, with its smallest time.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lydite.errors import InputError, MissingExtra
from lydite.estimate.learned.physics import STREAM_KINDS, Problem, products, sheet_of, streams
from lydite.hardware import find_device

FAMILIES = ("product32", "product16", "stream")
_DTYPES = {"product32": "float32", "product16": "bfloat16", "stream": "float32"}
NEUSIGHT = {
    "Tesla P4": "nvidia-p4",
    "Tesla P100-PCIE-16GB": "nvidia-p100-pcie-16gb",
    "Tesla V100-PCIE-32GB": "nvidia-v100-pcie-32gb",
    "Tesla T4": "nvidia-t4",
    "NVIDIA A100-PCIE-40GB": "nvidia-a100-pcie-40gb",
}
AICONFIGURATOR = {
    "a100_sxm": "nvidia-a100-sxm4-80gb",
    "h100_sxm": "nvidia-h100-sxm5-80gb",
    "l40s": "nvidia-l40s",
}
_TWO_INPUTS = ("add", "mul", "div", "sub")
_LEAST_S = 6e-5
"""Rows of NeuSight's training set that take less measure launches."""
_TEST_WEIGHT = 30.0
"""Weight of an aligned shape, as models have them, beside those of random sizes."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Operators of one family on one device.

    Attributes:
        family: One of `FAMILIES`.
        device: Name in the catalog.
        problem: Base times and features.
        seconds: Measured times.
        weight: Weight of each in a fit.
        aligned: Whether each is of a test set, with sizes as models have them.
        kind: Place in `STREAM_KINDS` of streams; 0 elsewhere.
    """

    family: str
    device: str
    problem: Problem
    seconds: np.ndarray
    weight: np.ndarray
    aligned: np.ndarray
    kind: np.ndarray

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the rows."""
        data = np.concatenate([self.problem.base_s, self.seconds]).tobytes()
        return hashlib.sha256(f"{self.family}{self.device}".encode() + data).hexdigest()[:16]

    def taken(self, chosen: np.ndarray) -> Rows:
        """Some of the rows, by mask or place."""
        problem = self.problem
        return Rows(
            self.family,
            self.device,
            Problem(problem.base_s[chosen], problem.bound_s[chosen], problem.features[chosen]),
            *(column[chosen] for column in (self.seconds, self.weight, self.aligned, self.kind)),
        )


def read_rows(folders: Mapping[str, Path], families: Sequence[str] = FAMILIES) -> list[Rows]:
    """All rows of some folders.

    Args:
        folders: Folder by layout, "neusight" or "aiconfigurator".
        families: Families to read.

    Raises:
        InputError: a folder is not there, or holds other columns.
    """
    found: list[Rows] = []
    for layout, folder in folders.items():
        if not folder.is_dir():
            raise InputError("no such folder", where=str(folder))
        if layout == "neusight":
            found += _neusight(folder, families)
        elif layout == "aiconfigurator":
            found += _aiconfigurator(folder) if "product16" in families else ()
        else:
            raise InputError(f"'{layout}' is no layout", allowed="neusight, aiconfigurator")
    return found


def _neusight(folder: Path, families: Sequence[str]) -> Iterator[Rows]:
    for family, kinds in (("product32", ("linear", "bmm")), ("stream", ("elem", "ln", "softmax"))):
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
            yield _made(family, device, np.array(found))


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.csv.gz")) if path.is_dir() else [path.with_suffix(".csv.gz")]


def _csv(path: Path) -> Iterator[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None


def _line(row: Mapping[str, str], kind: str, test: bool, where: str) -> tuple[float, ...] | None:
    """Seconds, test, kind, and sizes of a row; None for what is not learned from."""
    try:
        seconds = float(row["Latency"]) * 1e-3
        if kind in ("linear", "bmm"):
            sizes = tuple(float(row[name]) for name in ("B", "M", "K", "N"))
            return (seconds, float(test), 0.0, *sizes)
        rows, width = float(row["B"]), float(row["H"])
    except (KeyError, ValueError) as error:
        raise InputError(f"lacks a number: {error}", where=where) from None
    name = row["OPName"]
    if name == "pow" or (not test and seconds < _LEAST_S):  # two powers differ by their exponent
        return None
    place = {"ln": 1.0, "softmax": 2.0}.get(name, 0.0)
    operands = 2.0 if name in _TWO_INPUTS else 1.0
    return (seconds, float(test), place, rows, width, operands)


def _made(family: str, device: str, table: np.ndarray) -> Rows:
    seconds, test, kind = table[:, 0], table[:, 1] > 0, table[:, 2].astype(int)
    sheet = sheet_of(find_device(device), _DTYPES[family])
    if family == "stream":
        rows, width, operands = table[:, 3:6].T
        moved = 4 * rows * width * (operands + 1)
        problem = streams(kind, moved, width, rows, operands, sheet)
    else:
        itemsize = 4 if family == "product32" else 2
        tensor_cores = family == "product16"
        count, m, n, k = table[:, 3:7].T
        problem = products(count, m, n, k, itemsize, sheet, tensor_cores=tensor_cores)
    weight = np.where(test, _TEST_WEIGHT if family == "product32" else 3.0, 1.0)
    return Rows(family, device, problem, seconds, weight, test, kind)


def _aiconfigurator(folder: Path) -> Iterator[Rows]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet") from None
    columns = ["gemm_dtype", "m", "n", "k", "latency"]
    for system, device in AICONFIGURATOR.items():
        least: dict[tuple[float, ...], float] = {}
        for path in sorted((folder / system / "gemm").glob("*/*/*.parquet")):
            try:
                table = parquet.read_table(path, columns=columns)
            except (OSError, ValueError) as error:
                raise InputError(f"cannot be read: {error}", where=str(path)) from None
            dtype = np.array(table["gemm_dtype"].to_pylist())
            sizes = np.stack([table[name].to_numpy() for name in columns[1:]], axis=1)
            for m, n, k, ms in sizes[dtype == "bfloat16"].tolist():
                known = least.get((m, n, k))
                least[m, n, k] = ms if known is None else min(known, ms)
        if least:
            lines = [(ms * 1e-3, 1.0, 0.0, 1.0, *sizes) for sizes, ms in sorted(least.items())]
            yield _made("product16", device, np.array(lines))


def stream_name(kind: int) -> str:
    """Name of a kind of stream."""
    return STREAM_KINDS[kind]
