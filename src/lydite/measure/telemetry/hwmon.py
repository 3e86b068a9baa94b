"""Power and energy from the kernel's hardware monitors (amdgpu, amd_energy, ina3221, ...).

Source: Linux, Documentation/hwmon/sysfs-interface.rst: `power*_input` and `power*_average` are in
microwatts, `energy*_input` in microjoules, `temp*_input` in thousandths of a degree, `freq*_input`
in Hz.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from lydite.measure.telemetry.base import Cumulative, NoSensor, Reading, SensorDevice
from lydite.measure.telemetry.files import text_of, value_of

ROOT = "/sys/class/hwmon"


class Hwmon:
    """The first power and energy channel of every monitor that has one.

    Args:
        root: Folder of the monitors.
    """

    name = "hwmon"
    least_interval_s = 0.0

    def __init__(self, root: str = ROOT) -> None:
        self.root = Path(root)
        self._monitors: dict[str, tuple[Path, Cumulative]] = {}

    def devices(self) -> Sequence[SensorDevice]:
        """Monitors with power or energy.

        Raises:
            NoSensor: there is none.
        """
        made = [
            self._device(folder)
            for folder in sorted(self.root.glob("hwmon*"), key=lambda p: (len(p.name), p.name))
            if _power(folder) is not None or _energy(folder) is not None
        ]
        if not made:
            raise NoSensor(f"no monitor in {self.root} has a power or energy channel to read")
        return made

    def _device(self, folder: Path) -> SensorDevice:
        identity = f"{self.name}:{folder.name.removeprefix('hwmon')}"
        self._monitors[identity] = folder, Cumulative(None)
        label = text_of(folder / "power1_label") or text_of(folder / "energy1_label") or ""
        name = text_of(folder / "name") or folder.name
        limits = (value_of(folder / f"power1_{kind}", 1e-6) for kind in ("cap", "max"))
        note = "what the driver calls power1 or energy1; another sensor may read the same chip"
        return SensorDevice(
            identity, f"{name} {label}".strip(), None, note, next((x for x in limits if x), None)
        )

    def read(self, device: SensorDevice) -> Reading:
        """Energy, power, temperature and clock, as far as they are there."""
        folder, counter = self._monitors[device.id]
        energy = _energy(folder)
        values = {
            "energy_j": None if energy is None else counter.add(energy, time.monotonic()),
            "power_w": _power(folder),
            "temperature_c": value_of(folder / "temp1_input", 1e-3),
            "clock_hz": value_of(folder / "freq1_input"),
        }
        return {name: value for name, value in values.items() if value is not None}

    def close(self) -> None:
        """Nothing to give back."""


def _power(folder: Path) -> float | None:
    """Watts now, or the driver's average where it gives no other."""
    now = value_of(folder / "power1_input", 1e-6)
    return now if now is not None else value_of(folder / "power1_average", 1e-6)


def _energy(folder: Path) -> float | None:
    return value_of(folder / "energy1_input", 1e-6)
