"""Measured times of a collective by size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from lydite.store import Database
from lydite.store.nccl import BACKEND, DOMAIN, read_nccl_tests


@dataclass(frozen=True, eq=False)
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
        """Seconds for so many bytes: linear between two sizes, beyond the largest as the bytes
        grow, below the smallest as there, since latency does not shrink with the message."""
        last = self.sizes_bytes[-1]
        if size_bytes > last:
            return float(self.seconds[-1] * size_bytes / last)
        return float(np.interp(size_bytes, self.sizes_bytes, self.seconds))

    def within(self, size_bytes: float) -> float | None:
        """Seconds by the logarithms of size and time; None outside what was measured."""
        if not 0 < self.sizes_bytes[0] <= size_bytes <= self.sizes_bytes[-1]:
            return None
        sizes, seconds = np.log(self.sizes_bytes), np.log(self.seconds)
        return float(np.exp(np.interp(np.log(size_bytes), sizes, seconds)))


def read_nccl_log(path: Path | str) -> tuple[int | None, Curve]:
    """A log of nccl-tests: how many ranks it lists (None if none), and its times in place.

    Raises:
        InputError: as `lydite.store.nccl.read_nccl_tests`.
    """
    log = read_nccl_tests(path)
    return log.ranks, Curve.of({row.size_bytes: row.seconds for row in log.rows})


def curves_in(database: Database, device: str, kind: str = "AllReduce") -> dict[int, Curve]:
    """The measured times of a collective that a database holds, by how many ranks took part.

    Args:
        database: with rows such as `lydite db import` takes from nccl-tests.
        device: on which they were measured.
        kind: of the collective.
    """
    found: dict[int, dict[float, list[float]]] = {}
    rows = database.query(device=device, backend=BACKEND, op_type=kind, domain=DOMAIN, status="ok")
    for row in rows:
        ranks, operand = int(row.key.attrs["size"]), row.key.inputs[0].type
        size = (operand.nbytes or 0 if operand else 0) * (ranks if kind == "AllGather" else 1)
        found.setdefault(ranks, {}).setdefault(size, []).append(row.median_s)
    return {
        ranks: Curve.of({size: median(times) for size, times in points.items()})
        for ranks, points in sorted(found.items())
    }
