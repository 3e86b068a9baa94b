"""How long an exchange of gradients takes: nccl-tests' logs, else a closed form on the links.

A log's rows give time by size: `size count type redop [root] time algbw busbw #wrong`, and the last
four once more for the exchange in place, which is what data parallelism does. Between two sizes the
time is interpolated linearly; beyond the largest it grows as the bytes (its bandwidth stays); below
the smallest it stays what it is there, since latency does not shrink with the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lydite.cluster.collectives import Group, group_of
from lydite.errors import InputError
from lydite.graph.formats.pbtxt import read_text
from lydite.hardware import Device
from lydite.hardware.cluster import Cluster, read_resource_pool

LOGS, DATABASE, CLOSED_FORM, NOTHING = "nccl-tests log", "database", "closed form", "unknown"

_ROW = re.compile(r"\s*\d+\s+\d+\s+[a-z]\w*\s")
_RANK = re.compile(r"#\s+Rank\s+(\d+)\b")
_US = 1e-6


@dataclass(frozen=True)
class Curve:
    """Time by size.

    Attributes:
        sizes_bytes, seconds: [points], sizes ascending.
    """

    sizes_bytes: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, points: Mapping[float, float]) -> Curve:
        """From seconds by bytes; there is at least one."""
        sizes = np.array(sorted(points), float)
        return cls(sizes, np.array([points[size] for size in sizes]))

    def at(self, size_bytes: float) -> float:
        """Seconds for so many bytes."""
        last = self.sizes_bytes[-1]
        if size_bytes > last:
            return float(self.seconds[-1] * size_bytes / last)
        return float(np.interp(size_bytes, self.sizes_bytes, self.seconds))


def read_nccl_log(path: Path) -> tuple[int | None, Curve]:
    """One log of nccl-tests' all_reduce_perf.

    Returns:
        how many ranks the log lists (None if it lists none), and the times in place.

    Raises:
        InputError: no such file, no rows, or a row that cannot be read (with its line).
    """
    points: dict[float, float] = {}
    ranks: set[str] = set()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if rank := _RANK.match(line):
            ranks.add(rank[1])
        elif _ROW.match(line):
            size, seconds = _row(line, f"{path}, line {number}")
            points[size] = seconds
    if not points:
        raise InputError("no rows of nccl-tests", where=str(path), allowed="size count type ...")
    return len(ranks) or None, Curve.of(points)


def _row(line: str, where: str) -> tuple[float, float]:
    columns = line.split()
    try:
        size, seconds = float(columns[0]), float(columns[-4]) * _US
        if len(columns) not in (12, 13) or not (0 <= size < 1e18 and 0 < seconds < 1e6):
            raise ValueError
    except ValueError:
        raise InputError(
            "is no row of nccl-tests", where=where,
            allowed="size count type redop [root] and twice time algbw busbw #wrong",
        ) from None  # fmt: skip
    return size, seconds


def read_nccl_logs(folder: Path) -> dict[int, Curve]:
    """Every log of a folder, by GPU count: the ranks it lists, else the number in its name.

    Raises:
        InputError: no such folder, no log, a log without a count, two of one count, or as
            `read_nccl_log`.
    """
    if not folder.is_dir():
        raise InputError("no such folder of nccl-tests logs", where=str(folder))
    found: dict[int, Curve] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != "."):
        ranks, curve = read_nccl_log(path)
        numbers = re.findall(r"\d+", path.stem)
        if ranks is None and len(numbers) != 1:
            raise InputError("lists no ranks, nor has one number in its name", where=str(path))
        gpus = ranks or int(numbers[0])
        if gpus in found:
            raise InputError(f"is a second log of {gpus} GPUs", where=str(path))
        found[gpus] = curve
    if not found:
        raise InputError("holds no log of nccl-tests", where=str(folder))
    return found


@dataclass(frozen=True)
class Exchange:
    """All there is to tell an exchange's time from.

    Attributes:
        logs: by GPU count.
        pool: AISim's resource pool; None without.
    """

    logs: Mapping[int, Curve] = field(default_factory=dict)
    pool: Path | None = None
    _groups: dict[int, Group] = field(default_factory=dict)
    _pools: dict[Path, Cluster] = field(default_factory=dict)

    def allreduce(
        self, gpus: int, sizes_bytes: Sequence[float | None], rows: Mapping[float, float]
    ) -> tuple[list[float | None], str]:
        """Seconds for each size (None if unknown), and where they come from.

        Args:
            gpus: that exchange.
            sizes_bytes: of each all-reduce.
            rows: seconds by bytes that the database has for so many GPUs.

        Raises:
            InputError: the resource pool cannot be read or has fewer GPUs.
        """
        if gpus in self.logs or rows:
            curve = self.logs.get(gpus) or Curve.of(rows)
            source = LOGS if gpus in self.logs else DATABASE
            return [None if size is None else curve.at(size) for size in sizes_bytes], source
        group = self.group(gpus)
        if group is None:
            return [None] * len(sizes_bytes), NOTHING
        return [
            None if size is None else group.seconds("AllReduce", size) for size in sizes_bytes
        ], CLOSED_FORM

    def send(self, gpus: int, size_bytes: float | None) -> float | None:
        """Seconds that a message between two GPUs takes; None if unknown."""
        group = self.group(gpus) if gpus > 1 else None
        return None if group is None or size_bytes is None else group.seconds("Send", size_bytes)

    def group(self, gpus: int) -> Group | None:
        """The first so many GPUs of the pool; None without a pool."""
        if gpus == 1:
            return Group(1, float("inf"), 0.0)
        if self.pool is None:
            return None
        if gpus not in self._groups:
            self._groups[gpus] = group_of(self._cluster(self.pool).first(gpus), [range(gpus)])
        return self._groups[gpus]

    def _cluster(self, pool: Path) -> Cluster:
        if pool not in self._pools:
            self._pools[pool] = read_resource_pool(pool, _ANY)
        return self._pools[pool]


_ANY = Device("aisim", "AISim's GPU", "gpu", "unknown", {}, 0.0, 0.0)
"""Only the pool's links are read: what the GPUs can do is in the databases."""
