"""`lydite monitor`: exit codes, files, refusals, Ctrl-C, and what people read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

import lydite as ly
from lydite.measure.telemetry import SENSORS, Trace, wanted_sensors

PYTHON = sys.executable


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A sensor that reads a recorded tree, as another package would add it."""
    folder = tmp_path / "hwmon" / "hwmon0"
    folder.mkdir(parents=True)
    files = {"name": "board", "power1_input": 50_000_000, "temp1_input": 61_000}
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    monkeypatch.setenv("TOY_HWMON", str(tmp_path / "hwmon"))
    plugin = tmp_path / "plugin"
    info = plugin / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    (plugin / "toy_board.py").write_text(
        "import os\nfrom lydite.measure.telemetry.hwmon import Hwmon\n"
        "class Toy(Hwmon):\n    name = 'toy'\n"
        "    def __init__(self):\n        super().__init__(os.environ['TOY_HWMON'])\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lydite.sensors]\ntoy = toy_board:Toy\n")
    path = f"{plugin}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(plugin))
    SENSORS.__dict__.pop("_entries", None)
    yield "toy"
    SENSORS.__dict__.pop("_entries", None)


def test_the_exit_code_is_the_commands(lydite):
    for code in (0, 3):
        ran = lydite("monitor", "--sensors", "cpu", "--", PYTHON, "-c", f"raise SystemExit({code})")
        assert ran.code == code
        assert f"exit code {code}" in ran.out.splitlines()[0]


def test_options_end_at_the_first_word(lydite):
    ran = lydite("monitor", "--sensors", "null", "--json", PYTHON, "-c", "print(1)", "--interval")
    assert ran.code == 0
    assert json.loads(ran.out)["command"] == [PYTHON, "-c", "print(1)", "--interval"]


def test_a_signal_is_told_as_shells_do(lydite):
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert lydite("monitor", "--sensors", "null", "--", PYTHON, "-c", stop).code == 128 + 15


def test_a_board_of_another_package(lydite, board, tmp_path):
    assert board in wanted_sensors(None)
    out = tmp_path / "out"
    ran = lydite(
        "monitor",
        "--sensors",
        board,
        "--interval",
        0.02,
        "--out",
        out,
        "--json",
        "--idle",
        0.1,
        "--",
        PYTHON,
        "-c",
        "import time; time.sleep(0.5)",
    )
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    (device,) = told["devices"]
    assert (device["id"], device["name"], device["sensor"]) == ("toy:0", "board", "toy")
    energy = device["energy"]
    assert energy["source"] == "polled"
    assert energy["joules"] == pytest.approx(50 * told["duration_s"], rel=1e-6)
    assert energy["above_idle_j"] == pytest.approx(0.0, abs=1e-6)
    assert energy["counter_j"] is None
    assert device["channels"]["temperature_c"]["maximum"] == 61.0
    assert device["samples"] >= 20
    assert sorted(path.name for path in out.iterdir()) == [
        "monitor.html",
        "monitor.json",
        "trace.csv",
    ]
    assert json.loads((out / "monitor.json").read_text()) == told
    trace = Trace.read(out / "trace.csv")
    assert [mark.name for mark in trace.marks] == ["start", "end"]
    assert set(trace.devices["toy:0"].known("power_w")[1]) == {50.0}
    page = (out / "monitor.html").read_text()
    assert "<script" not in page
    assert "toy:0 (polled)" in page


def test_no_sensor_is_a_normal_result(lydite):
    ran = lydite("monitor", "--sensors", "null,sophgo", "--duration", 0.1)
    assert ran.code == 0
    assert "no sensor    of energy or power can be read, so energy is unknown" in ran.out
    assert "absent       null: the null sensor reads nothing, as was asked" in ran.out
    assert "absent       sophgo: no card in /proc/bmsophon" in ran.out
    told = json.loads(lydite("monitor", "--sensors", "null", "--duration", 0.1, "--json").out)
    assert told["devices"] == []
    assert told["exit_code"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--", "/no/such/program"], "cannot start '/no/such/program': No such file"),
        (["--interval", 0, "--duration", 1], "interval: an interval of 0 s; allowed: 0.005 s"),
        (["--duration", -1], "--duration: '-1' is not a finite quantity"),
        (["--duration", 0], "duration and idle: a time that is not positive"),
        (["--duration", 1, "--", "true"], "duration: a command ends by itself"),
        (["--sensors", "nvidea"], "did you mean 'nvidia'?"),
        (["--devices", "cpu:9", "--sensors", "cpu"], "unknown device 'cpu:9'; allowed: cpu:0"),
    ],
)
def test_bad_requests_are_one_line(lydite, words, told):
    ran = lydite("monitor", *words)
    assert ran.code == 2
    assert told in ran.err
    assert len(ran.lines) == 1


def test_ctrl_c_keeps_what_is_there(tmp_path):
    """Ctrl-C reaches the command as well, as it does at a terminal."""
    out = tmp_path / "out"
    sleeper = f"open({str(tmp_path / 'on')!r}, 'w'); import time; time.sleep(60)"
    process = subprocess.Popen(
        [
            PYTHON,
            "-m",
            "lydite",
            "monitor",
            "--sensors",
            "cpu",
            "--out",
            str(out),
            "--json",
            "--",
            PYTHON,
            "-c",
            sleeper,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "on").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    document = json.loads(told)
    assert document["interrupted"] is True
    assert process.returncode == document["exit_code"] == 130
    assert len(Trace.read(out / "trace.csv").devices["cpu:0"].time_ns) >= 2


def test_ctrl_c_ends_a_watch_without_a_command(tmp_path):
    process = subprocess.Popen(
        [PYTHON, "-m", "lydite", "monitor", "--sensors", "cpu", "--out", str(tmp_path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = tmp_path / "trace.jsonl"
        if lines.exists() and '"mark": "start"' in lines.read_text():
            break
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(told)["interrupted"] is True


def test_prometheus_that_is_not_installed(lydite, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    ran = lydite("monitor", "--sensors", "cpu", "--prometheus", 9400, "--duration", 0.1)
    assert ran.code == 2
    assert "type: pip install 'lydite[monitor]'" in ran.err


EXPOSED = """\
# HELP lydite_power_watts Power in watts, polled or by the counter.
# TYPE lydite_power_watts gauge
lydite_power_watts{device="toy:0",name="board",sensor="toy"} 50.0
"""


def test_metrics_for_prometheus(board, tmp_path):
    pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    from lydite.errors import InputError
    from lydite.measure.telemetry import recording
    from lydite.measure.telemetry.follow import Follower
    from lydite.measure.telemetry.prometheus import serving

    with recording(tmp_path / "t.jsonl", 0.02, [board, "cpu"]) as record:
        follower = Follower(record.path)
        with serving(follower, 0, "127.0.0.1") as port:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                told = answer.read().decode()
            with pytest.raises(InputError, match="cannot listen on"):
                with serving(follower, port, "127.0.0.1"):
                    pass
    assert EXPOSED in told
    assert 'lydite_temperature_celsius{device="toy:0",name="board",sensor="toy"} 61.0' in told
    assert "# TYPE lydite_energy_joules_total counter" in told
    assert "lydite_energy_joules_total{" not in told  # absent is absent, never 0


def test_others_on_the_network_are_warned_of(lydite, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    ran = lydite("monitor", "--prometheus", 9400, "--host", "0.0.0.0", "--duration", 0.1)
    assert "warning: all who reach 0.0.0.0 on the network can read these figures" in ran.err


TEXT = """\
python train.py: 10.0 s, sampled every 100 ms, exit code 0

device     use    power     peak   energy  source     memory  hottest     clock
--------  ----  -------  -------  -------  -------  --------  -------  --------
nvidia:0  97 %  411.5 W  500.0 W  4.12 kJ  counter  5.00 GiB    61 °C  1.98 GHz
cpu:0        -        -        -        -  none            -        -         -

nvidia:0     H100; PCI 0
             clocks held down in 20 % of samples: software power cap
             2 late samples, 1 gaps
             3.12 kJ above the 100.0 W of the resting device
             polled power differs
cpu:0        2 CPUs
fault        nvidia:0: odd
absent       amd: no package; type this
written      out/trace.csv
"""


def test_what_people_read():
    from lydite.report.text.monitor import monitor_text

    def channel(mean, most):
        return {"samples": 9, "mean": mean, "minimum": 0.0, "maximum": most}

    nothing = dict.fromkeys(("joules", "uncertainty_j", "mean_w", "idle_w", "above_idle_j"))
    nothing |= {"source": "none", "counter_j": None, "polled_j": None, "notes": []}
    board = {
        "id": "nvidia:0",
        "name": "H100",
        "note": "PCI 0",
        "late": 2,
        "gaps": 1,
        "throttled": {"none": 0.8, "software power cap": 0.2},
        "channels": {
            "utilisation_percent": channel(97.2, 100.0),
            "power_w": channel(400.0, 500.0),
            "memory_bytes": channel(5.0 * 2**30, 0.0),
            "temperature_c": channel(50.0, 61.0),
            "clock_hz": channel(1.98e9, 0.0),
        },
        "energy": nothing
        | {
            "joules": 4115.0,
            "mean_w": 411.5,
            "source": "counter",
            "idle_w": 100.0,
            "above_idle_j": 3115.0,
            "notes": ["polled power differs"],
        },
    }
    cpu = {"id": "cpu:0", "name": "2 CPUs", "note": "", "late": 0, "gaps": 0, "throttled": {}}
    document = {
        "command": ["python", "train.py"],
        "duration_s": 10.0,
        "interval_s": 0.1,
        "exit_code": 0,
        "interrupted": False,
        "notes": ["nvidia:0: odd"],
        "files": ["out/trace.csv"],
        "devices": [board, cpu | {"channels": {}, "energy": nothing}],
        "absent": [{"sensor": "amd", "reason": "no package", "hint": "type this"}],
    }
    assert monitor_text(document) + "\n" == TEXT


def test_the_live_table_shows_what_is_fresh(tmp_path):
    from rich.console import Console

    from lydite.measure.telemetry.follow import Follower
    from lydite.report.live import table_of

    now = time.monotonic_ns()
    device = {
        "id": "x:0",
        "name": "x",
        "whole_card": None,
        "note": "",
        "power_limit_w": None,
        "sensor": "x",
        "interval_s": 0.1,
    }
    header = {"schema": "lydite/telemetry/1", "interval_s": 0.1, "devices": [device], "absent": []}
    old = {"t": now - 60 * 10**9, "d": 0, "v": {"temperature_c": 99.0}}
    first = {"t": now - 10**9, "d": 0, "v": {"energy_j": 100.0, "memory_bytes": 5e6}}
    second = {"t": now, "d": 0, "v": {"energy_j": 170.0, "throttle": "idle"}}
    path = tmp_path / "t.jsonl"
    lines = [json.dumps(each) + "\n" for each in (header, old, first, second)]
    path.write_text("".join(lines)[:-5])
    follower = Follower(path)
    assert "power_w" not in follower.latest()[0].values
    path.write_text("".join(lines))
    (latest,) = follower.latest()
    assert latest.values == {"energy_j": 170.0, "memory_bytes": 5e6, "power_w": 70.0}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table_of([latest], "1 s"))
    cells = console.export_text().splitlines()[-2].strip("│ ").replace("│", " ").split()
    assert cells == ["x:0", "-", "70.0", "5", "-", "-", "-", "idle"]


def seen(data: str) -> list[str]:
    """What a terminal shows in the end, as far as the table's own sequences go."""
    rows, at, column = [""], 0, 0
    for found in re.finditer(r"\x1b\[[\d;?]*([a-zA-Z])|(\r)|(\n)|([^\x1b\r\n]+)", data):
        command, home, new, text = found.groups()
        if command == "A":
            at -= 1
        elif command == "K":
            rows[at] = ""
        elif home:
            column = 0
        elif new:
            at, column = at + 1, 0
            rows += [""] * (at == len(rows))
        elif text:
            row = rows[at].ljust(column)
            rows[at] = row[:column] + text + row[column + len(text) :]
            column += len(text)
    return rows


SAYS = (
    "echo first; sleep 0.5; printf 'a\\rb\\rlast of a bar\\n'; printf 'prompt? '; sleep 0.6; "
    "[ -t 1 ] && echo at a terminal >&2; sleep 5 & exit 4"
)


def test_what_the_command_prints_stands_above_the_table():
    master, slave = os.openpty()
    command = [PYTHON, "-m", "lydite", "monitor", "--sensors", "cpu", "--", "sh", "-c", SAYS]
    process = subprocess.Popen(
        command, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    )
    os.close(slave)
    data = b""
    with contextlib.suppress(OSError):
        while told := os.read(master, 4096):
            data += told
    os.close(master)
    assert process.wait(60) == 4
    rows = [row.rstrip() for row in seen(data.decode())]
    assert rows[:4] == ["first", "last of a bar", "prompt?", "at a terminal"]
    assert "exit code 4" in " ".join(rows[4:8])
    assert "memory MHz" in data.decode()  # the table was there
    assert not any("memory MHz" in row for row in rows)  # and is gone


def test_the_api_gives_the_trace():
    result = ly.monitor(["true"], sensors=["cpu"], interval=0.02)
    assert result.exit_code == 0
    assert list(result.trace.devices) == ["cpu:0"]
    assert result.headline().startswith("true: ")


def test_the_command_sees_the_environment_as_it_was(lydite, monkeypatch, tmp_path):
    seen = tmp_path / "seen.json"
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    for given in ({}, {"OPENBLAS_THREAD_TIMEOUT": "7"}):
        monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert lydite("monitor", "--sensors", "null", "--", PYTHON, "-c", code, seen).code == 0
        there = json.loads(seen.read_text())
        assert {name: there[name] for name in there if name.startswith("OPENBLAS")} == given
