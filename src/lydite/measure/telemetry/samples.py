"""What was recorded: samples of each device with their real times, and marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lydite.measure.telemetry.base import THROTTLE, Reading, SensorDevice
from lydite.measure.telemetry.sensors import Absent
from lydite.records import dataclass


class Mark(NamedTuple):
    """A moment that has a name."""

    name: str
    time_ns: int


@dataclass(frozen=True, eq=False)
class DeviceTrace:
    """Samples of a device.

    Attributes:
        device: Device that was read.
        sensor: Name of the sensor.
        interval_s: Time in seconds from one sample to the next, as intended.
        time_ns: Monotonic time of each sample in ns, ascending, int64.
        channels: Values of each sample by channel, float64; NaN where absent. Channels that were
            never read are left out.
        throttle: What held the clocks down at each sample; "" where absent.
    """

    device: SensorDevice
    sensor: str
    interval_s: float
    time_ns: np.ndarray
    channels: Mapping[str, np.ndarray]
    throttle: Sequence[str] = ()

    def known(self, channel: str) -> tuple[np.ndarray, np.ndarray]:
        """Times in ns and values of the samples that have the channel; empty if none has."""
        values = self.channels.get(channel)
        if values is None:
            return np.zeros(0, np.int64), np.zeros(0)
        there = np.isfinite(values)
        return self.time_ns[there], values[there]

    def power(self) -> tuple[np.ndarray, np.ndarray, str]:
        """Times in ns, watts and their source: "polled", else "counter", else "none".

        Power of a counter is its growth over each interval, at the interval's middle.
        """
        times, watts = self.known("power_w")
        if len(times):
            return times, watts, "polled"
        times, joules = self.known("energy_j")
        if len(times) < 2:
            return np.zeros(0, np.int64), np.zeros(0), "none"
        middle = (times[1:] + times[:-1]) // 2
        return middle, np.diff(joules) / np.maximum(np.diff(times) * 1e-9, 1e-9), "counter"

    def reading(self, at: int) -> Reading:
        """The sample at an index."""
        values: Reading = {
            name: float(column[at])
            for name, column in self.channels.items()
            if math.isfinite(column[at])
        }
        if self.throttle and self.throttle[at]:
            values[THROTTLE] = self.throttle[at]
        return values


@dataclass(frozen=True, eq=False)
class Recorded:
    """Samples of several devices over the same time.

    Attributes:
        interval_s: Time in seconds from one sample to the next, as asked for.
        devices: Samples by device id.
        marks: Moments with names, in order of time.
        notes: What went wrong while sampling.
        absent: Sensors that could not be read, with reasons.
    """

    interval_s: float
    devices: Mapping[str, DeviceTrace]
    marks: Sequence[Mark] = ()
    notes: Sequence[str] = ()
    absent: Sequence[Absent] = ()
