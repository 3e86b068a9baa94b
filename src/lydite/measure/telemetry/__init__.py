"""Telemetry: power, energy, use and clocks of devices, sampled in a process of its own.

    with recording("trace.jsonl") as record:
        record.mark("start")
        run()
        record.mark("end")
    trace = record.trace()
    window_energy(trace, "nvidia:0", trace.mark_ns("start"), trace.mark_ns("end"))

Names are imported on first use, so that the sampling process starts without numpy.
"""

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.measure.telemetry.base import CHANNELS, NoSensor, Sensor, SensorDevice
    from lydite.measure.telemetry.client import Recording, recording
    from lydite.measure.telemetry.energy import (
        EnergyFigure,
        IdlePower,
        idle_power,
        modelled_energy,
        modelled_power,
        window_energy,
    )
    from lydite.measure.telemetry.samples import DeviceTrace, Mark
    from lydite.measure.telemetry.sensors import SENSORS, Absent, survey, wanted_sensors
    from lydite.measure.telemetry.trace import Span, Trace

__all__ = [
    "CHANNELS",
    "SENSORS",
    "Absent",
    "DeviceTrace",
    "EnergyFigure",
    "IdlePower",
    "Mark",
    "NoSensor",
    "Recording",
    "Sensor",
    "SensorDevice",
    "Span",
    "Trace",
    "idle_power",
    "modelled_energy",
    "modelled_power",
    "recording",
    "survey",
    "wanted_sensors",
    "window_energy",
]

_WHERE = {
    **dict.fromkeys(("CHANNELS", "NoSensor", "Sensor", "SensorDevice"), "base"),
    **dict.fromkeys(("EnergyFigure", "IdlePower", "idle_power"), "energy"),
    **dict.fromkeys(("modelled_energy", "modelled_power", "window_energy"), "energy"),
    **dict.fromkeys(("Recording", "recording"), "client"),
    **dict.fromkeys(("SENSORS", "Absent", "survey", "wanted_sensors"), "sensors"),
    **dict.fromkeys(("DeviceTrace", "Mark"), "samples"),
    **dict.fromkeys(("Span", "Trace"), "trace"),
}

__getattr__ = lazily(__name__, _WHERE)
