"""`lydite doctor`: what is here, and what is missing with the command that adds it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from lydite.cli import options


def doctor(
    out: options.Out = None, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """Look at this machine: processor, memory, accelerators, backends, sensors, packages."""
    from lydite.cli.show import deliver

    document = examine()
    if deliver("doctor", document, out, as_json=json):
        return
    for line in report_lines(document):
        if not (quiet and line.startswith("missing")):
            print(line)


def examine() -> dict[str, Any]:
    """All findings, units in the keys."""
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
    """RAPL zones that can be read here."""
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
    "plotly": "report",
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


def report_lines(document: dict[str, Any]) -> list[str]:
    """The findings for people, in lines of at most 100 columns."""
    from lydite.units import format_bytes, format_si

    cpu, state = document["cpu"], document["state"]
    peaks = ", ".join(
        f"{dtype} {format_si(rate, 'OP/s' if 'int' in dtype else 'FLOP/s')}"
        for dtype, rate in cpu["peak_flop_per_s"].items()
    )
    caches = ", ".join(f"L{c['level']} {format_bytes(c['size_bytes'])}" for c in cpu["caches"])
    clock = f", {format_si(cpu['clock_hz'], 'Hz')}" if cpu["clock_hz"] else ""
    sources = defaultdict(lambda: cpu["sources"].get("", "unknown"), cpu["sources"])
    lines = [
        f"CPU          {cpu['title']}: {cpu['units']} cores{clock}",
        f"  name       {cpu['name']}",
        *_wrapped("ISA", " ".join(cpu["isa"]) or "unknown"),
        f"  caches     {caches or 'unknown'}",
        *_wrapped("peaks", f"{peaks} ({sources['peak_flops']})"),
        *_wrapped(
            "memory",
            f"{format_bytes(cpu['memory_bytes'])}, "
            f"{format_si(cpu['memory_bandwidth_byte_per_s'], 'B/s')} "
            f"({sources['memory_bandwidth']})",
        ),
        f"  now        load {state['load_average_1min']}, "
        f"{format_bytes(state['memory_available_bytes'])} free",
    ]
    for board in document["accelerators"]:
        lines.append(f"accelerator  {board['title']} ({board['name']}), driver {board['driver']}")
    if not document["accelerators"]:
        lines.append("accelerator  none visible (nvidia-smi and rocm-smi list none)")
    for backend in document["backends"]:
        lines.append(f"backend      {_backend_line(backend)}")
    zones = [zone for zone in document["power_sensors"] if zone["readable"]]
    if zones:
        lines.append(f"power        RAPL: {', '.join(zone['name'] for zone in zones)}")
    else:
        lines.append("power        no sensor can be read; energy stays unknown, never 0")
    missing = [package for package in document["packages"] if not package["installed"]]
    for package in missing:
        lines.append(f"missing      {package['name']:<9} type: {package['hint']}")
    return lines


def _wrapped(label: str, text: str) -> list[str]:
    import textwrap

    from lydite.cli.show import WIDTH

    indent = " " * 13
    first = f"  {label:<11}"
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent)


def _backend_line(backend: dict[str, Any]) -> str:
    if not backend["available"]:
        return f"{backend['name']:<12} missing: {backend['reason']}; {backend['hint']}"
    versions = ", ".join(backend["versions"].values())
    return f"{backend['name']:<12} {versions} on {', '.join(backend['devices'])}"
