"""What the sensors saw of a device while models ran: energy of each turn, and means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.measure.telemetry import IdlePower, Trace, idle_power, window_energy
from lydite.records import dataclass
from lydite.score.result import Fault

IDLE_S = 3.0
"""Seconds for which the idle device is watched before anything runs."""
IDLE = ("idle", "idle ends")
"""Marks around them."""
_SENSORS = {"cpu": ("powercap", "hwmon", "replay"), "cuda": ("nvidia", "replay")}
_OTHERS = ("amd", "moore_threads", "sophgo", "replay")
_MEANS = ("utilisation_percent", "memory_bytes", "power_w", "clock_hz", "temperature_c")


def power_devices(trace: Trace, device: str) -> list[str]:
    """Ids of the devices of a trace whose energy is that of a backend's device.

    A processor is all of its packages, by the first kind of sensor that has any; an accelerator is
    the first one of its kind.
    """
    for sensor in _SENSORS.get(device, _OTHERS):
        ids = [
            name
            for name, each in trace.devices.items()
            if each.sensor == sensor and each.channels.keys() & {"energy_j", "power_w"}
        ]
        if ids:
            return ids if device == "cpu" else ids[:1]
    return []


def temperature_c(trace: Trace, device: str) -> float | None:
    """Last temperature of a backend's device, in degrees Celsius; None where no sensor has it."""
    names = power_devices(trace, device) or ["cpu:0" if device == "cpu" else ""]
    for name in names:
        if name in trace.devices:
            _, values = trace.devices[name].known("temperature_c")
            if len(values):
                return float(values[-1])
    return None


@dataclass(frozen=True)
class Watch:
    """Traces of a run, several where it was resumed.

    Attributes:
        traces: Traces by file name.
        device: Device of the backend.
    """

    traces: Mapping[str, Trace]
    device: str

    @staticmethod
    def read(folder: Path, device: str) -> Watch:
        """The traces in a folder; one that is damaged is left out."""
        traces: dict[str, Trace] = {}
        for path in sorted(folder.glob("telemetry-*.jsonl")):
            try:
                traces[path.name] = Trace.read(path)
            except InputError:
                continue
        return Watch(traces, device)

    def fill(self, rows: Iterable[dict[str, Any]]) -> None:
        """Give each turn its energy, and each row the means of what was read meanwhile."""
        for row in rows:
            for turn in row["turns"]:
                turn["energy"] = self.energy(turn["begin_ns"], turn["end_ns"])
            row["telemetry"] = self.means(row["turns"])

    def _trace(self, begin_ns: int, end_ns: int) -> Trace | None:
        """The trace that covers a window."""
        for trace in self.traces.values():
            first, last = trace.span_ns()
            if first <= begin_ns and end_ns <= last:
                return trace
        return None

    def energy(self, begin_ns: int, end_ns: int) -> dict[str, Any]:
        """Energy of a window over all power devices; the source "none" where one has none."""
        trace = self._trace(begin_ns, end_ns)
        names = power_devices(trace, self.device) if trace else []
        if trace is None or not names:
            return {"source": "none", "notes": []}
        figures = [
            window_energy(trace, name, begin_ns, end_ns, idle.watts if idle else None)
            for name in names
            for idle in [self.idle(trace, name)]
        ]
        notes = [note for figure in figures for note in figure.notes]
        sources = {figure.source for figure in figures}
        if len(sources) > 1 or None in (figure.joules for figure in figures):
            return {"source": "none", "notes": notes or ["sensors of several kinds"]}
        return {
            "source": figures[0].source,
            "joules": _sum(figure.joules for figure in figures),
            "uncertainty_j": _sum(figure.uncertainty_j for figure in figures),
            "above_idle_j": _sum(figure.above_idle_j for figure in figures),
            "counter_j": _sum(figure.counter_j for figure in figures),
            "polled_j": _sum(figure.polled_j for figure in figures),
            "notes": notes,
        }

    def idle(self, trace: Trace, name: str) -> IdlePower | None:
        """Power of the idle device before the run; None where it was not watched."""
        marks = {mark.name: mark.time_ns for mark in trace.marks}
        if not all(mark in marks for mark in IDLE):
            return None
        return idle_power(trace, name, marks[IDLE[0]], marks[IDLE[1]])

    def means(self, turns: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
        """Mean of each channel over the turns, by device."""
        found: dict[str, dict[str, list[np.ndarray]]] = {}
        for turn in turns:
            trace = self._trace(turn["begin_ns"], turn["end_ns"])
            for name, each in (trace.devices if trace else {}).items():
                for channel in _MEANS:
                    times, values = each.known(channel)
                    inside = (times >= turn["begin_ns"]) & (times <= turn["end_ns"])
                    if inside.any():
                        found.setdefault(name, {}).setdefault(channel, []).append(values[inside])
        return {
            name: {channel: float(np.concatenate(parts).mean()) for channel, parts in kept.items()}
            for name, kept in found.items()
        }

    def summary(self) -> dict[str, Any]:
        """Devices and sensors, idle power, gaps, late samples and faults, for the result."""
        devices: dict[str, Any] = {}
        faults: list[str] = []
        absent: dict[str, str] = {}
        for trace in self.traces.values():
            for name, each in trace.devices.items():
                idle = self.idle(trace, name)
                devices[name] = {
                    "sensor": each.sensor,
                    "name": each.device.name,
                    "whole_card": each.device.whole_card,
                    "note": each.device.note,
                    "idle_w": idle.watts if idle else None,
                    "idle_source": idle.source if idle else "none",
                }
            spans = [*trace.gaps(), *trace.frozen(), *trace.jumps()]
            faults += [f"{s.device}: {s.what} ({s.seconds:.1f} s)" for s in spans[:20]]
            absent |= {each.sensor: each.reason for each in trace.absent}
        return {
            "devices": devices,
            "faults": faults,
            "late_samples": sum(len(trace.late()) for trace in self.traces.values()),
            "absent": absent,
        }


def energy_faults(document: Mapping[str, Any], folder: Path) -> tuple[str, list[Fault]]:
    """Turns whose energy differs from what the telemetry beside a result gives.

    Args:
        document: Result.
        folder: Folder that it lies in.

    Returns:
        What was looked at, and the faults.
    """
    watch = Watch.read(folder, "cpu" if document["environment"].get("kind") == "cpu" else "cuda")
    if not watch.traces:
        return "no telemetry beside the file", []
    faults: list[Fault] = []
    turns = 0
    for row in document["rows"]:
        for number, turn in enumerate(row["turns"]):
            found = watch.energy(turn["begin_ns"], turn["end_ns"])
            turns += found["source"] != "none"
            stated, wanted = turn.get("energy", {}).get("joules"), found.get("joules")
            if stated != wanted and not (stated and wanted and isclose(stated, wanted)):
                where = f"rows of {row['key']}: turn {number + 1}, joules"
                what = "differs from what the telemetry gives"
                faults.append(Fault(where, str(stated), str(wanted), what))
    return f"energy of {turns} turns", faults


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else float(sum(value for value in known if value is not None))
