"""The page of a recording in a real browser: it draws, complains of nothing and asks nobody."""

from __future__ import annotations

import numpy as np
import pytest
from browser import BROWSER, PHONE_PX, shown

from lydite.measure.telemetry import DeviceTrace, Mark, SensorDevice, Trace
from lydite.report.monitor import telemetry_sections, thinned, write_monitor_page


def a_trace():
    times = np.arange(0, 5000, dtype=np.int64) * 10**8 + 10**12
    rng = np.random.default_rng(0)
    made = {}
    for number in range(2):
        name = f"nvidia:{number}"
        columns = {
            "power_w": 300 + 50 * rng.standard_normal(len(times)),
            "utilisation_percent": np.clip(90 + rng.standard_normal(len(times)), 0, 100),
            "temperature_c": np.where(np.arange(len(times)) % 10, np.nan, 61.0),
        }
        made[name] = DeviceTrace(SensorDevice(name, "a board"), "nvidia", 0.1, times, columns)
    marks = Mark("start", int(times[100])), Mark("end", int(times[-100]))
    return Trace(0.1, made, marks)


def document():
    energy = {
        "joules": 149_400.5,
        "source": "counter",
        "uncertainty_j": 3.0,
        "mean_w": 300.0,
        "idle_w": None,
        "above_idle_j": None,
        "counter_j": 149_400.5,
        "polled_j": None,
        "notes": [],
    }
    device = {
        "id": "nvidia:0",
        "name": "a board",
        "note": "x" * 200,
        "late": 0,
        "gaps": 0,
        "throttled": {},
        "channels": {},
        "energy": energy,
    }
    return {
        "command": ["python", "train.py", "--a-very-long-option=" + "y" * 80],
        "exit_code": 0,
        "interrupted": False,
        "duration_s": 480.0,
        "interval_s": 0.1,
        "devices": [device],
        "absent": [],
        "notes": [],
        "files": [],
    }


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tmp_path):
    path = write_monitor_page(tmp_path / "monitor.html", a_trace(), document())
    assert path.stat().st_size < 500_000
    found = shown(path)
    assert found["complaints"] == []
    assert found["asked"] == []
    assert found["narrow_px"] <= PHONE_PX
    assert found["lines"] == 3 * (2 + 2)  # three channels: two boards, two marks
    assert {"nvidia:0 (polled)", "nvidia:1", "start, 10 s"} <= set(found["legend"])
    for fact in ("149400", "counter", "unknown", "In words"):
        assert fact in found["text"], fact


def test_a_long_line_keeps_its_extremes():
    x = np.arange(100_000.0)
    y = np.zeros(100_000)
    y[54_321], y[77_777] = 9.0, -3.0
    few_x, few_y = thinned(x, y)
    assert len(few_x) <= 1000
    assert (few_y.max(), few_y.min()) == (9.0, -3.0)
    assert np.all(np.diff(few_x) > 0)


def test_marks_can_be_chosen():
    (first, *_) = telemetry_sections(a_trace(), marks=["end"])
    assert [line.name for line in first.plot.series] == [
        "nvidia:0 (polled)",
        "nvidia:1 (polled)",
        "end, 490 s",
    ]
