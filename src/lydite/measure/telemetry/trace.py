"""Recorded telemetry: samples of each device with their real times, marks and faults.

Files are read strictly, as they may come from anyone: JSON Lines as the sampler writes them (see
`sampler`), or CSV with one row for each sample or mark and the first line as a comment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lydite.errors import unknown_name
from lydite.measure.telemetry.base import MOST_WATTS, SensorDevice
from lydite.measure.telemetry.samples import DeviceTrace, Mark, Recorded
from lydite.measure.telemetry.trace_file import read_recorded, write_recorded

__all__ = ["DeviceTrace", "Mark", "Span", "Trace"]

GAP_INTERVALS = 3.0
"""Intervals without a sample that make a gap."""
LATE_INTERVALS = 1.5
"""Intervals without a sample that make the next one late."""
FROZEN_SAMPLES = 20
"""Equal readings in a row from which a sensor counts as frozen."""
_JUMP = 100.0
_RARE_S = 1.0
"""Longest time in seconds between two updates of an energy counter."""


class Span(NamedTuple):
    """A stretch of time of a device, from `start_ns` to `end_ns`, and what is the matter there."""

    device: str
    start_ns: int
    end_ns: int
    what: str = ""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) * 1e-9


class Trace(Recorded):
    """What was recorded, with its file, and what is wrong in it."""

    @classmethod
    def read(cls, path: Path | str) -> Trace:
        """Read a trace: CSV if the name ends so, else JSON Lines.

        Raises:
            InputError: the file is not there, or is not a trace; says in which line.
        """
        read = read_recorded(Path(path))
        return cls(read.interval_s, read.devices, read.marks, read.notes, read.absent)

    def save(self, path: Path | str) -> Path:
        """Write the trace: CSV if the name ends so, else JSON Lines.

        Raises:
            LyditeError: it cannot be written.
        """
        return write_recorded(self, Path(path))

    def one(self, device: str) -> DeviceTrace:
        """The samples of a device.

        Raises:
            InputError: it is not in the trace.
        """
        if device not in self.devices:
            raise unknown_name("device", device, self.devices)
        return self.devices[device]

    def mark_ns(self, name: str) -> int:
        """Time of the first mark of a name, in ns.

        Raises:
            InputError: there is no such mark.
        """
        for mark in self.marks:
            if mark.name == name:
                return mark.time_ns
        raise unknown_name("mark", name, {mark.name for mark in self.marks})

    def span_ns(self) -> tuple[int, int]:
        """Time of the first and of the last sample or mark in ns; (0, 0) without any."""
        sampled = [each.time_ns for each in self.devices.values() if len(each.time_ns)]
        times = [int(time_ns) for times in sampled for time_ns in times[[0, -1]]]
        times += [mark.time_ns for mark in self.marks]
        return (min(times), max(times)) if times else (0, 0)

    def gaps(self) -> list[Span]:
        """Stretches of more than three intervals without a sample."""
        return list(self._pauses(GAP_INTERVALS, math.inf))

    def late(self) -> list[Span]:
        """Pauses of more than one and a half intervals that are no gaps."""
        return list(self._pauses(LATE_INTERVALS, GAP_INTERVALS))

    def _pauses(self, more_than: float, at_most: float) -> Iterator[Span]:
        for name, each in self.devices.items():
            pauses = np.diff(each.time_ns) * 1e-9 / each.interval_s
            for at in np.flatnonzero((pauses > more_than) & (pauses <= at_most)).tolist():
                start, end = each.time_ns[at : at + 2].tolist()
                yield Span(name, start, end, f"{pauses[at]:.1f} intervals without a sample")

    def frozen(self) -> list[Span]:
        """Stretches of 20 or more equal readings of energy or power."""
        found: list[Span] = []
        for name, each in self.devices.items():
            for channel in ("energy_j", "power_w"):
                times, values = each.known(channel)
                ends = np.flatnonzero(np.diff(values, prepend=np.nan, append=np.nan) != 0)
                for first, after in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                    if after - first >= FROZEN_SAMPLES:
                        what = f"{channel} stays at {values[first]:g} in {after - first} readings"
                        found.append(Span(name, int(times[first]), int(times[after - 1]), what))
        return found

    def jumps(self) -> list[Span]:
        """Energy that steps back or grows beyond belief, and single readings of power far off."""
        found: list[Span] = []
        for name, each in self.devices.items():
            times, joules = each.known("energy_j")
            most = most_joules(each.device, np.diff(times) * 1e-9)
            step = np.diff(joules)
            for at in np.flatnonzero((step < 0) | (step > most)).tolist():
                what = f"energy_j goes from {joules[at]:g} to {joules[at + 1]:g}"
                found.append(Span(name, int(times[at]), int(times[at + 1]), what))
            times, watts = each.known("power_w")
            if len(watts) < 3:
                continue
            beside = np.maximum(watts[:-2], watts[2:])
            for at in np.flatnonzero((watts[1:-1] > _JUMP * beside) & (beside > 0)).tolist():
                what = f"power_w is {watts[at + 1]:g} between {watts[at]:g} and {watts[at + 2]:g}"
                found.append(Span(name, int(times[at]), int(times[at + 2]), what))
        return found


def most_joules(device: SensorDevice, spans_s: np.ndarray) -> np.ndarray:
    """Growth of the counter in J above which a step over each span is not believed.

    A counter that is updated once in a while grows at once by what was used since; so every step
    may hold the energy of a second.
    """
    watts = 3 * device.power_limit_w if device.power_limit_w else MOST_WATTS
    return watts * np.maximum(spans_s, _RARE_S)
