"""How long an exchange of gradients takes: nccl-tests' logs, else a closed form on the links.

Of a log the times in place count, which is what data parallelism does; between and beyond the sizes
measured see `Curve.at`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from lydite.cluster.collectives import Curve, Group, group_of, read_nccl_log
from lydite.compat.aisim.folder import refuse_lfs
from lydite.compat.aisim.resource_pool import read_resource_pool
from lydite.errors import InputError
from lydite.hardware import Device
from lydite.hardware.cluster import Cluster
from lydite.records import dataclass

_SUFFIXES = (".log", ".txt", ".csv", ".out")
LOGS, DATABASE, CLOSED_FORM, NOTHING = "nccl-tests log", "database", "closed form", "unknown"


def read_nccl_logs(folder: Path) -> dict[int, Curve]:
    """Every log of a folder, by GPU count: the ranks it lists, else the number in its name.

    Where files are called nccl..., only those are logs.

    Raises:
        InputError: no such folder, no log, a log without a count, two of one count, or as
            `read_nccl_log`.
    """
    if not folder.is_dir():
        raise InputError("no such folder of nccl-tests logs", where=str(folder))
    found: dict[int, Curve] = {}
    for path in _logs(folder):
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


def _logs(folder: Path) -> list[Path]:
    """The files called nccl..., since logs lie among others; where there are none, all logs."""
    files = sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES and p.is_file())
    files = [path for path in files if path.name[0] != "."]
    named = [path for path in files if path.name.lower().startswith("nccl")]
    return [refuse_lfs(path) for path in named or files]


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
            self._pools[pool] = read_resource_pool(refuse_lfs(pool), _ANY)
        return self._pools[pool]


_ANY = Device("aisim", "AISim's GPU", "gpu", "unknown", {}, 0.0, 0.0)
"""Only the pool's links are read: what the GPUs can do is in the databases."""
