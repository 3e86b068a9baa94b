"""A recorded trace as a sensor: the same figures again, at the pace at which they were taken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lydite.errors import InputError
from lydite.measure.telemetry.base import NoSensor, Reading, SensorDevice

if TYPE_CHECKING:
    from lydite.measure.telemetry.samples import DeviceTrace


class Replay:
    """Devices of a trace.

    Args:
        path: File of the trace.
    """

    name = "replay"
    least_interval_s = 0.0

    def __init__(self, path: str = "") -> None:
        self.path = path
        self._devices: dict[str, DeviceTrace] = {}
        self._start_ns: int | None = None

    def devices(self) -> Sequence[SensorDevice]:
        """The devices of the trace, under their own ids.

        Raises:
            NoSensor: there is no trace, or it cannot be read.
        """
        from lydite.measure.telemetry.trace import Trace

        if not self.path:
            raise NoSensor("no trace is named", 'the option "path" names one')
        try:
            self._devices = dict(Trace.read(self.path).devices)
        except InputError as error:
            raise NoSensor(str(error)) from None
        return [
            each.device._replace(note=f"replayed from a recording; {each.device.note}".rstrip("; "))
            for each in self._devices.values()
        ]

    def read(self, device: SensorDevice) -> Reading:
        """The last sample that was due; nothing after the end of the trace."""
        recorded = self._devices[device.id]
        now_ns = time.monotonic_ns()
        if self._start_ns is None:
            self._start_ns = now_ns
        start_ns = min(int(each.time_ns[0]) for each in self._devices.values() if len(each.time_ns))
        due_ns = start_ns + now_ns - self._start_ns
        at = int(recorded.time_ns.searchsorted(due_ns, side="right")) - 1
        if at < 0 or due_ns > int(recorded.time_ns[-1]) + 2e9 * recorded.interval_s:
            return {}
        return recorded.reading(at)

    def close(self) -> None:
        """Nothing to give back."""
