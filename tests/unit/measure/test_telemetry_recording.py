"""The sampling process against trees of files, from start to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lydite.errors import InputError, LyditeError
from lydite.measure.telemetry import SENSORS, Trace, recording, window_energy

NAMES = ("name", "energy_uj", "max_energy_range_uj")


def rapl(folder, joules=1.0):
    zone = folder / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in zip(NAMES, ("package-0", int(1e6 * joules), 262_143_328_850), strict=True):
        (zone / name).write_text(str(text))
    return {"powercap": {"root": str(folder)}}


def grow(folder, joules):
    beside = folder / "intel-rapl:0" / "beside"
    beside.write_text(str(int(1e6 * joules)))
    beside.replace(folder / "intel-rapl:0" / "energy_uj")


def test_a_recording_holds_its_windows_between_samples(tmp_path):
    sensors = rapl(tmp_path / "tree")
    with recording(tmp_path / "t.jsonl", 0.02, sensors) as record:
        start = record.mark("start")
        grow(tmp_path / "tree", 31.0)
        end = record.mark("end")
    trace = record.trace()
    times = trace.devices["powercap:0"].time_ns
    assert times[0] < start < end < times[-1]
    assert [mark.name for mark in trace.marks] == ["start", "end"]
    assert not trace.notes
    found = window_energy(trace, "powercap:0", int(times[0]), int(times[-1]))
    assert (found.source, found.joules) == ("counter", pytest.approx(30.0))


def test_all_sensors_of_this_machine_are_found_or_absent_with_a_reason(tmp_path):
    with recording(tmp_path / "t.jsonl") as record:
        pass
    trace = record.trace()
    told = {each.sensor for each in trace.devices.values()} | {a.sensor for a in trace.absent}
    assert told == set(SENSORS.names()) - {"null", "replay"}
    assert all(each.reason for each in trace.absent)
    assert trace.devices["cpu:0"].known("memory_bytes")[1].min() > 0


def test_devices_are_chosen_by_id_or_sensor(tmp_path):
    for devices in (["cpu"], ["cpu:0"]):
        with recording(tmp_path / "t.jsonl", devices=devices) as record:
            pass
        assert list(record.trace().devices) == ["cpu:0"]
    with pytest.raises(InputError, match=r"unknown device 'cpu:7'.*allowed: cpu:0"):
        with recording(tmp_path / "t.jsonl", sensors=["cpu"], devices=["cpu:7"]):
            raise AssertionError("the block runs")


def test_a_recording_without_any_sensor_is_empty_and_says_why(tmp_path):
    with recording(tmp_path / "t.jsonl", sensors=["null"]) as record:
        record.mark("here")
    trace = record.trace()
    assert not trace.devices
    assert trace.absent[0].sensor == "null"


def test_bad_requests(tmp_path):
    with pytest.raises(InputError, match="an interval of 0 s"):
        with recording(tmp_path / "t.jsonl", 0.0):
            pass
    with pytest.raises(InputError, match="an interval of nan s"):
        with recording(tmp_path / "t.jsonl", float("nan")):
            pass
    with pytest.raises(InputError, match="unknown sensor 'gpu'"):
        with recording(tmp_path / "t.jsonl", sensors=["gpu"]):
            pass
    (tmp_path / "file").write_text("")
    with pytest.raises(LyditeError, match="cannot write"):
        with recording(tmp_path / "file" / "t.jsonl"):
            pass


def test_a_fault_while_sampling_is_noted_once_and_is_a_gap(tmp_path):
    sensors = rapl(tmp_path / "tree")
    with recording(tmp_path / "t.jsonl", 0.01, sensors) as record:
        beside = tmp_path / "tree" / "intel-rapl:0" / "beside"
        beside.write_text("N/A")
        beside.replace(tmp_path / "tree" / "intel-rapl:0" / "energy_uj")
        time.sleep(0.2)
    trace = record.trace()
    (note,) = trace.notes
    assert note.startswith("powercap:0: OSError: ")
    assert "holds no number: 'N/A'" in note


def test_a_replayed_trace_is_the_same_again(tmp_path):
    sensors = rapl(tmp_path / "tree", joules=5.0)
    with recording(tmp_path / "first.jsonl", 0.02, sensors) as record:
        time.sleep(0.1)
    replay = {"replay": {"path": str(tmp_path / "first.jsonl")}}
    with recording(tmp_path / "second.jsonl", 0.02, replay) as record:
        pass
    device = record.trace().devices["powercap:0"]
    assert (device.sensor, set(device.known("energy_j")[1].tolist())) == ("replay", {5.0})
    assert device.device.note.startswith("replayed from a recording; the processor package")
    bad = {"replay": {"path": str(tmp_path / "none")}}
    with recording(tmp_path / "second.jsonl", sensors=bad) as record:
        pass
    assert "no such file" in record.trace().absent[0].reason


def test_a_sampler_that_dies_is_told(tmp_path):
    with recording(tmp_path / "t.jsonl", 0.02, ["cpu"]) as record:
        (sampler,) = (
            child
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE
            and "lydite.measure.telemetry.sampler" in child.cmdline()
        )
        sampler.kill()
        while sampler.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        end = record.mark("end")
    trace = record.trace()
    assert trace.notes == ("the sampling process ended early, with code -9",)
    assert trace.devices["cpu:0"].time_ns[-1] < end


PARENT = """
import sys, time
from lydite.measure.telemetry import recording
with recording(sys.argv[1], 0.02, ["cpu"]):
    print("on", flush=True)
    time.sleep(60)
"""


def test_the_sampler_ends_with_its_parent_and_leaves_a_trace(tmp_path):
    path = tmp_path / "t.jsonl"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "on\n"
    (sampler,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([sampler], timeout=20)
    assert gone
    assert not alive
    assert len(Trace.read(path).devices["cpu:0"].time_ns) >= 1


def test_the_sampler_imports_little():
    code = (
        "import sys, lydite.measure.telemetry.sampler, lydite.measure.telemetry.cpu\n"
        "heavy = ('numpy', 'onnx', 'onnxruntime', 'pydantic', 'sqlalchemy', 'inspect', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
