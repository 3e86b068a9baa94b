"""The real entry point in this process, a small net in a file, and a machine that never changes."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lydite import hardware
from lydite.cli import main
from lydite.graph import Builder, Graph, keys_of, write_onnx
from lydite.hardware import Device
from lydite.store import Conditions, Database, Measurement, Software

SECONDS = {"Conv": 4e-4, "Relu": 1e-4, "GlobalAveragePool": 5e-5, "Flatten": 1e-5, "Gemm": 2e-4}
"""What each operator of the net takes in the recording."""

TOY = Device(
    "toy-cpu",
    "Toy CPU",
    "cpu",
    "nobody",
    {"float32": 1e11},
    8e9,
    1e10,
    units=2,
    clock_hz=1e9,
    sources={"": "made up"},
)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard error, line by line."""
        return self.err.splitlines()


@pytest.fixture
def lydite(monkeypatch, capsys):
    """Call a command as its users do."""

    def call(*arguments) -> Ran:
        monkeypatch.setattr(sys, "argv", ["lydite", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return Ran(stop.value.code or 0, said.out, said.err)

    return call


@pytest.fixture
def refused(lydite):
    """Call a command that must fail: exit code 2 and one line, which is given back."""

    def call(*arguments) -> str:
        ran = lydite(*arguments)
        assert ran.code == 2, ran
        assert ran.out == ""
        assert len(ran.lines) == 1, ran.err
        assert ran.err.startswith("lydite: ")
        assert "Traceback" not in ran.err
        return ran.lines[0].removeprefix("lydite: ")

    return call


def small_net(batch: int | str = 1) -> Graph:
    g = Builder("small")
    x = g.input("image", (batch, 3, 32, 32))
    for _ in range(2):
        x = g.relu(g.conv(x, 8, 3, pad=1))
    return g.build(g.linear(g.flatten(g.global_average_pool(x)), 10))


@pytest.fixture
def net(tmp_path) -> Path:
    return write_onnx(small_net(), tmp_path / "small.onnx", weights=False)


@pytest.fixture
def open_net(tmp_path) -> Path:
    """The small net with its batch left open, as N."""
    return write_onnx(small_net("N"), tmp_path / "open.onnx", weights=False)


@pytest.fixture
def recording(tmp_path, monkeypatch, toy) -> Path:
    """The small net as an imaginary machine ran it; the replay backend answers from it."""
    path = tmp_path / "recorded.db"
    with Database.open(path) as database:
        database.add(
            Measurement(
                key, "anywhere", Software("x", {}), Conditions(), np.array([SECONDS[key.op_type]])
            )
            for key in set(keys_of(small_net()).values())
        )
    monkeypatch.setenv("LYDITE_REPLAY", str(path))
    return path


@pytest.fixture
def toy(monkeypatch) -> Device:
    """This machine is a toy with two cores."""
    for module in (hardware, hardware.local):
        monkeypatch.setattr(module, "local_device", lambda: TOY)
        monkeypatch.setattr(module, "physical_cores", lambda: 2)
    return TOY


@pytest.fixture
def database(tmp_path) -> Path:
    """The user's database ($LYDITE_DB) with one row in it."""
    path = tmp_path / "lydite.db"
    key = next(iter(keys_of(small_net()).values()))
    with Database.open(path) as opened:
        opened.add(
            [Measurement(key, "toy-cpu", Software("replay", {}), Conditions(), np.array([1e-3]))]
        )
    return path


@pytest.fixture
def intact(database):
    """After the test the database is sound and holds what it held."""
    yield
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM measurements").fetchone() == (1,)
    finally:
        connection.close()


@pytest.fixture
def tuning(monkeypatch):
    """Tuning whose times are the cost formula's, so that it needs neither TVM nor a clock."""
    from lydite.backends import tuned
    from lydite.backends.tuned import choice
    from lydite.tune import trials, tuning
    from lydite.tune.rig import Outcome

    here = tuned.Machine("made-up", 16, 32)

    def attempt(_, task, config):
        (seconds,) = tuned.ranked(task, here, [config])
        return Outcome("ok", seconds=seconds, reference_s=2 * seconds)

    def decide(task, config, trier, rounds=15):
        outcome = attempt(trier, task, config)
        return trier.row(task, config, outcome, role="paired", ratio_low=0.4, ratio_high=0.6)

    monkeypatch.setattr(tuned, "machine", lambda: here)
    monkeypatch.setattr(tuned, "processor", lambda: here)
    monkeypatch.setattr(trials, "versions", lambda: {"apache-tvm": "0"})
    monkeypatch.setattr(choice, "versions", lambda: {"apache-tvm": "0"})
    monkeypatch.setattr(trials.Trier, "attempt", attempt)
    monkeypatch.setattr(tuning, "decide", decide)
    return here
