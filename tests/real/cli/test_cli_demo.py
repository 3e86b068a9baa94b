"""The main job, end to end, on ONNX Runtime and on this machine."""

from __future__ import annotations

import json
import re
import sys

import jsonschema
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

import lydite as ly
from lydite import models
from lydite.api import demo
from lydite.api.schemas import all_schemas
from lydite.cli import main
from lydite.graph import Graph
from lydite.models import build_model
from lydite.models.bert import bert
from lydite.models.dimensions_encoders import Encoder

MODELS = ("resnet50", "mobilenetv2", "bert-base")
ENCODER = Encoder(layers=4, hidden=256, heads=4, feed_forward=1024, vocabulary=2000, positions=64)


def small(name: str, **_: object) -> Graph:
    """A model with the same operators on less data."""
    if name == "bert-base":
        return bert(ENCODER, batch=1, sequence=8).renamed(name)
    return build_model(name, image_size=64)


@pytest.fixture
def lydite(monkeypatch, capsys):
    """Call a command that must succeed: its output and what it says."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lydite", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        told = capsys.readouterr()
        assert stop.value.code in (0, None), told.err
        return told

    return call


def test_the_demo(lydite, tmp_path, monkeypatch):
    """One run serves all."""
    monkeypatch.setattr(models, "build_model", small)
    out, database = tmp_path / "out", tmp_path / "demo.db"
    ran = lydite("demo", "--out", out, "--db", database, "--budget", 0.5)

    head, *lines = ran.out.splitlines()
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
    assert re.search(r"^absolute error: median \d", ran.out, re.MULTILINE)
    coverage = ran.out[ran.out.index("coverage  ") :].splitlines()[2:5]
    for name, line in zip(MODELS, coverage, strict=True):
        assert re.fullmatch(rf"{name} +\d+  100\.0 %  100\.0 % +100\.0 %", line)
    assert max(map(len, lines[:10])) <= 100
    assert "Next: lydite inspect resnet50" in ran.err

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

    (run,) = json.loads(lydite("runs", "--db", database, "--json").out)["runs"]
    assert (run["command"], run["status"]) == ("demo", "done")
    assert [m["coverage"]["node_coverage"] for m in run["result"]["models"]] == [1.0] * 3
    assert [m["failures"] for m in run["result"]["models"]] == [0] * 3

    monkeypatch.undo()
    given = ("--image-size", 64, "--db", database, "--strict", "--json")
    found = json.loads(lydite("predict", "resnet50", *given).out)
    assert found["coverage"]["nodes_by_source"] == {"measured": len(found["ops"])}
    assert found["low_s"] < found["total_s"] < found["high_s"]


def test_the_demo_from_python(tmp_path, monkeypatch):
    """One small net in place of the three: the same document as `--json` prints."""
    monkeypatch.setattr(demo, "MODELS", ("lenet5",))
    with ly.Session(db=tmp_path / "demo.db") as session:
        result = session.demo(out=tmp_path / "out", budget=0.5)
    document = json.loads(result.to_json())
    jsonschema.validate(document, json.loads(all_schemas()["demo.json"]))
    assert document["seconds"] == document["elapsed_s"]
    assert [row["model"] for row in document["models"]] == ["lenet5"]
    assert {path.name for path in result.files} == {"report.html", "trace.pftrace"}
    assert "absolute error: median" in result.summary()
