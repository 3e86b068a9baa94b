"""Every verb: the command with --json and the API beside it give equal documents."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import yaml

import lydite as ly
import lydite.cli.app as cli_app
from lydite.api import VERBS
from lydite.api.schemas import all_schemas, result_types
from lydite.compat.smaug import write_smaug
from lydite.exhibits import found_in
from lydite.graph import Builder, Graph, keys_of, write_onnx
from lydite.results import REPR_WIDTH, Result
from lydite.store import Conditions, Database, Measurement, Software
from lydite.web.document import at

ROOT = Path(__file__).parents[3]
SCHEMAS = {name.removesuffix(".json"): json.loads(text) for name, text in all_schemas().items()}
THREE = ("resnet18", "mobilenetv2", "bert-base")
TOPOLOGY = "Layer, IH, IW, FH, FW, C, N, S,\nConv1,27,27,5,5,96,256,1,\n"
VOLATILE = {
    "mlperf-tune": ("tried_before",),
    "bench": ("environment", "load_s", "memory_bytes", "warmup_calls"),
    "doctor": ("state",),
    "score": ("environment",),
    "monitor": ("duration_s", "devices", "notes"),
    "place": ("search_s",),
}
"""What two measurements of one thing do not share, by verb."""


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Checks documents of one form; the schemas themselves have a test of their own."""
    return jsonschema.Draft202012Validator(SCHEMAS[name])


def a_net(width: int) -> Graph:
    g = Builder(f"net{width}")
    x = g.relu(g.conv(g.input("image", (1, 3, 16, 16)), width, 3, pad=1))
    return g.build(g.linear(g.flatten(g.global_average_pool(x)), 10))


@pytest.fixture
def nets(tmp_path, monkeypatch, toy) -> list[Path]:
    """Three nets that a recording holds, so that measuring them always gives the same."""
    made, recorded = [a_net(width) for width in (4, 8, 12)], tmp_path / "recorded.db"
    with Database.open(recorded) as database:
        database.add(
            Measurement(key, "x", Software("x", {}), Conditions(), np.array([1e-4]))
            for graph in made
            for key in set(keys_of(graph).values())
        )
    monkeypatch.setenv("LYDITE_REPLAY", str(recorded))
    return [write_onnx(g, tmp_path / f"{g.name}.onnx", weights=False) for g in made]


SELDOM = {
    "lydite/bench/1": set(VOLATILE["bench"]),
    "lydite/score/1": {"latency_p99_s"},
    "lydite/serve/1": {"cost.usd_per_hour"},
}
"""Columns that only some results of a verb have."""


@pytest.fixture
def both(lydite):
    """A command and the API's answer: compared, and checked against the schema."""

    def check(command: list[object], result: Result) -> dict:
        verb, *rest = command
        # What follows another program's name belongs to that program.
        ran = lydite(verb, "--json", *rest) if verb == "smaug" else lydite(*command, "--json")
        assert ran.code == 0, ran.err
        told, own = json.loads(ran.out), json.loads(json.dumps(result.to_dict()))
        for document in (told, own):
            validator(result.verb).validate(document)
            for key in VOLATILE.get(result.verb, ()):
                document.pop(key)
        assert told == own
        assert next(iter(told)) == "schema"
        shows(told)
        speaks(result)
        return told

    return check


def shows(document: dict) -> None:
    """Each column of a table that the document declares is a key of one of its rows."""
    for found in found_in(document):
        names = {name for name, _ in found.declared["columns"]} - {"", "*"}
        names |= {found.declared["across"], found.declared["value"]} - {""}
        value = at(document, found.place)
        rows = value if isinstance(value, list) else [value, *value.values()]
        missing = {name for name in names if not any(has(row, name) for row in rows)}
        assert missing <= SELDOM.get(document["schema"], set()), (document["schema"], found.caption)


def has(row: object, name: str) -> bool:
    """Whether a row has a key, "a.b" within it; of a mapping that is None no more is known."""
    first, _, rest = name.partition(".")
    if not isinstance(row, dict) or first not in row:
        return isinstance(row, dict) and name in row
    return not rest or row[first] is None or has(row[first], rest)


def speaks(result: Result) -> None:
    """A text, a line, a table, a data frame."""
    assert result.summary().strip()
    assert "\n" not in repr(result)
    assert len(repr(result)) <= REPR_WIDTH
    assert repr(result).startswith(f"<{type(result).__name__} ")
    assert "<b>" in result._repr_html_()
    assert len(result.to_frame("pyarrow")) == len(result.rows())


def test_the_committed_schemas_are_current():
    folder = ROOT / "docs" / "schema"
    committed = {path.name: path.read_text() for path in folder.iterdir()}
    assert committed == all_schemas(), "type: make schemas"
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("kind", ["devices", "clusters", "chips"])
def test_the_catalogs_files_are_of_the_stated_form(kind):
    name = {"devices": "device", "clusters": "cluster", "chips": "chip-file"}[kind]
    paths = sorted((ROOT / "src/lydite/hardware/catalog" / kind).glob("*.yaml"))
    assert paths
    for path in paths:
        validator(name).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("model", THREE)
def test_inspect(both, model):
    both(["inspect", model, "--batch", 2], ly.inspect(model, batch=2))


def test_inspect_a_training_step(both):
    both(
        ["inspect", "lenet5", "--train", "--optimizer", "adam"],
        ly.inspect("lenet5", train=True, optimizer="adam"),
    )


@pytest.mark.parametrize("model", THREE)
def test_predict(both, model):
    told = both(["predict", model, "--on", "h100"], ly.predict(ly.load(model), on="h100"))
    assert told["total_s"] == told["seconds"]
    assert told["deprecated"] == {"total_s": "seconds"}


@pytest.mark.parametrize("kind", ["allreduce", "alltoall", "send"])
@pytest.mark.parametrize("network", ["closed", "links"])
def test_collective(both, kind, network):
    command = ["collective", kind, "--bytes", "64 MiB", "--on", "dgx-h100 x 2"]
    told = both(
        [*command, "--network", network],
        ly.collective(kind, bytes="64 MiB", on="dgx-h100 x 2", network=network),
    )
    assert told["bytes"] == 64 * 2**20
    assert told["network"] == network


def test_predict_as_the_readme_says():
    """The model loaded first, its options given later, or all at once: one answer."""
    model = ly.load("resnet50", batch=8)
    first = ly.predict(model, on="h100", dtype="bfloat16")
    at_once = ly.predict("resnet50", on="h100", batch=8, dtype="bfloat16")
    assert first.seconds == at_once.seconds
    assert first.low_s < first.seconds < first.high_s
    assert first.to_dict()["dtype"] == "bfloat16"


def test_predict_here(both, nets):
    for net in nets:
        ly.profile(str(net), backend="replay", budget=0.05)
        told = both(["predict", net, "--backend", "replay"], ly.predict(str(net), backend="replay"))
        assert told["source"] == "measured"


def test_coverage(both, nets):
    names = [str(net) for net in nets]
    both(["coverage", *names, "--backend", "replay"], ly.coverage(names, backend="replay"))


def test_profile(both, nets):
    names = [str(net) for net in nets]
    first = ly.profile(names, backend="replay", budget=0.05)
    assert [row["measured"] for row in first.models] == [5, 5, 5]
    again = ly.profile(names, backend="replay", budget=0.05)
    both(["profile", *names, "--backend", "replay", "--budget", 0.05], again)


def test_plan_of_operators(both, nets, tmp_path):
    net, path = nets[0], tmp_path / "plan.json"
    plan = ly.profile_plan(str(net), operators=2, backend="replay")
    command = ["--plan-for", net, "--operators", 2, "--backend", "replay", "--write", path]
    told = both(["profile", *command], plan)
    assert told["width_expected"] < told["width_before"]
    ly.profile_planned(path, backend="replay", budget=0.05)
    again = ly.profile_planned(plan, backend="replay", budget=0.05)
    both(["profile", "--plan", path, "--backend", "replay", "--budget", 0.05], again)


def test_bench(both, nets):
    for net in nets:
        result = ly.bench(str(net), backend="replay", budget=0.05, rounds=5)
        command = ["bench", net, "--backend", "replay", "--budget", 0.05, "--rounds", 5]
        told = both(command, result)
        assert told["latency_median_s"] == told["seconds"] == result.seconds


def test_turning_point(both, nets, tmp_path):
    net = nets[0]
    quick = {"backend": "replay", "budget": 0.05, "rounds": 3}
    result = ly.turning_point(str(net), thread_counts="1,2", **quick)
    command = ["turning-point", net, "--thread-counts", "1,2", "--backend", "replay"]
    told = both([*command, "--budget", 0.05, "--rounds", 3], result)
    (sweep,) = told["sweeps"]
    assert sweep["turning_point"] == 1
    assert sweep["seconds"][0] == sweep["seconds"][1]
    path = tmp_path / "sweep.csv"
    rows = [f"{n},{1 / min(n, 5)}" for n in range(1, 13)]
    path.write_text("\n".join(["threads,seconds", *rows]))
    told = both(["turning-point", "--sweep", path], ly.turning_point(sweep=path))
    assert told["sweeps"][0]["turning_point"] == 5
    assert told["sweeps"][0]["curve"] == "roof"


def test_turning_point_of_the_batch(lydite, tmp_path):
    path = tmp_path / "batch.csv"
    path.write_text("batch,seconds\n" + "".join(f"{n},{0.9 + 0.1 * n}\n" for n in range(1, 9)))
    told = json.loads(lydite("turning-point", "--sweep", path, "--json").out)
    (sweep,) = told["sweeps"]
    assert sweep["per"] == "sample"
    assert sweep["seconds"][0] == pytest.approx(1.0)
    assert sweep["seconds"][3] == pytest.approx(1.3 / 4)


def test_place(both):
    for on in ("h100,a100", "a100,l4,h100"):
        told = both(["place", "lenet5", "--on", on], ly.place("lenet5", on=on))
        assert told["proven"]
        assert told["seconds"] == min(row["seconds"] for row in told["methods"])
        assert sum(part["operators"] for part in told["parts"]) >= 5
        assert told["game"] is None


@pytest.fixture
def llama(tmp_path):
    config = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 512}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config |= {"vocab_size": 512, "max_position_embeddings": 8192}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return str(path)


def _names(value):
    """All keys of a document."""
    if isinstance(value, dict):
        return [*value, *(name for inner in value.values() for name in _names(inner))]
    return [name for inner in value for name in _names(inner)] if isinstance(value, list) else []


def test_serve(both, llama):
    few = {"rate": 50.0, "isl": 200, "osl": 20, "requests": 40}
    words = ["--rate", 50, "--isl", 200, "--osl", 20, "--requests", 40]
    told = both(["serve", llama, *words], ly.serve(llama, **few))
    row = told["deployments"][0]
    assert row["figures"]["ttft_s"]["mean"] > 0
    assert row["unfinished"] == 0
    flow, load = row["throughput"], told["workload"]
    assert flow["requests_per_s"] == flow["requests_s"] == pytest.approx(40 / flow["span_s"])
    assert flow["output_tokens_per_s"] == pytest.approx(20 * flow["requests_per_s"])
    assert load["rate_per_s"] == load["rate_s"] > 0
    assert row["figures"]["ttft"] == row["figures"]["ttft_s"]
    assert told["deprecated"]["deployments[].figures.ttft"] == "deployments[].figures.ttft_s"
    rates = {name for name in _names(told) if re.search("(tokens|requests|rate|goodput)_s", name)}
    assert rates <= {old.rpartition(".")[2] for old in told["deprecated"]} | {*told["deprecated"]}
    told = both(
        ["serve", llama, *words, "--compare", "tp1,tp2,pd1:1"],
        ly.serve(llama, compare="tp1,tp2,pd1:1", **few),
    )
    assert [row["devices"] for row in told["deployments"]] == [1, 2, 2]
    ahead = {"draft": llama, "acceptance": "0.9,0.5"}
    told = both(
        ["serve", llama, *words, "--draft", llama, "--acceptance", "0.9,0.5"],
        ly.serve(llama, **few, **ahead),
    )
    assert 0 < told["deployments"][0]["speculation"]["accepted"] < 2 * 19 * 40
    slo = "ttft.p99=1s,tpot.p90=1s"
    told = both(
        ["serve", llama, *words, "--slo", slo, "--find", "gpus"],
        ly.serve(llama, slo=slo, find="gpus", **few),
    )
    assert told["found"]["value"] == 1
    assert told["deployments"][0]["met"]
    assert told["deployments"][0]["goodput_per_s"] == told["deployments"][0]["goodput_s"] > 0
    told = both(
        ["serve", llama, *words, "--slo", slo, "--find", "config", "--gpus", 1],
        ly.serve(llama, slo=slo, find="config", gpus=1, **few),
    )
    assert [row["rate_per_s"] for row in told["found"]["tried"]] == [told["found"]["value"]]


def test_place_a_game(both):
    told = both(
        ["place", "lenet5", "alexnet", "--on", "l4,t4", "--game"],
        ly.place(["lenet5", "alexnet"], on="l4,t4", game=True),
    )
    game = told["game"]
    assert game["equilibrium"]
    assert not game["cycle"]
    assert game["price_of_anarchy"] >= 1
    assert told["seconds"] is None


def test_validate(both, nets):
    names = [str(net) for net in nets]
    result = ly.validate(names, backend="replay", budget=0.05)
    both(["validate", *names, "--backend", "replay", "--budget", 0.05], result)


def test_validate_steps(both, tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text('{"1": {"resnet18": 10.0, "alexnet": 4}, "4": {"resnet18": 12.0}}')
    result = ly.validate_steps(path, on="dgx-a100", batch=4)
    both(["validate", "--baseline", path, "--on", "dgx-a100", "--batch", 4], result)


@pytest.mark.parametrize("model", THREE)
def test_simulate(both, model):
    told = both(
        ["simulate", model, "--train", "--on", "dgx-h100", "--batch", 16],
        ly.simulate(model, train=True, on="dgx-h100", batch=16),
    )
    assert told["step_s"] == told["seconds"]


def test_simulate_with_everything(both):
    result = ly.simulate(
        "gpt2",
        train=True,
        tp=2,
        batch=16,
        sequence=64,
        mtbf="1 year",
        price=2.0,
        grid=0.3,
        slow=("3=0.9",),
        sensitivity=True,
        runtime="megatron",
    )
    command = (
        "simulate gpt2 --train --tp 2 --batch 16 --sequence 64 --price 2 --grid 0.3 --slow 3=0.9 "
        "--sensitivity --runtime megatron"
    )
    told = both([*command.split(), "--mtbf", "1 year"], result)
    assert told["goodput"]["devices"] == 8
    assert set(result.critical_path) <= set(told["critical_path_s"])


def test_search(both):
    result = ly.search("gpt2", train=True, batch=16, sequence=64, devices=4)
    command = "simulate gpt2 --train --batch 16 --sequence 64 --devices 4 --search --quiet"
    both(command.split(), result)


@pytest.mark.parametrize("model", ["lenet5", "minerva", "mobilenetv2"])
def test_chip(both, model):
    chip = "systolic-128" if model == "mobilenetv2" else "smv"
    both(["chip", model, "--chip", chip], ly.chip(model, chip=chip))


def test_chip_with_more_of_each_part(both):
    command = ["chip", "lenet5", "--accelerators", 2, "--sensitivity", "--compat", "smaug"]
    both(command, ly.chip("lenet5", accelerators=2, sensitivity=True, compat="smaug"))


def test_sweep(both):
    vary = {"pes": [8, 16], "spad": ["64KiB", "1KiB"]}
    told = both(
        ["chip", "sweep", "lenet5", "--vary", "pes=8,16", "--vary", "spad=64KiB,1KiB"],
        ly.sweep("lenet5", vary=vary),
    )
    assert len(told["designs"]) == 4


def test_scalesim(both, tmp_path):
    path = tmp_path / "net.csv"
    path.write_text(TOPOLOGY)
    command = ["chip", path, "--chip", "systolic-32", "--compat", "scalesim"]
    both(command, ly.scalesim(str(path), chip="systolic-32"))


def test_smaug(both, tmp_path):
    g = Builder("net", dtype="float16")
    topology, params = write_smaug(
        g.build(g.linear(g.input("x", (1, 64)), 8, bias=False)), tmp_path
    )
    words = ["build/bin/smaug", str(topology), str(params), "--sample-level=high"]
    both(["smaug", *words], ly.smaug(words))
    both(["smaug", "--explain", *words], ly.smaug(words, explain=True))


def test_calibrate(both, tmp_path):
    path, made = tmp_path / "steps.csv", tmp_path / "constants.json"
    rows = [f"resnet18,2,{2 * batch},{batch},{0.3 * batch + 2}" for batch in range(1, 9)]
    path.write_text("\n".join(["model,devices,batch,micro_batch,step_ms", *rows]))
    result = ly.calibrate(path, on="dgx-a100", constants=made, rounds=10)
    command = ["calibrate", path, "--on", "dgx-a100", "--constants", made, "--rounds", 10]
    both(command, result)


def test_aisim(both, tmp_path):
    node = 'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }'
    server = {"h": {"GPU": {0: {"properties": {"average_performance": "1Tbps"}, "links": []}}}}
    config = {
        "platform": "tensorflow",
        "enviroments": {"1 Host X 1 V100": 1},
        "device": "V100",
        "baseline_path": "data/baseline.json",
        "resource_pool_path": "data/pool.yaml",
        "tasks": {
            "net": {
                "graph_path": "data/one.pbtxt",
                "graph_path_multi_gpu": "data/one.pbtxt",
                "database_path": "data/net_db.json",
                "batch": 64,
            }
        },
    }
    (tmp_path / "data").mkdir()
    for name, content in {
        "net_db.json": {"Placeholder%dtype%1": {"avg": 1.0}},
        "baseline.json": {"1": {"net": 0.1}},
    }.items():
        (tmp_path / "data" / name).write_text(json.dumps(content))
    (tmp_path / "data" / "one.pbtxt").write_text(node)
    (tmp_path / "data" / "pool.yaml").write_text(yaml.safe_dump({"Server": server}))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    both(["aisim", tmp_path / "config.yaml"], ly.aisim(tmp_path / "config.yaml"))


def test_mlperf_in_virtual_time(both, tmp_path):
    timed = {"service": "1:1ms,4:2ms", "batch_size": 4, "min_duration": 5.0}
    flags = ["--service", "1:1ms,4:2ms", "--batch-size", 4, "--min-duration", 5]
    command = ["mlperf", "run", "resnet50", "--scenario", "server,singlestream", *flags]
    found = ly.mlperf_run("resnet50", scenario="server,singlestream", target_qps=800, **timed)
    told = both([*command, "--target-qps", 800], found)
    assert told["simulated"]
    assert [run["verdict"] for run in told["runs"]] == ["VALID", "VALID"]
    told = both(["mlperf", "peak", "resnet50", *flags], ly.mlperf_peak("resnet50", **timed))
    assert 1000 < told["peak_qps"] < 2000
    tuned = ly.mlperf_tune("resnet50", batch_sizes="1,4", service=flags[1], out=tmp_path)
    tune = ["mlperf", "tune", "resnet50", "--batch-sizes", "1,4", *flags[:2], "--out", tmp_path]
    told = both(tune, tuned)
    assert [trial["best"] for trial in told["trials"]] == [False, True]
    told = both(["mlperf", "explain", "bert"], ly.mlperf_explain("bert"))
    assert told["benchmark"] == "bert-99"


def test_mlperf_check_and_submission(both, tmp_path):
    for name in ("src", "systems", "results"):
        (tmp_path / "tree" / "open" / "ORG" / name).mkdir(parents=True)
    assert both(["mlperf", "check", tmp_path / "tree"], ly.mlperf_check(tmp_path / "tree"))["ok"]
    run = tmp_path / "runs" / "net" / "Offline" / "performance" / "run_1"
    run.mkdir(parents=True)
    (run / "mlperf_log_detail.txt").write_text("")
    out = tmp_path / "out"
    result = ly.mlperf_submission(tmp_path / "runs", out, division="open", map="net=resnet")
    command = ["mlperf", "submission", tmp_path / "runs", "--out", out, "--division", "open"]
    faults = both([*command, "--map", "net=resnet", "--force"], result)["faults"]
    assert "a run that came to its end" in {fault["expected"] for fault in faults}
    assert not [fault for fault in faults if fault["path"].endswith("model_mapping.json")]


def test_mlperf_before_a_run(both, tmp_path):
    net = write_onnx(a_net(4), tmp_path / "net.onnx")
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for label in range(2):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        image.new("RGB", (20, 20), (label, 9, 9)).save(tmp_path / "images" / str(label) / "a.png")
    told = both(
        ["mlperf", "preprocess", net, "--data", tmp_path / "images", "--out", tmp_path / "data"],
        ly.mlperf_preprocess(str(net), data=tmp_path / "images", out=tmp_path / "data"),
    )
    assert (told["samples"], told["shape"]) == (2, [3, 16, 16])
    ly.mlperf_build(str(net))
    told = both(["mlperf", "build", net], ly.mlperf_build(str(net)))
    assert told["engines"][0]["built"] is False
    data = tmp_path / "data"
    told = both(
        ["mlperf", "calibrate", net, "--data", data], ly.mlperf_calibrate(str(net), data=data)
    )
    assert told["fp32_score"] in (0, 0.5, 1)


def test_learn(both, tmp_path):
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    for split in ("train", "test"):
        for kind in ("linear", "bmm"):
            (tmp_path / split / kind).mkdir(parents=True)
        for kind in ("elem", "ln", "softmax"):
            with gzip.open(tmp_path / split / f"{kind}.csv.gz", "wt") as lines:
                lines.write("OPName,Latency,Device,B,H\n")
                for device in ("Tesla T4", "Tesla P4"):
                    for rows in range(1000, 9000, 100):
                        lines.write(f"{kind},{rows / 1000},{device},{rows},1024\n")
    told = both(["learn", "evaluate", "--neusight", tmp_path], ly.learn_evaluate(neusight=tmp_path))
    assert {row["device"] for row in told["families"]} == {"nvidia-t4", "nvidia-p4"}
    fitted = ly.learn_fit(tmp_path / "model", neusight=tmp_path)
    both(["learn", "fit", "--out", tmp_path / "model", "--neusight", tmp_path], fitted)


def test_score_estimated_and_published(both):
    told = both(
        ["score", "--on", "h100", "--models", "bert,resnet"],
        ly.score(on="h100", models="bert,resnet"),
    )
    assert told["kind"] == "estimated"
    command = ["score", "--board", "mlperf-v6.0", "--model", "resnet"]
    told = both(command, ly.score_board("mlperf-v6.0", model="resnet"))
    assert {row["model"] for row in told["rows"]} == {"resnet"}


def test_score_files(both, nets, tmp_path):
    models = {"net": {"title": "net", "parts": [{"model": str(nets[0])}]}}
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"name": "own", "title": "", "models": models})
    )
    brief = {"minimum_time": 0.05, "iterations": 2, "rounds": 2, "if_busy": "warn"}
    result = ly.score(set=tmp_path / "own.yaml", out=tmp_path / "out", **brief)
    file = result.write(tmp_path / "out")[0]
    told = both(["score", "verify", file], ly.score_verify(file))
    assert told["is_verified"], told["faults"]
    told = both(["score", "compare", file, file], ly.score_compare(file, file))
    assert told["ratio"] == 1


def test_models(both):
    both(["models"], ly.models())


def test_monitor(both):
    told = both(
        ["monitor", "--sensors", "cpu,null", "--duration", 0.2],
        ly.monitor(sensors=["cpu", "null"], duration=0.2),
    )
    assert [each["sensor"] for each in told["absent"]] == ["null"]


def test_doctor(both, toy, monkeypatch):
    both(["doctor"], ly.doctor())


def test_runs(both, nets):
    for net in nets:
        ly.bench(str(net), backend="replay", budget=0.05, rounds=3)
    told = both(["runs"], ly.runs())
    identity = told["runs"][0]["id"]
    both(["runs", "--show", identity], ly.run(identity))


def test_record(lydite, tmp_path):
    """The run that a command records is the one that the API gives, but for its id and time."""
    target = str(tmp_path / "kept.db")
    result = ly.sweep("lenet5", vary={"pes": [8, 16]})
    ly.record(result)
    with ly.Session(db=target) as session:
        kept = session.record(
            result, arguments={"model": ["sweep", "lenet5"], "vary": ["pes=8,16"]}
        )
    command = ["chip", "sweep", "lenet5", "--vary", "pes=8,16", "--record", "--db", target]
    assert lydite(*command).code == 0
    told = json.loads(lydite("runs", "--json", "--db", target).out)["runs"]
    own = kept.to_dict()
    assert len(told) == 2
    for row in told:
        for name in ("command", "arguments", "status", "result"):
            assert row[name] == json.loads(json.dumps(own[name]))
    assert own["id"] in {row["id"] for row in told}
    speaks(kept)


def test_database(both, nets, tmp_path):
    ly.profile([str(net) for net in nets], backend="replay", budget=0.05)
    told = both(["db", "query", "--op-type", "Conv"], ly.db_query(op_type="Conv"))
    assert told["measurements"][0]["median_s"] == told["measurements"][0]["seconds"]
    both(["db", "stats"], ly.db_stats())
    path = tmp_path / "rows.jsonl"
    both(["db", "export", path, "--force"], ly.db_export(path, force=True))
    both(["db", "import", path], ly.db_import(path))
    other = str(tmp_path / "other.db")
    Database.open(other).close()
    both(["db", "merge", other], ly.db_merge(other))


def test_ops(both, nets):
    told = both(["ops", nets[0], "--top", 3], ly.ops(str(nets[0]), top=3))
    assert told["shown"] == 3
    assert 0 < told["share_shown"] <= 1


def test_tuning(both, nets, tuning, tmp_path):
    """The second time every trial is known, so that two answers are equal."""
    net, few = str(nets[2]), ["--tuner", "random", "--trials", 3]
    words = {"tuner": "random", "trials": 3}
    ly.tune(net, ops="all", whole=False, **words)
    told = both(
        ["tune", net, "--ops", "all", "--ifcompare", "false", *few],
        ly.tune(net, ops="all", whole=False, **words),
    )
    assert all(row["known"] == 3 and row["accepted"] for row in told["ops"])
    sizes = {"shape": "1,32,14,14", "filters": 32}
    ly.tune_op("conv2d", **sizes, **words)
    command = ["conv2d", "--shape", "1,32,14,14", "--filters", 32]
    told = both(["tune", "op", *command, *few], ly.tune_op("conv2d", **sizes, **words))
    assert told["op"]["ratio"] == 0.5
    race = {"tuners": "random,formula", "table": 20, "seeds": 2}
    ly.tune_compare("conv2d", **sizes, **race)
    flags = ["--tuners", "random,formula", "--table", 20, "--seeds", 2]
    told = both(["tune", "compare", *command, *flags], ly.tune_compare("conv2d", **sizes, **race))
    by_name = {row["tuner"]: row for row in told["tuners"]}
    assert by_name["formula"]["trials_to_2_percent"] == 1
    path = tmp_path / "trials.jsonl"
    pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    told = both(["tune", "expect", net, "--trials", 5], ly.tune_expect(net, trials=5))
    assert all(row["expected_s"] > 0 for row in told["ops"])
    told = both(["tune", "export", path], ly.tune_export(path))
    assert told["trials"] >= 20
    both(["tune", "import", path], ly.tune_import(path))


def test_a_session_keeps_to_its_database(nets, tmp_path):
    with ly.Session(db=tmp_path / "own.db", seed=7) as session:
        session.profile(str(nets[0]), backend="replay", budget=0.05)
        assert session.db_stats().counts["measurements"] >= 5
    assert ly.db_stats().counts["measurements"] == 0
    assert repr(session) == f"<Session db {tmp_path / 'own.db'}, seed 7>"


def test_every_verb_is_compared_here():
    """All but those that measure real nets or need a server, which tests/real compares."""
    called = set(re.findall(r"\bly\.(\w+)\(", Path(__file__).read_text()))
    farm = {"farm_drain", "farm_profile", "farm_status", "farm_worker"}
    assert set(VERBS) - called == {"corun", "demo", "mlperf_audit", *farm}
    assert {kind.verb for kind in result_types().values()} <= SCHEMAS.keys()


def test_what_is_not_finite_is_none_and_numpy_is_plain():
    class Odd(Result):
        verb = "odd"

        def document(self):
            return {"a": float("nan"), "b": [float("inf"), 1.0], "c": (1, 2), "d": {"e": 2}}

        def summary(self):
            return "odd"

        def rows(self):
            return [{"x": 1, "y": [1, 2]}, {"x": float("nan")}]

    document = Odd().to_dict()
    assert document == {
        "schema": "lydite/odd/1",
        "a": None,
        "b": [None, 1.0],
        "c": [1, 2],
        "d": {"e": 2},
    }
    assert Odd().to_frame("pyarrow").to_pylist() == [
        {"x": 1, "y": "[1, 2]"},
        {"x": None, "y": None},
    ]
    del Odd


def test_frames_of_packages_that_are_not_here(monkeypatch):
    from lydite import results

    monkeypatch.setattr(results, "find_spec", lambda _: None)
    with pytest.raises(ly.MissingExtra, match="pip install 'lydite\\[pandas\\]'"):
        ly.models().to_frame()
    with pytest.raises(ly.MissingExtra, match="polars"):
        ly.models().to_frame("polars")
    monkeypatch.setattr(results, "find_spec", lambda name: name == "pyarrow" and SimpleNamespace())
    assert ly.models().to_frame().num_rows == len(ly.models().models)


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        (str, "x", "x"),
        (int, "8", 8),
        (int, 8, 8),
        (int, "0", None),  # below the least, for typer to refuse
        (int, "9", None),
        (int, "1_0", None),
        (int, "٣", None),
        (float, "2.5", 2.5),
        (float, "2", 2.0),
        (float, "1e3", None),
        (float, "nan", None),
        (bool, True, True),
        (bool, "yes", None),
        (list[str], ("a", "b"), ["a", "b"]),
        (list[str], (), None),
        (int | None, "8", None),
    ],
)
def test_plain_values_are_those_that_typer_would_find(kind, given, found):
    class Info:
        min, max, parser = 1, 8, None

    class Described:
        annotation, parameter_info = kind, Info

    class Parameter:
        type_descriptor = Described

    assert cli_app._plain(Parameter, given) == found
    assert type(cli_app._plain(Parameter, given)) is type(found)
    Info.parser = float
    assert cli_app._plain(Parameter, given) is None
