"""The registry of sensors, and which of them there are on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lydite.measure.telemetry.base import NoSensor, Sensor, SensorDevice
from lydite.registry import Registry

SENSORS: Registry[Any] = Registry(
    "lydite.sensors",
    "sensor",
    {
        "nvidia": "lydite.measure.telemetry.nvidia:Nvidia",
        "amd": "lydite.measure.telemetry.amd:Amd",
        "moore_threads": "lydite.measure.telemetry.moore_threads:MooreThreads",
        "sophgo": "lydite.measure.telemetry.sophgo:Sophgo",
        "powercap": "lydite.measure.telemetry.powercap:Powercap",
        "hwmon": "lydite.measure.telemetry.hwmon:Hwmon",
        "cpu": "lydite.measure.telemetry.cpu:Cpu",
        "null": "lydite.measure.telemetry.null:Null",
        "replay": "lydite.measure.telemetry.replay:Replay",
    },
)
"""Sensors by name, each a class whose options are keyword arguments of text."""
OWN = ("amd", "cpu", "hwmon", "moore_threads", "nvidia", "powercap", "sophgo")
"""Sensors of ours that watch this machine."""
_ON_REQUEST = ("null", "replay")
Options = Mapping[str, Mapping[str, str]]
"""Options by sensor, such as {"powercap": {"root": "a/copied/tree"}}."""


class Absent(NamedTuple):
    """A sensor that cannot be read here: its name, why, and how to get it ("" if nothing helps)."""

    sensor: str
    reason: str
    hint: str


class Present(NamedTuple):
    """A sensor with the devices that it reads."""

    sensor: Sensor
    devices: tuple[SensorDevice, ...]


def wanted_sensors(sensors: Sequence[str] | Options | None) -> dict[str, dict[str, str]]:
    """Options of each wanted sensor; None for all that watch this machine.

    Raises:
        InputError: there is no such sensor.
    """
    if sensors is None:
        names = SENSORS.names() if _has_others() else OWN
        return {name: {} for name in names if name not in _ON_REQUEST}
    named = sensors if isinstance(sensors, Mapping) else {name: {} for name in sensors}
    for name in named:
        SENSORS.find(name)
    return {name: dict(options) for name, options in named.items()}


def _has_others() -> bool:
    """Whether an installed package adds sensors.

    Asking `importlib.metadata` would take half of the time in which all sensors have to be up, and
    there is hardly ever one. A package in an archive has to be asked for by the sensor's name.
    """
    wanted = SENSORS.group.encode()
    folders = (Path(entry) for entry in dict.fromkeys(sys.path) if entry)
    texts = (text for folder in folders for text in folder.glob("*.*-info/entry_points.txt"))
    return any(wanted in text.read_bytes() for text in texts if text.is_file())


def survey(wanted: Options) -> tuple[list[Present], list[Absent]]:
    """Open the wanted sensors: those that can be read, and those that cannot with the reason.

    A driver's library may fail in any way; whatever it raises is the reason.
    """
    present: list[Present] = []
    absent: list[Absent] = []
    for name, options in wanted.items():
        try:
            sensor = SENSORS.find(name)(**options)
            devices = tuple(sensor.devices())
            if not devices:
                raise NoSensor("it lists no device")
            present.append(Present(sensor, devices))
        except NoSensor as error:
            absent.append(Absent(name, error.reason, error.hint))
        except Exception as error:
            told = f"{type(error).__name__}: {error}"[:300]
            absent.append(Absent(name, f"its library failed ({told})", ""))
    return present, absent


def chosen_devices(present: Sequence[Present], devices: Sequence[str]) -> list[Present]:
    """The devices that are named by their ids, or by their sensors' names; all if none is named.

    Raises:
        KeyError: none is called so.
    """
    if not devices:
        return list(present)
    for name in devices:
        if not any(_matches(name, device.id) for p in present for device in p.devices):
            raise KeyError(name)
    kept = [
        Present(p.sensor, tuple(d for d in p.devices if any(_matches(n, d.id) for n in devices)))
        for p in present
    ]
    return [p for p in kept if p.devices]


def _matches(name: str, identity: str) -> bool:
    return name == identity or identity.startswith(f"{name}:")
