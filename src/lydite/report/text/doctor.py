"""Findings about this machine as text."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from lydite.report.text import WIDTH
from lydite.units import format_bytes, format_si


def report_lines(document: Mapping[str, Any]) -> list[str]:
    """The findings, as lines of at most 100 columns."""
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
    lines += _sensor_lines(document)
    for advice in document["advice"]:
        lines += textwrap.wrap(
            advice, WIDTH, initial_indent="advice       ", subsequent_indent=" " * 13
        )
    missing = [package for package in document["packages"] if not package["installed"]]
    for package in missing:
        lines.append(f"missing      {package['name']:<9} type: {package['hint']}")
    return lines


def _sensor_lines(document: Mapping[str, Any]) -> list[str]:
    """Where energy and power come from, each sensor, and what Zeus says of the counters."""
    rows = document["sensors"]
    reads = [row["name"] for row in rows if {"energy_j", "power_w"} & set(row["channels"])]
    power = ", ".join(reads) or "no sensor can be read; energy stays unknown, never 0"
    lines = [f"power        {power}"]
    for row in rows:
        names = ", ".join(f"{each['id']} ({each['name']})" for each in row["devices"])
        hint = f"; {row['hint']}" if row["hint"] else ""
        lines += _wrapped("sensor", f"{row['name']}: {names or row['reason'] + hint}")
    check = document["energy_check"]
    for each in check["devices"]:
        share = f"{100 * each['difference']:.2g} % from Zeus's {each['zeus_j']:.4g} J"
        lines += _wrapped("check", f"{each['device']}: {each['lydite_j']:.4g} J, {share}")
    if check["status"] == "failed":
        lines += _wrapped("check", f"Zeus failed: {check['reason']}")
    return lines


def _wrapped(label: str, text: str) -> list[str]:
    indent = " " * 13
    first = f"  {label:<11}"
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent)


def _backend_line(backend: Mapping[str, Any]) -> str:
    if not backend["available"]:
        return f"{backend['name']:<12} missing: {backend['reason']}; {backend['hint']}"
    versions = ", ".join(backend["versions"].values())
    if not backend["is_loaded"]:
        return f"{backend['name']:<12} {versions}, {backend['reason']}: {backend['hint']}"
    return f"{backend['name']:<12} {versions} on {', '.join(backend['devices'])}"
