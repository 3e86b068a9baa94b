"""The sampling process: reads sensors at a steady interval and appends lines to a file.

    python -m lydite.measure.telemetry.sampler '{"path": ..., "interval_s": ..., ...}'

It imports little, so that it starts at once. Each sensor has a thread, so that a slow tool delays
no other. It says "ready" on standard output after the first sample of every sensor, takes a last
sample when its standard input closes, and ends when its parent is gone.

Lines of the file, each one JSON object, written whole by one call:

    {"schema": "lydite/telemetry/1", "interval_s": 0.1, "devices": [...], "absent": [...]}
    {"t": 123456789, "d": 0, "v": {"power_w": 71.5, "throttle": "none"}}
    {"t": 123456789, "mark": "start of model"}
    {"note": "..."}

`t` is the machine's monotonic clock in nanoseconds, and `d` counts the devices of the first line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lydite.children import die_with_parent
from lydite.errors import LyditeError
from lydite.measure.telemetry.base import Sensor, SensorDevice, checked
from lydite.measure.telemetry.sensors import Absent, Present, chosen_devices, survey

SCHEMA = "lydite/telemetry/1"
_MOST_NOTES = 100


def main() -> None:
    """Sample until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # drivers' libraries print
    os.dup2(nowhere, 2)
    sampling: Sampling | None = None
    try:
        sampling = _started(json.loads(sys.argv[1]))
        answer: dict[str, Any] = {"ready": True}
    except _UnknownDevice as error:
        answer = {"unknown": error.device, "known": error.known}
    except (LyditeError, OSError) as error:
        answer = {"failed": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
    if sampling is not None:
        sys.stdin.buffer.read()
        sampling.stop()


class _UnknownDevice(Exception):
    def __init__(self, device: str, known: list[str]) -> None:
        super().__init__(device)
        self.device, self.known = device, known


def _started(request: Mapping[str, Any]) -> Sampling:
    """Sampling as asked for, after its first samples."""
    present, absent = survey(request["sensors"])
    try:
        chosen = chosen_devices(present, request["devices"])
    except KeyError as error:
        known = [device.id for each in present for device in each.devices]
        raise _UnknownDevice(error.args[0], known) from None
    file = open_lines(request["path"])
    write_line(file, header(chosen, absent, request["interval_s"]))
    sampling = Sampling(chosen, request["interval_s"], file)
    sampling.start()
    return sampling


def header(
    present: Sequence[Present], absent: Sequence[Absent], interval_s: float
) -> dict[str, Any]:
    """The first line of a trace."""
    devices = [
        {
            **device._asdict(),
            "sensor": each.sensor.name,
            "interval_s": max(interval_s, each.sensor.least_interval_s),
        }
        for each in present
        for device in each.devices
    ]
    missing = [each._asdict() for each in absent]
    return {"schema": SCHEMA, "interval_s": interval_s, "devices": devices, "absent": missing}


def open_lines(path: str) -> int:
    """Descriptor of a file that is appended to.

    Raises:
        OSError: it cannot be written.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def write_line(file: int, record: Mapping[str, Any]) -> None:
    """Append a record in one call, so that lines of several writers do not mix."""
    os.write(file, json.dumps(record, ensure_ascii=False).encode() + b"\n")


class Sampling:
    """Threads that sample, one for each sensor.

    Args:
        present: Sensors with the devices to read.
        interval_s: Time in seconds from one sample to the next.
        file: Descriptor that lines are appended to.
    """

    def __init__(self, present: Sequence[Present], interval_s: float, file: int) -> None:
        self.interval_s, self.file = interval_s, file
        self._stopped = threading.Event()
        self._notes: set[str] = set()
        self._threads: list[tuple[threading.Thread, threading.Event]] = []
        number = 0
        for each in present:
            numbered = list(enumerate(each.devices, number))
            number += len(numbered)
            sampled = threading.Event()
            thread = threading.Thread(
                target=self._run, args=(each.sensor, numbered, sampled.set), daemon=True
            )
            self._threads.append((thread, sampled))

    def start(self) -> None:
        """Start, and wait for the first sample of every sensor."""
        for thread, _ in self._threads:
            thread.start()
        for _, sampled in self._threads:
            sampled.wait()

    def stop(self) -> None:
        """Take a last sample of every sensor, and end."""
        self._stopped.set()
        for thread, _ in self._threads:
            thread.join()

    def _run(
        self,
        sensor: Sensor,
        devices: Sequence[tuple[int, SensorDevice]],
        sampled: Callable[[], None],
    ) -> None:
        interval_s = max(self.interval_s, sensor.least_interval_s)
        due_s = time.monotonic()
        while True:
            is_last = self._stopped.is_set()
            for number, device in devices:
                self._sample(sensor, number, device)
            sampled()
            if is_last:
                sensor.close()
                return
            due_s += interval_s
            late_s = time.monotonic() - due_s
            if late_s > 0:
                due_s += interval_s * (late_s // interval_s + 1)  # what was missed is not made up
            self._stopped.wait(due_s - time.monotonic())

    def _sample(self, sensor: Sensor, number: int, device: SensorDevice) -> None:
        """One line; what fails or is not plausible is left out and noted once."""
        before_ns = time.monotonic_ns()
        try:
            values, refused = checked(device, sensor.read(device))
        except Exception as error:
            return self._note(device, f"{type(error).__name__}: {error}"[:300])
        middle_ns = (before_ns + time.monotonic_ns()) // 2
        for reason in refused:
            self._note(device, reason)
        if values:
            write_line(self.file, {"t": middle_ns, "d": number, "v": values})
        elif not refused:
            self._note(device, "gave no reading at all")
        return None

    def _note(self, device: SensorDevice, text: str) -> None:
        """Write a note, unless one of its kind is there: the same text but for its numbers."""
        kind = device.id + "".join(c for c in text if not c.isdigit())
        if kind not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.add(kind)
            write_line(self.file, {"note": f"{device.id}: {text}"})


if __name__ == "__main__":
    main()
