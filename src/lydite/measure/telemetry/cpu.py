"""Use of this machine's processor and memory, through psutil; it has no power of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psutil

from lydite.measure.telemetry.base import Reading, SensorDevice

_SLOWLY_S = 1.0
"""Time in seconds between readings of clock and temperature, which take a file for each core."""
_THERMOMETERS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")


class Cpu:
    """Utilisation and memory of the machine; once a second clock and temperature."""

    name = "cpu"
    least_interval_s = 0.02

    def __init__(self) -> None:
        self._times: Any = None
        self._slow_s = 0.0

    def devices(self) -> Sequence[SensorDevice]:
        """The machine's processors as one device."""
        title = f"{psutil.cpu_count() or '?'} logical CPUs"
        return [SensorDevice("cpu:0", title, True, "the whole machine, other work included")]

    def read(self, device: SensorDevice) -> Reading:
        """Utilisation since the reading before, and memory in use."""
        del device
        values: Reading = {}
        before, self._times = self._times, psutil.cpu_times()
        used = None if before is None else _used_percent(before, self._times)
        if used is not None:
            values["utilisation_percent"] = used
        memory = psutil.virtual_memory()
        values["memory_bytes"] = float(memory.total - memory.available)
        if time.monotonic() - self._slow_s >= _SLOWLY_S:
            self._slow_s = time.monotonic()
            values |= _clock() | _temperature()
        return values

    def close(self) -> None:
        """Nothing to give back."""


def _used_percent(before: Any, after: Any) -> float | None:
    """Share of CPU time that was not idle; None if the clock of CPU time did not move.

    The guest's time is part of the user's, and is not counted again.
    """
    names = [name for name in after._fields if not name.startswith("guest")]
    spent = {name: max(0.0, getattr(after, name) - getattr(before, name)) for name in names}
    total = sum(spent.values())
    if not total:
        return None
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return 100.0 * (total - idle) / total


def _clock() -> Reading:
    try:
        found = psutil.cpu_freq()
    except Exception:  # psutil's own failures on odd machines are of every type
        return {}
    return {"clock_hz": found.current * 1e6} if found and found.current else {}


def _temperature() -> Reading:
    read = getattr(psutil, "sensors_temperatures", None)
    try:
        found = read() if read else {}
    except Exception:
        return {}
    for name in _THERMOMETERS:
        if found.get(name):
            return {"temperature_c": max(each.current for each in found[name])}
    return {}
