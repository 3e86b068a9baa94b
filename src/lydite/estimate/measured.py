"""Estimates from measured rows of the same operator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from lydite.estimate.base import Estimate
from lydite.graph import OpKey
from lydite.hardware import Device
from lydite.records import dataclass
from lydite.store import Measurement, Readings

_NEWEST = 5
_USUAL_SPAN_BYTES = 16 << 20
"""Span of rows of weights that do not say theirs."""
SMALLEST_SPAN_BYTES = 256 << 10
"""Shorter spans count as this: any core's own cache holds them."""
_SAME_SPAN = 1.5
"""Spans within this factor of each other count as one."""
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
        spans: Bytes between two uses of what an operator reads, by the digest of its key; an
            operator that is not in it takes the newest rows, whatever their span.
        software: Software whose times, measured by others and imported, may fill gaps: its name,
            "any", or None for none.
    """

    backend: str
    threads: int = 1
    clock: str = "wall"
    caches: tuple[str, ...] = ("rotated", "hot", "cold")
    spans: Mapping[str, int] = field(default_factory=dict)
    software: str | None = None

    def select(self, rows: Sequence[Measurement]) -> list[Measurement]:
        """The rows of the best cache state and this clock, newest first."""
        timed = [r for r in rows if r.environment.get("clock", "wall") == self.clock]
        for cache in self.caches:
            selected = [row for row in timed if row.conditions.cache == cache]
            if selected:
                wanted = self.spans.get(selected[0].key.digest)
                nearest = _nearest(selected, wanted)[0] if wanted else selected
                return nearest[:_NEWEST]
        return []

    def factor(self, rows: Sequence[Measurement]) -> float:
        """Time at the wanted span over that of the rows that `select` gives.

        Between two measured spans the time is interpolated in the logarithm of the span; beyond
        them it stays.
        """
        timed = [r for r in rows if r.environment.get("clock", "wall") == self.clock]
        best = next((c for c in self.caches if any(r.conditions.cache == c for r in timed)), "")
        alike = [row for row in timed if row.conditions.cache == best]
        wanted = self.spans.get(alike[0].key.digest) if alike else None
        if wanted is None:
            return 1.0
        near, other = _nearest(alike, wanted)
        if not other:
            return 1.0
        first, second = span_bytes(near[0]), span_bytes(other[0])
        if not min(first, second) < wanted < max(first, second):
            return 1.0
        share = math.log(wanted / first) / math.log(second / first)
        times = [
            float(np.median(np.concatenate([paced(r) for r in s[:_NEWEST]]))) for s in (near, other)
        ]
        return 1 + share * (times[1] / times[0] - 1)


def by_digest(spans: Mapping[OpKey, int]) -> dict[str, int]:
    """Spans by the digest of the key."""
    return {key.digest: span for key, span in spans.items()}


def span_bytes(row: Measurement) -> int:
    """Bytes between two uses of what a row's operator reads, as far as they matter."""
    usual = _USUAL_SPAN_BYTES if row.conditions.cache == "rotated" else 0
    return max(int(row.environment.get("span_bytes", usual)), SMALLEST_SPAN_BYTES)


def same_span(first_bytes: int, second_bytes: int) -> bool:
    """Whether two spans count as one."""
    first, second = (max(span, SMALLEST_SPAN_BYTES) for span in (first_bytes, second_bytes))
    return max(first, second) <= _SAME_SPAN * min(first, second)


def _nearest(
    rows: Sequence[Measurement], wanted: int
) -> tuple[list[Measurement], list[Measurement]]:
    """Rows of the span nearest to the wanted one, and of the nearest on its other side."""
    groups: dict[int, list[Measurement]] = {}
    for row in rows:
        groups.setdefault(round(2 * math.log2(span_bytes(row))), []).append(row)

    def far(group: list[Measurement]) -> float:
        return abs(math.log(span_bytes(group[0]) / wanted))

    ordered = sorted(groups.values(), key=far)
    near = ordered[0]
    below = span_bytes(near[0]) < wanted
    others = [group for group in ordered[1:] if (span_bytes(group[0]) < wanted) != below]
    return near, others[0] if others else []


class Measured:
    """The median of the newest rows, with the middle 90 % of their samples as interval.

    The interval is at least 2 % each way, because samples of one minute do not show the variation
    between sessions. Rows with a pace (the time of a fixed reference operator measured beside them)
    are scaled to the pace `pace_s`.
    """

    name = "measured"

    def __init__(self, database: Readings, rows: Rows) -> None:
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
        factor = self._rows.factor(rows)
        samples = factor * np.concatenate([paced(row) for row in chosen])
        low, median, high = (float(x) for x in np.percentile(samples, [5, 50, 95]))
        return Estimate(
            median,
            max(min(low, median * (1 - _FLOOR)), median * 0.05),
            max(high, median * (1 + _FLOOR)),
            "measured",
            f"{len(samples)} samples in {len(chosen)} row{'s' if len(chosen) > 1 else ''}, "
            f"{chosen[0].conditions.cache}{'' if factor == 1 else ', between spans'}",
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
