"""Trials of settings, ordered so that engines are rebuilt as rarely as possible, and kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.records import dataclass

TRIALS, BEST = "trials.jsonl", "tuned.json"
_MOST_TRIALS = 10_000


@dataclass(frozen=True)
class Point:
    """Settings of one trial.

    Attributes:
        batch_size: Most samples in a batch, by which engines differ.
        threads: Number of threads per worker.
        workers: Number of batches that run at once.
        batch_delay_us: How long the oldest sample may wait for a batch to fill, in microseconds.
    """

    batch_size: int
    threads: int
    workers: int
    batch_delay_us: float


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        point: Settings.
        verdict: VALID or INVALID.
        value: Figure of the scenario; of Server the greatest valid rate. None where there is none.
        unit: Unit of the figure.
        source: "measured" or "simulated".
    """

    point: Point
    verdict: str
    value: float | None
    unit: str
    source: str


def grid(
    batches: Sequence[int],
    threads: Sequence[int],
    workers: Sequence[int],
    delays_us: Sequence[float],
    most: int | None = None,
) -> list[Point]:
    """All combinations, those of one engine next to each other, and none twice.

    Args:
        batches, threads, workers, delays_us: What is tried.
        most: Most samples that a batch can hold in the scenario; None for any number.

    Raises:
        InputError: too many trials.
    """
    count = len(batches) * len(threads) * len(workers) * len(delays_us)
    if count > _MOST_TRIALS:
        raise InputError(f"{count:,} trials are too many", allowed=f"{_MOST_TRIALS:,}")
    points: dict[Point, None] = {}
    for batch, *others in itertools.product(sorted(set(batches)), threads, workers, delays_us):
        size = batch if most is None else min(batch, most)
        thread, worker, delay = others
        # a batch of one never waits
        points[Point(size, int(thread), int(worker), float(delay) if size > 1 else 0.0)] = None
    return sorted(points, key=lambda point: point.batch_size)


class Kept:
    """Trials of a folder, one a line; a tuning that was stopped goes on with those missing.

    Args:
        folder: Folder of the trials.
        key: What all trials have in common; those of other keys are passed over.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path, self._key = folder / TRIALS, key
        self.trials = {trial.point: trial for trial in self._read()}

    def add(self, trial: Trial) -> None:
        """Append a trial."""
        self.trials[trial.point] = trial
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"key": self._key, **asdict(trial)}) + "\n")

    def _read(self) -> Iterator[Trial]:
        if not self._path.is_file():
            return
        for line in self._path.read_text("utf-8", errors="replace").splitlines():
            try:
                row: dict[str, Any] = json.loads(line)
                if row.pop("key") == self._key:
                    yield Trial(Point(**row.pop("point")), **row)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # the last line of a run that was stopped


def best(trials: Sequence[Trial], lower: bool) -> Trial | None:
    """The best valid trial; None where none is valid.

    Args:
        trials: Trials.
        lower: Whether less is better, as of latencies.
    """
    valid = [trial for trial in trials if trial.verdict == "VALID" and trial.value is not None]
    sign = 1 if lower else -1
    return min(valid, key=lambda trial: sign * (trial.value or 0), default=None)
