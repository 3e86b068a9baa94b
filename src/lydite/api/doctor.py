"""`doctor`: inspect this machine, and name missing packages with the commands that install them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

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
    packages: list[dict[str, Any]]


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


def doctor(session: Session) -> DoctorResult:
    """Inspect this machine: processor, memory, accelerators, backends, sensors, packages."""
    del session
    return DoctorResult(examine())


def examine() -> DoctorDocument:
    """All findings, with units in the keys."""
    import psutil

    from lydite.hardware import local_device
    from lydite.hardware.accelerators import accelerators
    from lydite.measure.environment import machine_state, platform_versions

    device = local_device()
    return {
        "cpu": device.to_json(),
        "logical_cpus": psutil.cpu_count(),
        "platform": platform_versions(),
        "state": machine_state(),
        "accelerators": [
            {"name": a.name, "title": a.title, "memory_bytes": a.memory_bytes, "driver": a.driver}
            for a in accelerators()
        ],
        "backends": _backends(),
        "power_sensors": _power_sensors(),
        "packages": _packages(),
    }


def _backends() -> list[dict[str, Any]]:
    from lydite.backends import backend_names, find_backend
    from lydite.errors import LyditeError

    found: list[dict[str, Any]] = []
    for name in backend_names():
        try:
            capabilities = find_backend(name).capabilities()
        except LyditeError as error:
            found.append(
                {"name": name, "available": False, "reason": error.what, "hint": error.hint}
            )
            continue
        found.append(
            {
                "name": name,
                "available": capabilities.available,
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
    from pathlib import Path

    zones = sorted(Path("/sys/class/powercap").glob("intel-rapl:*"))
    return [
        {
            "name": (zone / "name").read_text().strip(),
            "readable": os.access(zone / "energy_uj", os.R_OK),
        }
        for zone in zones
        if (zone / "name").exists()
    ]


_EXTRAS = {
    "perfetto": "report",
    "pyarrow": "parquet",
    "psycopg": "postgres",
    "torch": "torch",
    "pynvml": "nvidia",
}


def _packages() -> list[dict[str, Any]]:
    from importlib.util import find_spec

    return [
        {
            "name": name,
            "installed": find_spec(name) is not None,
            "hint": "" if find_spec(name) else f"pip install 'lydite[{extra}]'",
        }
        for name, extra in _EXTRAS.items()
    ]
