"""The main job, end to end, on ONNX Runtime and on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

MODELS = ("resnet50", "mobilenetv2", "bert-base")


def lydite(*arguments):
    command = [sys.executable, "-m", "lydite", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def test_the_demo(place):
    """One run serves all: it takes most of a minute."""
    out, database = place / "out", place / "demo.db"
    ran = lydite("demo", "--out", out, "--db", database, "--budget", 3)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr

    head, *lines = ran.stdout.splitlines()
    assert head.split() == [
        "model",
        "measured",
        "predicted",
        "90",
        "%",
        "interval",
        "error",
        "nodes",
        "time",
        "measured",
    ]
    accuracy = {line.split()[0]: line for line in lines[1:4]}
    assert set(accuracy) == set(MODELS)
    for line in accuracy.values():
        assert line.endswith("100.0 %        100.0 %")
        assert re.search(r" [+-]\d+\.\d %  ", line)
    assert re.search(r"^absolute error: median \d", ran.stdout, re.MULTILINE)
    coverage = ran.stdout[ran.stdout.index("coverage  ") :].splitlines()[2:5]
    for name, line in zip(MODELS, coverage, strict=True):
        assert re.fullmatch(rf"{name} +\d+  100\.0 %  100\.0 % +100\.0 %", line)
    assert max(map(len, lines[:10])) <= 100
    assert "Next: lydite inspect resnet50" in ran.stderr

    assert sorted(path.name for path in out.iterdir()) == ["report.html", "trace.pftrace"]
    page = (out / "report.html").read_text()
    assert not re.search(r"<script[^>]*\ssrc\s*=|<link\b", page[:2000])
    for text in ("Accuracy", "Where the time goes", "Roofline", "Machine", *MODELS):
        assert text in page

    trace = Trace()
    trace.ParseFromString((out / "trace.pftrace").read_bytes())
    names = {p.track_descriptor.name for p in trace.packet if p.HasField("track_descriptor")}
    assert set(MODELS) <= names
    events = sum(p.HasField("track_event") for p in trace.packet)
    assert events > 200
    assert events % 2 == 0

    (run,) = json.loads(lydite("runs", "--db", database, "--json").stdout)["runs"]
    assert (run["command"], run["status"]) == ("demo", "done")
    assert [m["coverage"]["node_coverage"] for m in run["result"]["models"]] == [1.0] * 3
    assert [m["failures"] for m in run["result"]["models"]] == [0] * 3

    predicted = lydite("predict", "resnet50", "--db", database, "--strict", "--json")
    found = json.loads(predicted.stdout)
    assert found["coverage"]["nodes_by_source"] == {"measured": found_nodes(found)}
    assert found["low_s"] < found["total_s"] < found["high_s"]


def found_nodes(document):
    return len(document["ops"])


def test_the_demo_from_python(tmp_path, monkeypatch):
    """One small net in place of the three: the same document as `--json` prints."""
    import jsonschema

    import lydite as ly
    from lydite.api import demo
    from lydite.api.schemas import all_schemas

    monkeypatch.setattr(demo, "MODELS", ("lenet5",))
    with ly.Session(db=tmp_path / "demo.db") as session:
        result = session.demo(out=tmp_path / "out")
    document = json.loads(result.to_json())
    jsonschema.validate(document, json.loads(all_schemas()["demo.json"]))
    assert document["seconds"] == document["elapsed_s"]
    assert [row["model"] for row in document["models"]] == ["lenet5"]
    assert {path.name for path in result.files} == {"report.html", "trace.pftrace"}
    assert "absolute error: median" in result.summary()
