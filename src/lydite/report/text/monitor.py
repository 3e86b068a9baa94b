"""Telemetry of a command as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from lydite.report.text import WIDTH, table
from lydite.units import format_bytes, format_seconds, format_si

_COLUMNS = ("device", "use", "power", "peak", "energy", "<source", "memory", "hottest", "clock")


def monitor_text(document: Mapping[str, Any]) -> str:
    """What ran, a line for each device, and what has to be known of them."""
    lines = [_head(document)]
    devices = document["devices"]
    if devices:
        lines += ["", table("", _COLUMNS, [_row(each) for each in devices]), ""]
    for each in devices:
        lines += _wrapped(each["id"], each["name"] + (f"; {each['note']}" if each["note"] else ""))
        limits = {text: share for text, share in each["throttled"].items() if text != "none"}
        for text, share in limits.items():
            lines += _wrapped("", f"clocks held down in {100 * share:.3g} % of samples: {text}")
        if each["late"] or each["gaps"]:
            lines += _wrapped("", f"{each['late']} late samples, {each['gaps']} gaps")
        if each["energy"]["above_idle_j"] is not None:
            lines += _wrapped("", _above_idle(each["energy"]))
        for note in each["energy"]["notes"]:
            lines += _wrapped("", note)
    lines += [line for note in document["notes"] for line in _wrapped("fault", note)]
    if not any(each["energy"]["joules"] is not None for each in devices):
        lines += _wrapped("no sensor", "of energy or power can be read, so energy is unknown")
    for each in document["absent"]:
        hint = f"; {each['hint']}" if each["hint"] else ""
        lines += _wrapped("absent", f"{each['sensor']}: {each['reason']}{hint}")
    lines += [f"written      {path}" for path in document["files"]]
    return "\n".join(lines)


def _head(document: Mapping[str, Any]) -> str:
    what = " ".join(document["command"]) or "this machine"
    code = document["exit_code"]
    ended = "" if code is None else f", exit code {code}"
    stopped = ", interrupted" if document["interrupted"] else ""
    took, every = (format_seconds(document[name]) for name in ("duration_s", "interval_s"))
    return f"{what}: {took}, sampled every {every}{ended}{stopped}"


def _row(each: Mapping[str, Any]) -> list[str]:
    channels, energy = each["channels"], each["energy"]
    power, joules = channels.get("power_w"), energy["joules"]
    return [
        each["id"],
        _of(channels, "utilisation_percent", "mean", "{:.0f} %"),
        "-" if energy["mean_w"] is None else f"{energy['mean_w']:.1f} W",
        "-" if power is None else f"{power['maximum']:.1f} W",
        "-" if joules is None else format_si(joules, "J"),
        energy["source"],
        "-" if "memory_bytes" not in channels else format_bytes(channels["memory_bytes"]["mean"]),
        _of(channels, "temperature_c", "maximum", "{:.0f} °C"),
        "-" if "clock_hz" not in channels else format_si(channels["clock_hz"]["mean"], "Hz"),
    ]


def _of(channels: Mapping[str, Any], name: str, figure: str, form: str) -> str:
    return form.format(channels[name][figure]) if name in channels else "-"


def _above_idle(energy: Mapping[str, Any]) -> str:
    above = format_si(energy["above_idle_j"], "J")
    return f"{above} above the {energy['idle_w']:.1f} W of the resting device"


def _wrapped(label: str, text: str) -> list[str]:
    first = f"{label:<12} "
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * 13, break_long_words=False
    )
