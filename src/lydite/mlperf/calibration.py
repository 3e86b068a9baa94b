"""The calibration table: ranges of tensors and what is quantised, as text that can be diffed.

One line a tensor, sorted by name; numbers are float32 in the shortest form that reads back. The
table alone, with the fp32 model, decides the int8 engine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from lydite.errors import InputError, unknown_name
from lydite.files import write_atomic
from lydite.records import dataclass

HEADER = "# Lydite calibration table 1"
METHODS = ("minmax", "entropy", "percentile")
USUAL_OPERATORS = ("Conv", "MatMul", "Gemm")
"""Operators that are quantised unless others are named: the rest gain little and lose much."""
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Table:
    """A calibration.

    Attributes:
        model: Digest of the fp32 model.
        method: "minmax", "entropy" or "percentile".
        per_channel: Whether each channel of a weight has a scale of its own.
        operators: Operator types that are quantised; ("all",) for all that can be.
        keep: Names of nodes that stay in fp32.
        data: Digest of the calibration data.
        samples: Number of calibration samples.
        tool: Quantiser and its version.
        ranges: Least and greatest value of each tensor.
    """

    model: str
    method: str
    per_channel: bool
    operators: tuple[str, ...]
    keep: tuple[str, ...]
    data: str
    samples: int
    tool: str
    ranges: Mapping[str, tuple[float, float]]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the table."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:16]

    def to_text(self) -> str:
        """The table as text."""
        settings = [
            ("model", self.model),
            ("method", self.method),
            ("per_channel", "yes" if self.per_channel else "no"),
            ("data", self.data),
            ("samples", str(self.samples)),
            ("tool", self.tool),
            *(("operator", name) for name in sorted(self.operators)),
            *(("keep_fp32", name) for name in sorted(self.keep)),
        ]
        ranges = [
            ("range", f"{_text(low)}\t{_text(high)}\t{name}")
            for name, (low, high) in sorted(self.ranges.items())
        ]
        lines = (f"{key}\t{value}" for key, value in (*settings, *ranges))
        return "\n".join((HEADER, *lines)) + "\n"


def _text(value: float) -> str:
    return str(np.float32(value))


def parse_table(text: str, where: str) -> Table:
    """The inverse of `Table.to_text`.

    Raises:
        InputError: names the line that cannot be read.
    """
    lines = text.splitlines()
    if not lines or lines[0] != HEADER:
        raise InputError("is no calibration table", where=where, hint="lydite mlperf calibrate")
    settings: dict[str, str] = {}
    lists: dict[str, list[str]] = {"operator": [], "keep_fp32": []}
    ranges: dict[str, tuple[float, float]] = {}
    for number, line in enumerate(lines[1:], 2):
        key, _, value = line.partition("\t")
        if key == "range":
            name, pair = _range(value, f"{where}:{number}")
            ranges[name] = pair
        elif key in lists:
            lists[key].append(value)
        elif key in ("model", "method", "per_channel", "data", "samples", "tool"):
            settings[key] = value
        elif line.strip() and not line.startswith("#"):
            known = ["range", *lists, "model", "method", "per_channel", "data", "samples", "tool"]
            error = unknown_name("line", key, known)
            raise InputError(error.what, where=f"{where}:{number}", allowed=error.allowed)
    try:
        return Table(
            settings["model"],
            settings["method"],
            settings["per_channel"] == "yes",
            tuple(lists["operator"]),
            tuple(lists["keep_fp32"]),
            settings["data"],
            int(settings["samples"]),
            settings["tool"],
            ranges,
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"the calibration table lacks {error}", where=where) from None


def _range(text: str, where: str) -> tuple[str, tuple[float, float]]:
    parts = text.split("\t", 2)
    try:
        low, high, name = float(parts[0]), float(parts[1]), parts[2]
    except (IndexError, ValueError):
        raise InputError(
            f"'{text}' is no range", where=where, allowed="LOW, HIGH and NAME, separated by tabs"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"the range {low:g} to {high:g} is impossible", where=where)
    return name, (low, high)


def read_table(path: Path) -> Table:
    """A calibration table from a file.

    Raises:
        InputError: no such file, or no table.
    """
    if not path.is_file():
        raise InputError(
            "no such calibration table", where=str(path), hint="lydite mlperf calibrate"
        )
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(
            f"has {path.stat().st_size:,} bytes", where=str(path), allowed=f"{_MOST_BYTES:,}"
        )
    return parse_table(path.read_text("utf-8", errors="replace"), str(path))


def usual_path(model_digest: str) -> Path:
    """Where the last table of a model lies."""
    return user_cache_path("lydite") / "calibrations" / f"{model_digest}.txt"


def write_table(table: Table, path: Path) -> Path:
    """Write a table."""
    return write_atomic(path, table.to_text())


def indices_listed(path: Path, names: tuple[str, ...]) -> list[int]:
    """Samples that a calibration list names: one a line, the first word, as MLPerf's cal_map.txt.

    Args:
        path: The list.
        names: Name of each sample of the data set.

    Raises:
        InputError: no list, an empty one, or names that the data set does not hold.
    """
    if not path.is_file():
        raise InputError("no such calibration list", where=str(path))
    if not names:
        raise InputError(
            "the samples of the data set have no names", where=str(path), hint="--samples N"
        )
    lines = path.read_text("utf-8", errors="replace").splitlines()
    wanted = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    if not wanted:
        raise InputError("the calibration list is empty", where=str(path))
    places = {name: index for index, name in enumerate(names)}
    absent = [name for name in wanted if name not in places]
    if absent:
        more = f" and {len(absent) - 5:,} more" if len(absent) > 5 else ""
        raise InputError(
            f"names {len(absent):,} of {len(wanted):,} samples that the data set does not hold: "
            f"{', '.join(absent[:5])}{more}",
            where=str(path),
        )
    return list(dict.fromkeys(places[name] for name in wanted))
