"""`doctor`: inspect this machine, and name missing packages with the commands that install them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import util
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path
from typing_extensions import TypedDict

from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class DoctorDocument(TypedDict):
    """All findings."""

    cpu: dict[str, Any]
    logical_cpus: int | None
    platform: dict[str, str]
    state: dict[str, Any]
    accelerators: list[dict[str, Any]]
    backends: list[dict[str, Any]]
    power_sensors: list[dict[str, Any]]
    sensors: list[dict[str, Any]]
    energy_check: dict[str, Any]
    packages: list[dict[str, Any]]
    advice: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class DoctorResult(Result):
    """State of this machine.

    Attributes:
        findings: The document.
    """

    verb = "doctor"

    findings: DoctorDocument

    def document(self) -> DoctorDocument:
        """All findings."""
        return self.findings

    def summary(self, *, missing: bool = True) -> str:
        """The findings, and with `missing` also the packages that are not installed."""
        from lydite.report.text.doctor import report_lines

        lines = report_lines(self.findings)
        return "\n".join(line for line in lines if missing or not line.startswith("missing"))

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per backend."""
        return self.findings["backends"]


def doctor(session: Session, *, load: bool = False) -> DoctorResult:
    """Inspect this machine: processor, memory, accelerators, backends, sensors, packages.

    Args:
        session: Unused; verbs belong to sessions.
        load: Whether to load PyTorch even where no accelerator is visible, which takes seconds;
            otherwise only its installed version is read.
    """
    del session
    return DoctorResult(examine(load=load))


def examine(*, load: bool = True) -> DoctorDocument:
    """All findings, with units in the keys."""
    import psutil

    from lydite.hardware import local_device
    from lydite.hardware.accelerators import accelerators
    from lydite.measure.environment import machine_state, platform_versions

    device, boards = local_device(), accelerators()
    return {
        "cpu": device.to_json(),
        "logical_cpus": psutil.cpu_count(),
        "platform": platform_versions(),
        "state": machine_state(),
        "accelerators": [
            {"name": a.name, "title": a.title, "memory_bytes": a.memory_bytes, "driver": a.driver}
            for a in boards
        ],
        "backends": _backends(load=load or bool(boards)),
        "power_sensors": _power_sensors(),
        "sensors": _sensors(),
        "energy_check": _energy_check(),
        "packages": _packages(),
        "advice": [
            *_system_advice(),
            *(["lock the clocks: nvidia-smi -lgc MIN,MAX"] if boards else []),
        ],
    }


_LOADS_SLOWLY = {"torch": "torch"}
"""Backends that take seconds to load, and their packages."""


def _backends(*, load: bool) -> list[dict[str, Any]]:
    from lydite.backends import backend_names, find_backend
    from lydite.errors import LyditeError

    found: list[dict[str, Any]] = []
    for name in backend_names():
        package = _LOADS_SLOWLY.get(name, "")
        if package and not load and package not in sys.modules and util.find_spec(package):
            found.append(
                {
                    "name": name,
                    "available": True,
                    "is_loaded": False,
                    "versions": {package: version(package)},
                    "devices": [],
                    "dtypes": [],
                    "reason": "installed, not loaded",
                    "hint": "lydite doctor --load",
                }
            )
            continue
        try:
            capabilities = find_backend(name).capabilities()
        except LyditeError as error:
            found.append(
                {
                    "name": name,
                    "available": False,
                    "is_loaded": False,
                    "reason": error.what,
                    "hint": error.hint,
                }
            )
            continue
        found.append(
            {
                "name": name,
                "available": capabilities.available,
                "is_loaded": True,
                "versions": dict(capabilities.versions),
                "devices": list(capabilities.devices),
                "dtypes": list(capabilities.dtypes),
                "reason": capabilities.reason,
                "hint": capabilities.hint,
            }
        )
    return found


def _power_sensors() -> list[dict[str, Any]]:
    """RAPL zones that can be read on this machine."""
    import os

    zones = sorted(Path("/sys/class/powercap").glob("intel-rapl:*"))
    return [
        {
            "name": (zone / "name").read_text().strip(),
            "readable": os.access(zone / "energy_uj", os.R_OK),
        }
        for zone in zones
        if (zone / "name").exists()
    ]


def _sensors() -> list[dict[str, Any]]:
    """Each sensor of telemetry: the devices that it reads, or why it cannot and what helps."""
    from lydite.measure.telemetry import survey, wanted_sensors

    present, absent = survey(wanted_sensors(None))
    found = [
        {
            "name": each.sensor.name,
            "devices": [device._asdict() for device in each.devices],
            "channels": sorted(
                {name for device in each.devices for name in _channels(each.sensor, device)}
            ),
            "reason": "",
            "hint": "",
        }
        for each in present
    ]
    for each in present:
        each.sensor.close()
    missing = [
        {
            "name": each.sensor,
            "devices": [],
            "channels": [],
            "reason": each.reason,
            "hint": each.hint,
        }
        for each in absent
    ]
    return sorted([*found, *missing], key=lambda row: row["name"])


def _channels(sensor: Any, device: Any) -> list[str]:
    """Channels that can be read of a device now."""
    from lydite.measure.telemetry.base import checked

    try:
        return list(checked(device, sensor.read(device))[0])
    except Exception:  # of a driver's library; the sampler notes it
        return []


def _energy_check() -> dict[str, Any]:
    """Our energy counters against Zeus's, where that is installed."""
    from lydite.measure.telemetry.cross_check import zeus_check

    return zeus_check()


_LEAST_FREE_BYTES = 10 << 30
"""Free space below which engines and prepared data sets may not fit."""
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def _system_advice() -> list[str]:
    """What makes timings steadier or runs possible, as far as it is not so already."""
    advice: list[str] = []
    governor = _read(_GOVERNOR)
    if governor and governor != "performance":
        advice.append(f"the clock governor is '{governor}': cpupower frequency-set -g performance")
    pages = _read(_HUGE_PAGES)
    if pages and "[always]" not in pages:
        advice.append(
            "transparent huge pages are not 'always', which helps throughput under load: "
            "echo always > /sys/kernel/mm/transparent_hugepage/enabled"
        )
    folder = user_cache_path("lydite")
    existing = next(p for p in (folder, *folder.parents) if p.is_dir())
    free = shutil.disk_usage(existing).free
    if free < _LEAST_FREE_BYTES:
        advice.append(f"{free / 2**30:.1f} GiB are free in {existing}, where engines are kept")
    return advice


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


_EXTRAS = {
    "mlperf_loadgen": "mlperf",
    "perfetto": "report",
    "pyarrow": "parquet",
    "psycopg": "postgres",
    "torch": "torch",
    "pynvml": "nvidia",
}


def _packages() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "installed": util.find_spec(name) is not None,
            "hint": "" if util.find_spec(name) else f"pip install 'lydite[{extra}]'",
        }
        for name, extra in _EXTRAS.items()
    ]
