"""Measured times of a collective by size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from lydite.records import dataclass
from lydite.store.nccl import BACKEND, DOMAIN, read_nccl_tests

if TYPE_CHECKING:
    from lydite.store import Readings


@dataclass(frozen=True, eq=False)
class Curve:
    """Measured time as a function of size.

    Attributes:
        sizes_bytes: [points] Sizes in bytes, ascending.
        seconds: [points] Time at each size, in seconds.
    """

    sizes_bytes: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, points: Mapping[float, float]) -> Curve:
        """The curve through at least one point, given as seconds by bytes."""
        sizes = np.array(sorted(points), float)
        return cls(sizes, np.array([points[size] for size in sizes]))

    def at(self, size_bytes: float) -> float:
        """Seconds at a size: linear between two measured sizes, proportional to the bytes above the
        largest, constant below the smallest, since latency does not shrink with the message."""
        last = self.sizes_bytes[-1]
        if size_bytes > last:
            return float(self.seconds[-1] * size_bytes / last)
        return float(np.interp(size_bytes, self.sizes_bytes, self.seconds))

    def within(self, size_bytes: float) -> float | None:
        """Seconds at a size, log-log interpolated; None outside the measured sizes."""
        if not 0 < self.sizes_bytes[0] <= size_bytes <= self.sizes_bytes[-1]:
            return None
        sizes, seconds = np.log(self.sizes_bytes), np.log(self.seconds)
        return float(np.exp(np.interp(np.log(size_bytes), sizes, seconds)))


def read_nccl_log(path: Path | str) -> tuple[int | None, Curve]:
    """Number of ranks that an nccl-tests log lists (None if none), and its in-place times.

    Raises:
        InputError: as for `lydite.store.nccl.read_nccl_tests`.
    """
    log = read_nccl_tests(path)
    return log.ranks, Curve.of({row.size_bytes: row.seconds for row in log.rows})


def curves_in(database: Readings, device: str, kind: str = "AllReduce") -> dict[int, Curve]:
    """Measured times of a collective in a database, by number of ranks.

    Args:
        database: Readings with measurements of collectives, such as imported nccl-tests logs.
        device: Name of the device that they were measured on.
        kind: Kind of the collective.
    """
    times_by_ranks: dict[int, dict[float, list[float]]] = {}
    rows = database.query(device=device, backend=BACKEND, op_type=kind, domain=DOMAIN, status="ok")
    for row in rows:
        ranks, operand = int(row.key.attrs["size"]), row.key.inputs[0].type
        size = (operand.nbytes or 0 if operand else 0) * (ranks if kind == "AllGather" else 1)
        times_by_ranks.setdefault(ranks, {}).setdefault(size, []).append(row.median_s)
    return {
        ranks: Curve.of({size: median(times) for size, times in points.items()})
        for ranks, points in sorted(times_by_ranks.items())
    }
