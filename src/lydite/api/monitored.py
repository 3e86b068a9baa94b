"""What `monitor` tells of a trace: energy and channels of each device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from lydite.measure.telemetry import DeviceTrace, Trace

START, END = "start", "end"
"""Marks around what was watched."""


class MonitoredEnergy(TypedDict):
    """Energy of a device; `source` is counter, polled or none, and without one nothing is 0."""

    joules: float | None
    source: str
    uncertainty_j: float | None
    mean_w: float | None
    idle_w: float | None
    above_idle_j: float | None
    counter_j: float | None
    polled_j: float | None
    notes: list[str]


class ChannelSummary(TypedDict):
    """Readings of a channel, in the unit of its name."""

    samples: int
    mean: float
    minimum: float
    maximum: float


class MonitoredDevice(TypedDict):
    """What was read of a device; channels that were not read are left out."""

    id: str
    name: str
    sensor: str
    whole_card: bool | None
    note: str
    power_limit_w: float | None
    samples: int
    late: int
    gaps: int
    energy: MonitoredEnergy
    channels: dict[str, ChannelSummary]
    throttled: dict[str, float]


class AbsentSensor(TypedDict):
    """A sensor that cannot be read here."""

    sensor: str
    reason: str
    hint: str


class MonitorDocument(TypedDict):
    """Telemetry of a command, or of a stretch of time."""

    command: list[str]
    exit_code: int | None
    interrupted: bool
    duration_s: float
    interval_s: float
    devices: list[MonitoredDevice]
    absent: list[AbsentSensor]
    notes: list[str]
    files: list[str]


def monitored_devices(trace: Trace, idle: bool) -> list[MonitoredDevice]:
    """Figures of every device between the marks "start" and "end".

    Args:
        trace: Recorded samples.
        idle: Whether the time before "start" shows the resting devices.
    """
    start_ns, end_ns = trace.mark_ns(START), trace.mark_ns(END)
    late = [span.device for span in trace.late()]
    gaps = [span.device for span in trace.gaps()]
    return [
        {
            "id": name,
            "name": each.device.name,
            "sensor": each.sensor,
            "whole_card": each.device.whole_card,
            "note": each.device.note,
            "power_limit_w": each.device.power_limit_w,
            "samples": len(each.time_ns),
            "late": late.count(name),
            "gaps": gaps.count(name),
            "energy": _energy(trace, name, start_ns, end_ns, idle),
            "channels": _channels(each, start_ns, end_ns),
            "throttled": _throttled(each),
        }
        for name, each in trace.devices.items()
    ]


def faults(trace: Trace) -> list[str]:
    """What went wrong while sampling, and what looks wrong in the samples."""
    suspects = [*trace.frozen(), *trace.jumps()]
    return [*trace.notes, *(f"{span.device}: {span.what}" for span in suspects)]


def _energy(trace: Trace, device: str, start_ns: int, end_ns: int, idle: bool) -> MonitoredEnergy:
    from lydite.measure.telemetry import idle_power, window_energy

    rest = idle_power(trace, device, 0, start_ns) if idle else None
    idle_w = rest.watts if rest else None
    figure = window_energy(trace, device, start_ns, max(end_ns, start_ns + 1), idle_w)
    return {
        "joules": figure.joules,
        "source": figure.source,
        "uncertainty_j": figure.uncertainty_j,
        "mean_w": figure.watts,
        "idle_w": idle_w,
        "above_idle_j": figure.above_idle_j,
        "counter_j": figure.counter_j,
        "polled_j": figure.polled_j,
        "notes": list(figure.notes),
    }


def _channels(each: DeviceTrace, start_ns: int, end_ns: int) -> dict[str, ChannelSummary]:
    """Channels but the energy counter; power of a counter where there is no polled one.

    Of a time so short that no sample lies in it, the samples around it are told.
    """
    read = {name: each.known(name) for name in each.channels if name != "energy_j"}
    if "power_w" not in read:
        times, watts, _ = each.power()
        read["power_w"] = times, watts
    told: dict[str, ChannelSummary] = {}
    for name, (times, values) in read.items():
        inside = values[(times >= start_ns) & (times <= end_ns)]
        inside = inside if len(inside) else values
        if len(inside):
            told[name] = {
                "samples": len(inside),
                "mean": float(np.mean(inside)),
                "minimum": float(np.min(inside)),
                "maximum": float(np.max(inside)),
            }
    return told


def _throttled(each: DeviceTrace) -> dict[str, float]:
    """Share of the samples by what held the clocks down."""
    known: Sequence[str] = [text for text in each.throttle if text]
    return {text: known.count(text) / len(known) for text in dict.fromkeys(known)}
