"""What a sensor is: the devices that it watches, and what it reads of each.

This file and the sensors import little, because the sampler has to start at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Reading = dict[str, float | str]
"""Value by channel; a channel that could not be read is left out, and is never 0 instead."""

MOST_WATTS = 20_000.0
"""Power in W above which a reading of one device is taken for a wrong unit."""


class Channel(NamedTuple):
    """A quantity that sensors read.

    Attributes:
        unit: Unit of its values; "" for text.
        low, high: Range that values are plausible in.
        title: What it is called in tables and charts.
    """

    unit: str
    low: float
    high: float
    title: str


CHANNELS: Mapping[str, Channel] = {
    "energy_j": Channel("J", 0.0, 1e18, "energy counter"),
    "power_w": Channel("W", 0.0, MOST_WATTS, "power"),
    "utilisation_percent": Channel("%", 0.0, 100.0, "utilisation"),
    "memory_bytes": Channel("B", 0.0, 1e15, "memory in use"),
    "clock_hz": Channel("Hz", 0.0, 2e10, "clock"),
    "memory_clock_hz": Channel("Hz", 0.0, 2e10, "memory clock"),
    "temperature_c": Channel("°C", -50.0, 200.0, "temperature"),
}
"""Channels of numbers, in the order that tables show them."""
THROTTLE = "throttle"
"""Channel of text: what holds the clocks down, "none" if nothing does."""


class SensorDevice(NamedTuple):
    """A device that a sensor watches.

    Attributes:
        id: Name of the sensor and of the device in it, such as "nvidia:0".
        name: Name of the device as its driver reports it.
        whole_card: Whether the figures cover the whole card (True) or a part of it (False); None
            where that is unknown.
        note: What a reader of the figures has to know; "" if nothing.
        power_limit_w: Power limit in W that the device reports; None if it reports none.
    """

    id: str
    name: str
    whole_card: bool | None = None
    note: str = ""
    power_limit_w: float | None = None


class NoSensor(Exception):
    """There is nothing that this sensor could read, which is a normal result.

    Args:
        reason: why not.
        hint: how to get it, best a command; "" where nothing helps.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


class Sensor(Protocol):
    """A source of readings.

    Attributes:
        name: Name in the registry of sensors.
        least_interval_s: Shortest time in seconds between two readings that make sense.
    """

    name: str
    least_interval_s: float

    def devices(self) -> Sequence[SensorDevice]:
        """All devices that can be read.

        Raises:
            NoSensor: there is none, or it may not be read.
        """
        ...

    def read(self, device: SensorDevice) -> Reading:
        """What can be read of a device now."""
        ...

    def close(self) -> None:
        """Give back what the sensor holds."""
        ...


class Cumulative:
    """A counter that only grows, from one that starts again at its end.

    Args:
        span: Value at which the raw counter starts again; None if it never does.
        most_per_s: Largest plausible growth in a second. A step back that would mean more is a
            reset: the sum then steps back as well, which a reader of the trace can see.
    """

    def __init__(self, span: float | None, most_per_s: float = MOST_WATTS) -> None:
        self.span, self.most_per_s = span, most_per_s
        self._before: tuple[float, float] | None = None
        self._wrapped = 0.0

    def add(self, raw: float, now_s: float) -> float:
        """The sum at a raw reading that was taken at `now_s` seconds."""
        if self._before is not None and raw < self._before[0]:
            last, then_s = self._before
            grown = (self.span or 0.0) - last + raw
            is_wrap = self.span is not None and last <= self.span
            if is_wrap and grown <= self.most_per_s * max(now_s - then_s, 1e-3):
                self._wrapped += self.span or 0.0
            else:
                self._wrapped = 0.0
        self._before = raw, now_s
        return self._wrapped + raw


_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*([^\d\s].*)?")


def number(value: object, units: Mapping[str, float] | None = None) -> float | None:
    """The number that a driver's text holds, in base units; None for "N/A" and the like.

    Args:
        value: Text or number of a driver.
        units: Factor of each unit that may follow, in lower case; None to take any unit as 1.
    """
    if isinstance(value, bool) or value is None:
        return None
    found = _NUMBER.fullmatch(str(value))
    if found is None:
        return None
    unit = (found[2] or "").strip().lower()
    if units is None:
        return float(found[1])
    factor = units.get(unit)
    return None if factor is None else float(found[1]) * factor


def first(*readers: Callable[[], object]) -> object:
    """What the first reader returns that does not fail; None if all of them fail."""
    for read in readers:
        try:
            return read()
        except Exception:
            continue
    return None


def checked(device: SensorDevice, reading: Reading) -> tuple[Reading, list[str]]:
    """The plausible part of a reading, and what was left out with its reason."""
    kept: Reading = {}
    refused: list[str] = []
    for name, value in reading.items():
        channel = CHANNELS.get(name)
        if name == THROTTLE:
            kept[name] = str(value)[:200]
        elif channel is None:
            refused.append(f"unknown channel '{name}'")
        elif not isinstance(value, int | float) or not channel.low <= value <= channel.high:
            allowed = f"{channel.low:g} to {channel.high:g} {channel.unit}"
            refused.append(f"{name} {value!s:.40} is outside {allowed}: a wrong unit, or a fault")
        elif name == "power_w" and value > 3 * (device.power_limit_w or MOST_WATTS):
            limit = f"3 times the power limit of {device.power_limit_w:g} W"
            refused.append(f"power_w {value:g} is above {limit}: a wrong unit, or a fault")
        else:
            kept[name] = value
    return kept, refused
