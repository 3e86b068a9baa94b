"""Runs as users make them: watched by a replayed counter, and cut off by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import lydite as ly
from lydite.measure.telemetry import DeviceTrace, SensorDevice, Trace

SET = """name: own
title: One net
models:
  net: {title: Net, parts: [{model: mobilenetv2, image_size: 64}]}
"""
WATTS, IDLE_W = 50.0, 20.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """20 W for three seconds, then 50 W: a counter with a tick every 10 ms."""
    folder = tmp_path_factory.mktemp("watched")
    times = np.arange(0, 300 * 10**9, 10**7)
    seconds = times * 1e-9
    joules = np.where(seconds < 3.0, IDLE_W * seconds, IDLE_W * 3 + WATTS * (seconds - 3.0))
    device = SensorDevice("powercap:0", "package 0", True)
    trace = DeviceTrace(device, "powercap", 0.01, times, {"energy_j": joules})
    path = Trace(0.01, {"powercap:0": trace}).save(folder / "recorded.jsonl")
    (folder / "own.yaml").write_text(SET)
    brief = {"minimum_time": 1.5, "iterations": 4, "rounds": 3, "if_busy": "warn"}
    brief["interval"] = 0.05
    result = ly.score(
        set=folder / "own.yaml",
        out=folder / "out",
        sensors={"replay": {"path": str(path)}},
        **brief,
    )
    result.write(folder / "out")
    return result.to_dict(), folder


def test_energy_is_the_counters(watched):
    document, _ = watched
    row, figure = document["rows"][0], document["figures"][0]
    assert figure["energy_source"] == "counter"
    seconds = figure["measured_s"]
    joules = sum(turn["energy"]["joules"] for turn in row["turns"])
    assert joules == pytest.approx(WATTS * seconds, rel=0.02)
    assert figure["mean_power_w"] == pytest.approx(WATTS, rel=0.02)
    assert figure["energy_j"] == pytest.approx(joules / figure["iterations"])
    above = sum(turn["energy"]["above_idle_j"] for turn in row["turns"])
    assert above == pytest.approx((WATTS - IDLE_W) * seconds, rel=0.05)
    idle = document["environment"]["sensors"]["devices"]["powercap:0"]
    assert idle["idle_w"] == pytest.approx(IDLE_W, rel=0.05)


def test_a_result_with_energy_serves_as_a_baseline_of_energy(watched):
    document, folder = watched
    from lydite.score.baseline import find_baseline
    from lydite.score.figures import figures_of
    from lydite.score.scoring import scores
    from lydite.score.sets import find_set

    baseline = find_baseline(
        str(folder / "out" / "result.json"), find_set(str(folder / "own.yaml"))
    )
    rows = document["rows"]
    found = scores(rows, [figures_of(row) for row in rows], baseline, {"net": 1.0}, 100.0)
    assert found["device"]["energy"]["score"] == pytest.approx(1000)
    assert found["device"]["latency"]["score"] == pytest.approx(1000)
    assert found["models"]["net"]["per_watt"] == pytest.approx(1000 / WATTS, rel=0.02)


def test_verify_integrates_the_telemetry_again(watched):
    _, folder = watched
    path = folder / "out" / "result.json"
    found = ly.score_verify(path)
    assert found.is_verified, found.findings["faults"]
    assert found.findings["telemetry"] == "energy of 3 turns"
    edited = json.loads(path.read_text())
    edited["rows"][0]["turns"][1]["energy"]["joules"] *= 0.5
    (folder / "out" / "edited.json").write_text(json.dumps(edited))
    named = {fault["where"] for fault in ly.score_verify(folder / "out" / "edited.json").rows()}
    assert "rows of net/fp32/1: turn 2, joules" in named
    assert "rows of net/fp32/1" in named
    assert "figures[net].energy_j" in named


def test_ctrl_c_keeps_what_is_there_and_the_same_command_goes_on(tmp_path):
    """A run that is interrupted after its first turn is partial, with exit code 130."""
    (tmp_path / "own.yaml").write_text(SET)
    command = [sys.executable, "-m", "lydite", "score", "--set", "own.yaml", "--out", "out"]
    command += ["--minimum-time", "2", "--iterations", "4", "--if-busy", "warn", "--no-check"]
    command += ["--threads", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = tmp_path / "out" / "score-journal.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if journal.exists() and '"turn"' in journal.read_text():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "CUT OFF" in told
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["status"] == "partial"
    assert 1 <= len(document["rows"][0]["turns"]) < 8
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "CUT OFF" not in again.stdout
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["status"] == "complete"
    assert document["environment"]["resumed_turns"] >= 1
    assert len(document["rows"][0]["turns"]) == 8
