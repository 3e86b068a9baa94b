"""Energy of processor packages from the kernel's powercap tree (RAPL: Intel, and AMD since Zen 2).

Source: Linux, Documentation/power/powercap/powercap.rst. `energy_uj` counts microjoules and starts
again at `max_energy_range_uj`. A package's figure already holds its subdomains (cores, uncore), so
these are not listed; psys, the whole platform, holds the packages and is a device of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from lydite.measure.telemetry.base import Cumulative, NoSensor, Reading, SensorDevice
from lydite.measure.telemetry.files import text_of, value_of

ROOT = "/sys/class/powercap"
HOW_TO_READ = (
    "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj, until the next boot; or for good, "
    'in /etc/udev/rules.d/70-rapl.rules: SUBSYSTEM=="powercap", ACTION=="add", '
    'RUN+="/bin/chmod a+r /sys%p/energy_uj"'
)


class Powercap:
    """Energy counters of packages.

    Args:
        root: Folder of the powercap tree.
    """

    name = "powercap"
    least_interval_s = 0.0

    def __init__(self, root: str = ROOT) -> None:
        self.root = Path(root)
        self._zones: dict[str, tuple[Path, Cumulative]] = {}

    def devices(self) -> Sequence[SensorDevice]:
        """Packages, and psys where there is one.

        Raises:
            NoSensor: no zone is there, or none may be read.
        """
        zones = sorted(self.root.glob("intel-rapl:[0-9]*"), key=lambda p: (len(p.name), p.name))
        tops = [zone for zone in zones if zone.name.count(":") == 1]
        if not tops:
            raise NoSensor(
                f"no RAPL zone in {self.root} (a virtual machine, or a kernel without intel_rapl)",
                "sudo modprobe intel_rapl_msr, on a machine of one's own",
            )
        readable = [zone for zone in tops if os.access(zone / "energy_uj", os.R_OK)]
        if not readable:
            raise NoSensor("RAPL zones are there, and only root may read them", HOW_TO_READ)
        return [self._device(zone) for zone in readable]

    def _device(self, zone: Path) -> SensorDevice:
        title = text_of(zone / "name") or zone.name
        span = value_of(zone / "max_energy_range_uj", 1e-6)
        identity = f"{self.name}:{zone.name.partition(':')[2]}"
        self._zones[identity] = zone, Cumulative(span)
        is_psys = title.startswith("psys")
        note = (
            "the whole platform; holds the packages, so never add them"
            if is_psys
            else "the processor package; cores are in it, memory mostly is not"
        )
        if span is None:
            note += "; its range is unknown, so a wrap shows as a step back"
        return SensorDevice(
            identity,
            title,
            is_psys,
            note,
            value_of(zone / "constraint_0_power_limit_uw", 1e-6) or None,
        )

    def read(self, device: SensorDevice) -> Reading:
        """Energy since boot, wraps added.

        Raises:
            OSError: the counter cannot be read any more.
        """
        zone, counter = self._zones[device.id]
        raw = value_of(zone / "energy_uj", 1e-6)
        if raw is None:
            raise OSError(f"{zone / 'energy_uj'} holds no number: {text_of(zone / 'energy_uj')!r}")
        return {"energy_j": counter.add(raw, time.monotonic())}

    def close(self) -> None:
        """Nothing to give back."""
