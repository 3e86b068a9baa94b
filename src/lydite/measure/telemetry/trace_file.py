"""Files of traces, read strictly: JSON Lines, and CSV with its first line as a comment."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, shortened
from lydite.files import refuse_special, replacing
from lydite.measure.telemetry.base import CHANNELS, THROTTLE, SensorDevice
from lydite.measure.telemetry.sampler import SCHEMA
from lydite.measure.telemetry.samples import DeviceTrace, Mark, Recorded
from lydite.measure.telemetry.sensors import Absent

MOST_BYTES = 2 << 30
MOST_DEVICES = 4096
_MOST_TEXT = 1000
_MOST_NS = 1 << 62
_FIXED = ("time_ns", "device", "mark")
_DEVICE = {"id", "name", "whole_card", "note", "power_limit_w", "sensor", "interval_s"}


class _Builder:
    """Collects records into a trace; every method raises ValueError with what is wrong."""

    def __init__(self, header: Any) -> None:
        if not isinstance(header, dict) or header.get("schema") != SCHEMA:
            raise ValueError(f"is not a header of the form {SCHEMA}")
        _keys(header, {"schema", "interval_s", "devices", "absent"})
        self.interval_s = _positive(header["interval_s"], "interval_s")
        devices = _list(header["devices"], "devices")
        if len(devices) > MOST_DEVICES:
            raise ValueError(f"{len(devices)} devices, and at most {MOST_DEVICES} are allowed")
        self.devices = [_device(each) for each in devices]
        self.numbers = {each[0].id: number for number, each in enumerate(self.devices)}
        if len(self.numbers) < len(self.devices):
            raise ValueError("two devices have one id")
        self.absent = [_absent(each) for each in _list(header["absent"], "absent")]
        self.times: list[list[int]] = [[] for _ in self.devices]
        self.values: list[list[Mapping[str, Any]]] = [[] for _ in self.devices]
        self.marks: list[Mark] = []
        self.notes: list[str] = []

    def add(self, record: Any) -> None:
        """A record after the header."""
        if not isinstance(record, dict):
            raise ValueError("is not an object")
        if "note" in record:
            _keys(record, {"note"})
            self.notes.append(_text(record["note"], "note"))
        elif "mark" in record:
            _keys(record, {"t", "mark"})
            self.marks.append(Mark(_text(record["mark"], "mark"), _time(record["t"])))
        else:
            _keys(record, {"t", "d", "v"})
            self.sample(record["d"], _time(record["t"]), record["v"])

    def sample(self, number: Any, time_ns: int, values: Any) -> None:
        """A sample of a device."""
        if type(number) is not int or not 0 <= number < len(self.devices):
            raise ValueError(f"device {shortened(str(number), 40)} is not in the header")
        if not isinstance(values, dict):
            raise ValueError("the values are not an object")
        times = self.times[number]
        if times and time_ns < times[-1]:
            raise ValueError(f"time goes back from {times[-1]} to {time_ns} ns")
        for name, value in values.items():
            if name == THROTTLE:
                _text(value, name)
            elif name not in CHANNELS:
                raise ValueError(f"unknown channel '{shortened(name, 40)}'")
            elif type(value) not in (int, float) or not math.isfinite(value):
                raise ValueError(f"{name} is {shortened(str(value), 40)}, not a finite number")
        times.append(time_ns)
        self.values[number].append(values)

    def trace(self) -> Recorded:
        """The trace of all records."""
        made = [self._device(number) for number in range(len(self.devices))]
        marks = sorted(self.marks, key=lambda mark: mark.time_ns)
        by_id = {each.device.id: each for each in made}
        return Recorded(self.interval_s, by_id, tuple(marks), tuple(self.notes), tuple(self.absent))

    def _device(self, number: int) -> DeviceTrace:
        device, sensor, interval_s = self.devices[number]
        samples = self.values[number]
        read = {name for sample in samples for name in sample}
        columns = {
            name: np.array([sample.get(name, math.nan) for sample in samples], float)
            for name in CHANNELS
            if name in read
        }
        throttle = tuple(s.get(THROTTLE, "") for s in samples) if THROTTLE in read else ()
        times = np.array(self.times[number], np.int64)
        return DeviceTrace(device, sensor, interval_s, times, columns, throttle)


def read_recorded(path: Path) -> Recorded:
    """See `Trace.read`."""
    refuse_special(path)
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES >> 30} GiB", where=str(path))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _of_csv(file, path) if path.suffix == ".csv" else _of_lines(file, path)
    except UnicodeDecodeError:
        raise InputError("is not text in UTF-8", where=str(path)) from None


def _of_lines(file: Any, path: Path) -> Recorded:
    builder: _Builder | None = None
    for number, line in enumerate(file, 1):
        try:
            if not line.endswith("\n") and builder is not None:
                builder.notes.append("the last line is cut off, and was left out")
                break
            record = json.loads(line, parse_constant=_not_json)
            if builder is None:
                builder = _Builder(record)
            else:
                builder.add(record)
        except (ValueError, RecursionError) as error:
            raise _refused(path, number, error) from None
    if builder is None:
        raise InputError("is empty", where=str(path), allowed=f"a trace of the form {SCHEMA}")
    return builder.trace()


def _of_csv(file: Any, path: Path) -> Recorded:
    try:
        comment = file.readline()
        if not comment.startswith("# "):
            raise ValueError("does not start with a comment that describes the devices")
        header = json.loads(comment[2:], parse_constant=_not_json)
        notes = header.pop("notes", []) if isinstance(header, dict) else []
        builder = _Builder(header)
        builder.notes += [_text(note, "notes") for note in _list(notes, "notes")]
    except (ValueError, RecursionError) as error:
        raise _refused(path, 1, error) from None
    rows = csv.DictReader(file, strict=True)
    try:
        allowed = {*_FIXED, *CHANNELS, THROTTLE}
        strange = set(rows.fieldnames or ()) - allowed
        missing = set(_FIXED) - set(rows.fieldnames or ())
        if strange or missing:
            raise ValueError(f"columns: {sorted(strange)} are unknown, {sorted(missing)} missing")
        for row in rows:
            _add_row(builder, row)
    except (ValueError, csv.Error) as error:
        raise _refused(path, rows.line_num + 1, error) from None
    return builder.trace()


def _add_row(builder: _Builder, row: dict[str | Any, Any]) -> None:
    if None in row or None in row.values():
        raise ValueError("has another number of cells than the heading")
    time_ns = _time(_integer(row.pop("time_ns"), "time_ns"))
    device, mark = row.pop("device"), row.pop("mark")
    if mark:
        builder.marks.append(Mark(_text(mark, "mark"), time_ns))
        return
    if device not in builder.numbers:
        raise ValueError(f"unknown device '{shortened(device, 40)}'")
    values = {
        name: cell if name == THROTTLE else _number(cell, name)
        for name, cell in row.items()
        if cell
    }
    builder.sample(builder.numbers[device], time_ns, values)


def write_recorded(trace: Recorded, path: Path) -> Path:
    """See `Trace.save`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            _write_csv(trace, file)
        else:
            for record in _records(trace):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def _header(trace: Recorded) -> dict[str, Any]:
    devices = [
        {**each.device._asdict(), "sensor": each.sensor, "interval_s": each.interval_s}
        for each in trace.devices.values()
    ]
    absent = [each._asdict() for each in trace.absent]
    return {
        "schema": SCHEMA,
        "interval_s": trace.interval_s,
        "devices": devices,
        "absent": absent,
    }


def _records(trace: Recorded) -> Iterator[dict[str, Any]]:
    yield _header(trace)
    yield from ({"note": note} for note in trace.notes)
    events: list[tuple[int, dict[str, Any]]] = [
        (time_ns, {"t": time_ns, "d": number, "v": each.reading(at)})
        for number, each in enumerate(trace.devices.values())
        for at, time_ns in enumerate(each.time_ns.tolist())
    ]
    events += [(mark.time_ns, {"t": mark.time_ns, "mark": mark.name}) for mark in trace.marks]
    yield from (record for _, record in sorted(events, key=lambda event: event[0]))


def _write_csv(trace: Recorded, file: Any) -> None:
    names = [n for n in CHANNELS if any(n in each.channels for each in trace.devices.values())]
    has_throttle = any(each.throttle for each in trace.devices.values())
    columns = [*_FIXED, *names, *([THROTTLE] if has_throttle else [])]
    ids = list(trace.devices)
    records = _records(trace)
    header = {**next(records), "notes": list(trace.notes)}
    file.write(f"# {json.dumps(header, ensure_ascii=False)}\n")
    rows = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    rows.writeheader()
    for record in records:
        if "mark" in record:
            rows.writerow({"time_ns": record["t"], "mark": record["mark"]})
        elif "d" in record:
            rows.writerow({"time_ns": record["t"], "device": ids[record["d"]], **record["v"]})


def _refused(path: Path, line: int, error: Exception) -> InputError:
    what = "is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
    return InputError(
        what,
        where=f"{path}: line {line}",
        allowed=f"a trace of the form {SCHEMA}, as lydite monitor --out writes",
    )


def _device(value: Any) -> tuple[SensorDevice, str, float]:
    if not isinstance(value, dict):
        raise ValueError("a device is not an object")
    _keys(value, _DEVICE)
    whole, limit = value["whole_card"], value["power_limit_w"]
    if whole not in (True, False, None) or (isinstance(whole, int) and type(whole) is not bool):
        raise ValueError("whole_card is neither true, false nor null")
    return (
        SensorDevice(
            _text(value["id"], "id"),
            _text(value["name"], "name"),
            whole,
            _text(value["note"], "note"),
            None if limit is None else _positive(limit, "power_limit_w"),
        ),
        _text(value["sensor"], "sensor"),
        _positive(value["interval_s"], "interval_s"),
    )


def _absent(value: Any) -> Absent:
    if not isinstance(value, dict):
        raise ValueError("an absent sensor is not an object")
    _keys(value, set(Absent._fields))
    return Absent(*(_text(value[name], name) for name in Absent._fields))


def _keys(value: Mapping[str, Any], wanted: set[str]) -> None:
    if value.keys() != wanted:
        raise ValueError(f"has the keys {shortened(', '.join(value), 200)}, not {sorted(wanted)}")


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise ValueError(f"{name} is not a text of at most {_MOST_TEXT} characters")
    return value


def _time(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST_NS:
        raise ValueError(f"the time {shortened(str(value), 40)} is not a count of nanoseconds")
    return value


def _positive(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError(f"{name} is not a positive number")
    return float(value)


def _integer(text: str, name: str) -> int:
    if not text.isdecimal() or len(text) > 20:
        raise ValueError(f"{name} '{shortened(text, 40)}' is not a whole number")
    return int(text)


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} '{shortened(text, 40)}' is not a number") from None


def _not_json(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")
