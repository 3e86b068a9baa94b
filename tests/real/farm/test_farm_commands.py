"""The farm's commands on a real server: a worker in its own process, and who orders here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import jsonschema
import numpy as np
import pytest

import lydite as ly
from lydite.api.schemas import all_schemas
from lydite.farm import progress
from lydite.graph import Builder, keys_of, write_onnx
from lydite.hardware import local_device
from lydite.store import Conditions, Database, Measurement, Software

SCHEMAS = {name.removesuffix(".json"): json.loads(text) for name, text in all_schemas().items()}


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Two nets that a recording holds, and their distinct operators."""
    paths, keys, recorded = [], set(), tmp_path / "recorded.db"
    for width in (4, 8):
        g = Builder(f"net{width}")
        x = g.relu(g.conv(g.input("image", (1, 3, 16, 16)), width, 3, pad=1))
        graph = g.build(g.linear(g.flatten(g.global_average_pool(x)), 10))
        paths.append(str(write_onnx(graph, tmp_path / f"{graph.name}.onnx", weights=False)))
        keys |= set(keys_of(graph).values())
    with Database.open(recorded) as database:
        database.add(
            Measurement(key, "x", Software("x", {}), Conditions(), np.array([1e-4])) for key in keys
        )
    monkeypatch.setenv("LYDITE_REPLAY", str(recorded))
    return paths, keys


@pytest.fixture
def worker(target):
    """Starts `lydite farm worker`; what is left of them ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lydite", "farm", "worker", "--db", target]
        process = subprocess.Popen(
            [*command, "--backend", "replay", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def offered(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def checked(result: ly.Result) -> dict:
    document = json.loads(result.to_json())
    jsonschema.validate(document, SCHEMAS[result.verb])
    assert result.summary()
    assert result.rows()
    return document


def test_a_profile_on_a_farm(target, nets, worker):
    paths, keys = nets
    here = local_device().name
    process = worker("--host", "lab-1")
    assert offered(process) == f"offers {here} as lab-1\n"
    with ly.Session(db=target) as session:
        told = checked(session.farm_profile(paths, on="cpu", backend="replay", budget=0.05))
        assert [row["device"] for row in told["models"]] == [here] * 2
        assert [row["failed"] for row in told["models"]] == [[], []]
        assert sum(row["measured"] for row in told["models"]) >= len(keys)
        again = session.farm_profile(paths, on="cpu", backend="replay", budget=0.05)
        assert sum(row["measured"] for row in again.models) == 0
        status = checked(session.farm_status())
        assert [(row["host"], row["state"]) for row in status["devices"]] == [("lab-1", "live")]
        assert status["jobs"] == {"queued": 0, "running": 0, "done": len(keys), "failed": 0}
        checked(session.farm_drain("lab-1"))
        told = process.communicate(timeout=30)[0]
        assert told == f"{len(keys)} operators measured on {here} of lab-1\n"
        # and it serves predictions, as rows that were measured here do
        predicted = session.predict(paths[0], backend="replay")
        assert predicted.prediction.coverage.time_share("measured") == 1
    with Database.open(target) as database:
        rows = [row for row in database.query(run=told_run(database)) if row.key in keys]
        assert Counter(row.key for row in rows) == dict.fromkeys(keys, 1)
        assert {run.status for run in database.runs()} == {"done"}


def told_run(database: Database) -> str:
    return database.runs()[-1].id


def test_interrupted_and_resumed(target, nets, worker):
    paths, keys = nets
    command = [sys.executable, "-m", "lydite", "profile", *paths, "--farm", "--on", "cpu"]
    ordering = subprocess.Popen(
        [*command, "--backend", "replay", "--budget", "0.05", "--db", target],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ordering.stderr is not None
    assert ordering.stderr.readline().startswith("no worker offers ")
    ordering.send_signal(signal.SIGINT)
    _, said = ordering.communicate(timeout=30)
    assert f"{len(keys)} jobs stay queued; the same command goes on with them" in said
    assert ordering.returncode == 130
    worker("--idle", "20")
    with ly.Session(db=target) as session, Database.open(target) as database:
        deadline = time.monotonic() + 25
        while progress(database).by_status["done"] < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        session.farm_profile(paths, on="cpu", backend="replay", budget=0.05)
        (run,) = database.runs()
        assert run.status == "done"
        rows = [row for row in database.query(run=run.id) if row.key in keys]
        assert Counter(row.key for row in rows) == dict.fromkeys(keys, 1)


def test_a_second_worker_on_a_device_is_refused(target, nets, worker):
    offered(worker("--host", "lab-1"))
    second = worker("--host", "lab-1")
    _, said = second.communicate(timeout=30)
    assert second.returncode == 2
    assert "of lab-1 is taken by another worker" in said
    assert "Traceback" not in said


def test_sigterm_ends_a_worker(target, nets, worker):
    process = worker("--host", "lab-1")
    offered(process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("0 operators measured")


def test_a_worker_that_stops_by_itself(target, nets):
    with ly.Session(db=target) as session:
        told = checked(session.farm_worker(backend="replay", host="lab-1", idle=0))
        assert (told["host"], told["jobs"]) == ("lab-1", 0)


def test_bad_input(target, nets, tmp_path):
    paths, _ = nets
    with ly.Session(db=target) as session:
        with pytest.raises(ly.InputError, match="unknown"):
            session.farm_profile(paths, on="l44444", backend="replay")
        with pytest.raises(ly.InputError, match="no device is named"):
            session.farm_profile(paths, on="l4,", backend="replay")
        with pytest.raises(ly.BackendError, match="no device 'cuda' here; allowed: here, cpu"):
            session.farm_worker(device="cuda", backend="replay")
    with ly.Session(db=tmp_path / "local.db") as session:
        for action in (
            lambda: session.farm_profile(paths, on="cpu", backend="replay"),
            session.farm_worker,
            session.farm_status,
            lambda: session.farm_drain("lab-1"),
        ):
            with pytest.raises(ly.StoreError, match=r"PostgreSQL server.*docker run"):
                action()
