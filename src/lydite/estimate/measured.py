"""Estimates from measured rows of exactly the same operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.estimate.base import Estimate
from lydite.graph import OpKey
from lydite.hardware import Device
from lydite.store import Database, Measurement

_NEWEST = 5
_FLOOR = 0.02
"""Two measurements of one thing on a quiet machine differ by this much (half-width, relative)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Selection of measured rows.

    Attributes:
        backend: Name of the backend.
        threads: Number of threads per operator.
        clock: "wall" or "process"; rows timed by another clock are left out.
        caches: Cache states in order of preference.
    """

    backend: str
    threads: int = 1
    clock: str = "wall"
    caches: tuple[str, ...] = ("rotated", "hot", "cold")

    def select(self, rows: Sequence[Measurement]) -> list[Measurement]:
        """The rows of the best cache state and this clock, newest first."""
        timed = [r for r in rows if r.environment.get("clock", "wall") == self.clock]
        for cache in self.caches:
            found = [row for row in timed if row.conditions.cache == cache]
            if found:
                return found[:_NEWEST]
        return []


class Measured:
    """The median of the newest rows; the interval spans their samples' middle 90 %.

    At least 2 % each way is claimed: samples of one minute know nothing of the next. Rows that
    carry a pace (how fast a fixed reference ran beside them) are brought to the pace of `pace_s`.
    """

    name = "measured"

    def __init__(self, database: Database, rows: Rows) -> None:
        self._database, self._rows = database, rows

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Estimate the keys that have rows for this device and backend."""
        found = self._database.lookup(
            keys, device=device.name, backend=self._rows.backend, threads=self._rows.threads
        )
        return [self._answer(found.get(key.digest, [])) for key in keys]

    def _answer(self, rows: Sequence[Measurement]) -> Estimate | None:
        chosen = self._rows.select(rows)
        if not chosen:
            return None
        samples = np.concatenate([paced(row) for row in chosen])
        low, median, high = (float(x) for x in np.percentile(samples, [5, 50, 95]))
        return Estimate(
            median,
            max(min(low, median * (1 - _FLOOR)), median * 0.05),
            max(high, median * (1 + _FLOOR)),
            "measured",
            f"{len(samples)} samples in {len(chosen)} row{'s' if len(chosen) > 1 else ''}, "
            f"{chosen[0].conditions.cache}",
        )


def paced(row: Measurement) -> np.ndarray:
    """The row's samples at the usual pace of its run.

    `pace_s` holds, sample by sample, how long a fixed reference took beside the operator, and
    `pace_usual_s` what that reference takes when nothing else runs; a slow moment of the machine
    slows both, and their ratio stays.
    """
    pace, usual = row.environment.get("pace_s"), row.environment.get("pace_usual_s")
    if not pace or not usual or len(pace) != len(row.samples_s):
        return row.samples_s
    return row.samples_s * (float(usual) / np.array(pace, dtype=float))
