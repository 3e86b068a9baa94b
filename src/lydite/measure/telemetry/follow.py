"""The latest readings of a recording that goes on, for live tables and exporters."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lydite.measure.telemetry.base import THROTTLE, SensorDevice
from lydite.measure.telemetry.sensors import Absent

_POWER_OVER_NS = 1_000_000_000
_KEPT = 64


class Latest(NamedTuple):
    """The latest readings of a device.

    Attributes:
        device: Device that was read.
        sensor: Name of its sensor.
        values: Value by channel; power of a counter is its growth over the last second.
    """

    device: SensorDevice
    sensor: str
    values: dict[str, float]
    throttle: str


class Follower:
    """Reads what a recording of this process's own sampler adds to its file.

    Args:
        path: File of the recording.
        stale_s: Age in seconds from which a reading is no longer shown.
    """

    def __init__(self, path: Path, stale_s: float = 5.0) -> None:
        self.path, self.stale_s = path, stale_s
        self.absent: Sequence[Absent] = ()
        self._offset, self._rest = 0, b""
        self._devices: list[tuple[SensorDevice, str]] = []
        self._values: list[dict[str, tuple[int, Any]]] = []
        self._energy: list[deque[tuple[int, float]]] = []

    def latest(self) -> list[Latest]:
        """The latest readings of every device that are not stale."""
        self._read()
        oldest_ns = time.monotonic_ns() - int(1e9 * self.stale_s)
        told = []
        for (device, sensor), values, energy in zip(
            self._devices, self._values, self._energy, strict=True
        ):
            fresh = {name: value for name, (at, value) in values.items() if at >= oldest_ns}
            throttle = str(fresh.pop(THROTTLE, ""))
            if "power_w" not in fresh and "energy_j" in fresh:
                watts = _growth(energy)
                fresh |= {} if watts is None else {"power_w": watts}
            told.append(Latest(device, sensor, fresh, throttle))
        return told

    def _read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        self._offset += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        for line in lines:
            self._add(json.loads(line))

    def _add(self, record: dict[str, Any]) -> None:
        if "devices" in record:
            fields = SensorDevice._fields
            self._devices = [
                (SensorDevice(**{name: each[name] for name in fields}), each["sensor"])
                for each in record["devices"]
            ]
            self._values = [{} for _ in self._devices]
            self._energy = [deque(maxlen=_KEPT) for _ in self._devices]
            self.absent = [Absent(**each) for each in record["absent"]]
        elif "d" in record:
            at, number = record["t"], record["d"]
            self._values[number] |= {name: (at, value) for name, value in record["v"].items()}
            if "energy_j" in record["v"]:
                self._energy[number].append((at, record["v"]["energy_j"]))


def _growth(energy: Sequence[tuple[int, float]]) -> float | None:
    """Watts over the last second of a counter; None without two readings."""
    if len(energy) < 2:
        return None
    end_ns, end_j = energy[-1]
    start_ns, start_j = next((at, j) for at, j in energy if at >= end_ns - _POWER_OVER_NS)
    if end_ns == start_ns or end_j < start_j:
        return None
    return (end_j - start_j) / ((end_ns - start_ns) * 1e-9)
