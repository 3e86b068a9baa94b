"""Estimates from measured rows of the same operator."""

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
"""Relative half-width by which two measurements of one operator differ on a quiet machine."""


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
            selected = [row for row in timed if row.conditions.cache == cache]
            if selected:
                return selected[:_NEWEST]
        return []


class Measured:
    """The median of the newest rows, with the middle 90 % of their samples as interval.

    The interval is at least 2 % each way, because samples of one minute do not show the variation
    between sessions. Rows with a pace (the time of a fixed reference operator measured beside them)
    are scaled to the pace `pace_s`.
    """

    name = "measured"

    def __init__(self, database: Database, rows: Rows) -> None:
        self._database, self._rows = database, rows

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Estimates of the keys with rows for this device and backend."""
        estimates = self._database.lookup(
            keys, device=device.name, backend=self._rows.backend, threads=self._rows.threads
        )
        return [self._answer(estimates.get(key.digest, [])) for key in keys]

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

    `pace_s` holds, sample by sample, the time of a fixed reference operator beside the measured
    one, and `pace_usual_s` its time when nothing else runs; a slow moment of the machine slows
    both, so that their ratio stays.
    """
    pace, usual = row.environment.get("pace_s"), row.environment.get("pace_usual_s")
    if not pace or not usual or len(pace) != len(row.samples_s):
        return row.samples_s
    return row.samples_s * (float(usual) / np.array(pace, dtype=float))
