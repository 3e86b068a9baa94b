"""Traces: files are read strictly; gaps, late samples, frozen and jumping sensors are found."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.measure.telemetry import Absent, DeviceTrace, Mark, SensorDevice, Trace

HEADER = {
    "schema": "lydite/telemetry/1",
    "interval_s": 0.1,
    "devices": [
        {
            "id": "x:0",
            "name": "a device",
            "whole_card": True,
            "note": "",
            "power_limit_w": None,
            "sensor": "x",
            "interval_s": 0.1,
        }
    ],
    "absent": [{"sensor": "amd", "reason": "none", "hint": ""}],
}
SAMPLE = {"t": 1000, "d": 0, "v": {"power_w": 5.5, "throttle": "none"}}


def written(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def a_trace(seconds, interval_s=0.1, **channels):
    times = np.round(np.asarray(seconds) * 1e9).astype(np.int64)
    columns = {name: np.asarray(column, float) for name, column in channels.items()}
    device = SensorDevice("x:0", "x")
    return Trace(interval_s, {"x:0": DeviceTrace(device, "x", interval_s, times, columns)})


def test_lines(tmp_path):
    path = written(
        tmp_path / "t.jsonl",
        HEADER,
        SAMPLE,
        {"t": 1500, "mark": "start"},
        {"note": "x:0: odd"},
        {"t": 2000, "d": 0, "v": {"energy_j": 7}},
    )
    trace = Trace.read(path)
    device = trace.devices["x:0"]
    assert device.time_ns.tolist() == [1000, 2000]
    assert device.known("power_w")[1].tolist() == [5.5]
    assert device.known("energy_j")[0].tolist() == [2000]
    assert np.isnan(device.channels["energy_j"][0])
    assert "temperature_c" not in device.channels
    assert device.throttle == ("none", "")
    assert device.reading(0) == {"power_w": 5.5, "throttle": "none"}
    assert trace.marks == (Mark("start", 1500),)
    assert trace.mark_ns("start") == 1500
    assert trace.notes == ("x:0: odd",)
    assert trace.absent == (Absent("amd", "none", ""),)
    assert trace.span_ns() == (1000, 2000)
    with pytest.raises(InputError, match="did you mean 'start'"):
        trace.mark_ns("stat")


@pytest.mark.parametrize("name", ["t.csv", "other.jsonl"])
def test_what_is_saved_is_read_back(tmp_path, name):
    source = written(
        tmp_path / "t.jsonl",
        HEADER,
        SAMPLE,
        {"t": 1500, "mark": 'with, "quotes"\nand lines'},
        {"note": "x:0: odd, very"},
        {"t": 2000, "d": 0, "v": {"energy_j": 1 / 3, "memory_bytes": 1e12}},
    )
    first = Trace.read(source)
    again = Trace.read(first.save(tmp_path / name))
    assert again.interval_s == first.interval_s
    assert again.marks == first.marks
    assert again.notes == first.notes
    assert again.absent == first.absent
    mine, other = first.devices["x:0"], again.devices["x:0"]
    assert (mine.device, mine.sensor, mine.throttle) == (other.device, other.sensor, other.throttle)
    assert mine.time_ns.tolist() == other.time_ns.tolist()
    for channel, column in mine.channels.items():
        np.testing.assert_array_equal(column, other.channels[channel])


def test_a_last_line_that_is_cut_off_is_left_out_and_told(tmp_path):
    path = written(tmp_path / "t.jsonl", HEADER, SAMPLE)
    path.write_text(path.read_text() + '{"t": 2000, "d": 0, "v"')
    trace = Trace.read(path)
    assert len(trace.devices["x:0"].time_ns) == 1
    assert trace.notes == ("the last line is cut off, and was left out",)


def changed(**more):
    return {**HEADER, **more}


DEVICE = HEADER["devices"][0]


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([{"schema": "lydite/bench/1"}], "line 1: is not a header of the form lydite/telemetry/1"),
        ([[1]], "line 1: is not a header"),
        ([changed(interval_s=0)], "interval_s is not a positive number"),
        ([changed(more=1)], "line 1: has the keys"),
        ([changed(devices=3)], "devices is not a list"),
        ([changed(devices=[DEVICE, DEVICE])], "two devices have one id"),
        ([changed(devices=[DEVICE] * 5000)], "at most 4096"),
        ([changed(devices=[{**DEVICE, "whole_card": 1}])], "whole_card is neither"),
        ([changed(devices=[{**DEVICE, "name": "x" * 2000}])], "name is not a text of at most"),
        ([changed(absent=[{}])], "has the keys"),
        ([HEADER, 5], "line 2: is not an object"),
        ([HEADER, {**SAMPLE, "d": 1}], "line 2: device 1 is not in the header"),
        ([HEADER, {**SAMPLE, "d": True}], "device True is not"),
        ([HEADER, {**SAMPLE, "t": -1}], "the time -1 is not"),
        ([HEADER, {**SAMPLE, "t": 1.5}], "the time 1.5 is not"),
        ([HEADER, {**SAMPLE, "t": 2**63}], "is not a count of nanoseconds"),
        ([HEADER, {**SAMPLE, "v": [1]}], "the values are not an object"),
        ([HEADER, {**SAMPLE, "v": {"watts": 1}}], "unknown channel 'watts'"),
        ([HEADER, {**SAMPLE, "v": {"power_w": "5"}}], "power_w is 5, not a finite number"),
        ([HEADER, {**SAMPLE, "v": {"power_w": True}}], "power_w is True"),
        ([HEADER, {**SAMPLE, "v": {"throttle": 5}}], "throttle is not a text"),
        ([HEADER, SAMPLE, {**SAMPLE, "t": 999}], "line 3: time goes back from 1000 to 999 ns"),
        ([HEADER, {"mark": 5, "t": 1}], "mark is not a text"),
        ([HEADER, {"mark": "x", "t": 1, "z": 1}], "has the keys"),
        ([HEADER, {"note": "x", "z": 1}], "has the keys"),
    ],
)
def test_bad_lines_are_refused_with_their_number(tmp_path, records, told):
    with pytest.raises(InputError) as caught:
        Trace.read(written(tmp_path / "t.jsonl", *records))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("{]\n", "line 1: is not JSON"),
        (json.dumps(HEADER) + "\n" + '{"t": 1, "d": 0, "v": {"power_w": NaN}}\n', "NaN is not"),
        (json.dumps(HEADER) + "\n" + "[" * 100_000 + "\n", "line 2: "),
    ],
)
def test_bad_text_is_refused(tmp_path, text, told):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        Trace.read(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Trace.read(tmp_path / "none")
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        Trace.read(tmp_path / "x")


CSV = f"# {json.dumps(HEADER)}\ntime_ns,device,mark,power_w\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time_ns,device\n", "line 1: does not start with a comment"),
        ("# {}\n", "line 1: is not a header"),
        (f"# {json.dumps(HEADER)}\ntime_ns,device,watts\n", r"\['watts'\] are unknown, \['mark'\]"),
        (CSV + "1,y:0,,5\n", "unknown device 'y:0'"),
        (CSV + "1,x:0,,five\n", "power_w 'five' is not a number"),
        (CSV + "1,x:0,,nan\n", "power_w is nan, not a finite number"),
        (CSV + "1.5,x:0,,5\n", "time_ns '1.5' is not a whole number"),
        (CSV + "1,x:0,,5,6\n", "another number of cells"),
        (CSV + "1,x:0\n", "another number of cells"),
    ],
)
def test_bad_csv_is_refused(tmp_path, text, told):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        Trace.read(path)


@settings(max_examples=400)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["t.jsonl", "t.csv"]))
def test_a_spoilt_file_is_read_or_refused(seed, name):
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder:
        source = written(Path(folder) / "a.jsonl", HEADER, SAMPLE, {"t": 1500, "mark": "start"})
        path = Trace.read(source).save(Path(folder) / name)
        data = bytearray(path.read_bytes())
        for at in rng.integers(0, len(data), rng.integers(1, 6)).tolist():
            data[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)]))
        try:
            trace = Trace.read(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert trace.gaps() == []


def test_gaps_and_late_samples():
    trace = a_trace([0.0, 0.1, 0.3, 0.4, 1.0, 1.1, 1.41])
    assert [(g.start_ns, g.end_ns) for g in trace.gaps()] == [
        (400_000_000, 1_000_000_000),
        (1_100_000_000, 1_410_000_000),
    ]
    assert trace.gaps()[0].seconds == pytest.approx(0.6)
    assert trace.gaps()[0].what == "6.0 intervals without a sample"
    (late,) = trace.late()
    assert (late.start_ns, late.end_ns) == (100_000_000, 300_000_000)
    assert a_trace([]).gaps() == []
    assert a_trace([]).span_ns() == (0, 0)


def test_frozen_sensors():
    seconds = np.arange(0, 6, 0.1)
    power = np.concatenate([np.arange(20.0), np.full(25, 7.0), np.arange(15.0)])
    (span,) = a_trace(seconds, power_w=power).frozen()
    assert span.what == "power_w stays at 7 in 25 readings"
    assert (span.start_ns, span.end_ns) == (2_000_000_000, 4_400_000_000)
    assert a_trace(seconds, power_w=np.arange(60.0)).frozen() == []


def test_jumps():
    seconds = np.arange(0, 1, 0.1)
    joules = np.array([0, 1, 2, 3, 1, 2, 3, 4, 1e9, 1e9 + 1])
    found = [span.what for span in a_trace(seconds, energy_j=joules).jumps()]
    assert found == ["energy_j goes from 3 to 1", "energy_j goes from 4 to 1e+09"]
    power = np.array([50, 50, 50_000, 51, 50, 50, 900, 50, 50, 50])
    (span,) = a_trace(seconds, power_w=power).jumps()
    assert span.what == "power_w is 50000 between 50 and 51"
