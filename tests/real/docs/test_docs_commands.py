"""Every command line of every page runs, in a folder that holds the files that it names."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path

import pytest
import typer
import yaml

import lydite as ly
from lydite.api.score import board
from lydite.cli import main
from lydite.cli.app import app
from lydite.graph import Builder, bind_dims, write_onnx

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LAYOUTS = {"aiconfigurator", "frontier", "neusight", "vidur"}
TUNED = {"op", "compare", "expect", "import", "export"}
"""Words of the tuner's commands that run here."""
MEASURING = ("bench", "profile", "validate", "turning-point", "corun")
SMALL = {
    "bert-base": "lenet5",
    "resnet50": "cifar10-cnn",
    "resnet18": "cifar10-cnn",
    "resnet-18": "cifar10-cnn",
    "mobilenetv2": "minerva",
    "nasnet-mobile": "lenet5",
}
"""Models that are measured here in place of those that the pages name."""
PLAYED = {"--virtual", "--service", "explain"}
"""Words of MLPerf's commands that run here; real runs take minutes, and these only parse."""
ANSWERED = {"--on", "--board", "verify", "compare"}
"""Words of the scorecard's commands that run here; the others measure for minutes."""
GENERATED = ROOT / "docs" / "reference" / "commands"


def commands() -> list[str]:
    found = []
    for page in PAGES:
        if GENERATED in page.parents:
            continue
        # blocks of other languages are matched as well, lest their ends be taken for beginnings
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S):
            if language:
                continue
            for line in block.replace("\\\n", " ").splitlines():
                text = line.removeprefix("$ ").split("#")[0].split(" > ")[0].strip()
                if text.startswith("lydite "):
                    found.append(text)
    return sorted(set(found))


AUTOTVM = (
    '{"input": ["llvm -mcpu=skylake-avx512", "conv2d_NCHWc.x86", [["TENSOR", [1, 32, 14, 14], '
    '"float32"], ["TENSOR", [32, 32, 3, 3], "float32"], [1, 1], [1, 1, 1, 1], [1, 1], "NCHW", '
    '"NCHW", "float32"], {}], "config": {"index": 1, "code_hash": null, "entity": [["tile_ic", '
    '"sp", [-1, 32]], ["tile_oc", "sp", [-1, 32]], ["tile_ow", "sp", [-1, 7]], ["unroll_kw", '
    '"ot", true]]}, "result": [[1e-4], 0, 1.5, 1.5e9], "version": 0.2, "tvm_version": "0.7"}'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small files under the names that the pages use."""
    home = tmp_path_factory.mktemp("pages")
    g = Builder("net")
    x = g.relu(g.linear(g.input("x", ("batch", 64)), 128))
    graph = g.build(g.linear(x, 8))
    for name in ("your", "model"):
        write_onnx(graph, home / f"{name}.onnx")
    write_onnx(bind_dims(graph, {"batch": 2}), home / "bert.onnx")
    llama = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "vocab_size": 512}
    llama |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    llama["max_position_embeddings"] = 8192
    (home / "config.json").write_text(json.dumps(llama))
    rows = [f"resnet18,2,{2 * batch},{batch},{0.3 * batch + 2}" for batch in range(1, 9)]
    (home / "steps.csv").write_text("\n".join(["model,devices,batch,micro_batch,step_ms", *rows]))
    measured = {"1": {"resnet50": 300.0, "vgg16": 600.0}, "4": {"resnet50": 320.0, "vgg16": 700.0}}
    (home / "baseline.json").write_text(json.dumps(measured))
    cluster = resources.files("lydite.hardware.catalog.clusters") / "dgx-a100.yaml"
    (home / "my.yaml").write_text(cluster.read_text())
    gpu = resources.files("lydite.hardware.catalog.devices") / "nvidia-l4.yaml"
    (home / "my-gpu.yaml").write_text(re.sub("name: .*", "name: mine", gpu.read_text(), count=1))
    chip = resources.files("lydite.hardware.catalog.chips") / "systolic-128.yaml"
    (home / "npu.yaml").write_text(chip.read_text())
    points = [f"{n},{0.1 + 0.9 / n}" for n in range(1, 9)]
    (home / "sweep.csv").write_text("\n".join(["threads,seconds", *points]))
    (home / "gem5.cfg").write_text(GEM5)
    (home / "smv-accel.cfg").write_text(SMV)
    (home / "scale.cfg").write_text(SCALE_SIM)
    (home / "llvm.log").write_text(AUTOTVM)
    (home / "train.py").write_text("print('trained')\n")
    (home / "requests.csv").write_text("arrival_s,prompt,output\n0,100,8\n0.1,90,9\n")
    seen = {"queued_ts": 0, "first_token_ts": 0.02, "last_token_ts": 0.1}
    log = json.dumps({**seen, "input_toks": 100, "output_toks": 8})
    (home / "requests.jsonl").write_text(log + "\n")
    (home / "times.csv").write_text("ttft_ms,tpot_ms,tokens\n300,40,290\n")
    (home / "user.conf").write_text("resnet50.Server.target_qps = 70\n")
    for name in ("all_reduce_2.log", "all_reduce_perf.log"):
        (home / name).write_text(NCCL)
    with ly.Session(db=str(home / "other.db")) as session:
        session.bench(bind_dims(graph, {"batch": 2}), budget=0.05)
        session.db_export(str(home / "rows.jsonl.gz"))
        constants = home / "constants.json"
        session.calibrate(home / "steps.csv", on="dgx-a100", constants=constants, rounds=5)
    models = {"net": {"title": "", "parts": [{"model": str(home / "bert.onnx")}]}}
    (home / "ours.yaml").write_text(yaml.safe_dump({"name": "o", "title": "", "models": models}))
    brief = {"minimum_time": 0.05, "iterations": 2, "rounds": 2, "if_busy": "warn"}
    brief["threads"] = 1
    measured = home / "output" / "minimum_time_12"
    ly.score(set=home / "ours.yaml", out=measured, **brief).write(measured)
    shutil.copytree(measured, home / "other")
    shutil.copytree(ROOT / "examples", home / "examples")
    _aisim_folder(home)
    shutil.copytree(home / "aisim", home / "simulator_benchmark")
    for path in (home / "aisim").iterdir():
        shutil.move(path, home / path.name) if path.name != "config.yaml" else shutil.copy(
            path, home / "config.yaml"
        )
    return home


NCCL = "  1048576  262144  float  sum  -1  50.0  20.9  20.9  0  51.0  20.5  20.5  0\n"

GEM5 = """[DEFAULT]
cycle_time = 1
memory_type = cache
[acc0]
memory_type = spad
accelerator_id = 3
input_dir = .
config_file_name = %(input_dir)s/smv-accel.cfg
"""

SMV_ARRAYS = ("inputs", "weights", "results", "a", "b", "inputs0", "inputs1")
SMV = "\n".join(
    [
        "pipelining,0",
        "cycle_time,1",
        "ready_mode,0",
        *(f"partition,cyclic,{name},65536,4,8" for name in SMV_ARRAYS),
    ]
)

SCALE_SIM = """[general]
run_name = scale
[architecture_presets]
ArrayHeight: 32
ArrayWidth: 32
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: ws
Bandwidth: 10
[run_presets]
InterfaceBandwidth: CALC
"""


def _aisim_folder(home: Path) -> None:
    node = 'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }'
    server = {"h": {"GPU": {0: {"properties": {"average_performance": "1Tbps"}, "links": []}}}}
    task = {
        "graph_path": "data/one.pbtxt",
        "graph_path_multi_gpu": "data/one.pbtxt",
        "database_path": "data/net_db.json",
        "batch": 64,
    }
    config = {
        "platform": "tensorflow",
        "enviroments": {"1 Host X 1 V100": 1},
        "device": "V100",
        "baseline_path": "data/baseline.json",
        "resource_pool_path": "data/pool.yaml",
        "tasks": {"alexnet": task, "vgg16": task},
    }
    data = home / "aisim" / "data"
    data.mkdir(parents=True)
    (home / "logs" / "ib").mkdir(parents=True)
    (home / "logs" / "ib" / "all_reduce_2.log").write_text(NCCL)
    (data / "net_db.json").write_text(json.dumps({"Placeholder%dtype%1": {"avg": 1.0}}))
    (data / "baseline.json").write_text(json.dumps({"1": {"alexnet": 0.1, "vgg16": 0.2}}))
    (data / "one.pbtxt").write_text(node)
    (data / "pool.yaml").write_text(yaml.safe_dump({"Server": server}))
    (home / "aisim" / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("text", commands())
def test_a_command_of_the_pages_runs(text, folder, monkeypatch, capsys):
    words = made_small(shlex.split(text)[1:])
    if "--prometheus" in words:
        pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    if (path := only_parsed(words)) is not None:
        command = typer.main.get_command(app)
        for name in path:
            command = command.commands[name]
        given = [word for word in words if word not in path[1:]][1:]
        command.make_context(path[-1], given)
        return
    if words[0] == "demo":  # has a test of its own
        return
    if words[0] == "tune" or "tuned" in words:
        pytest.importorskip("tvm", reason="TVM is not installed: pip install 'lydite[tvm]'")
        pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))  # graphs are lowered once
    monkeypatch.setitem(board._KNOWN, "llama3.1-8b", "config.json")  # its estimates take long
    monkeypatch.setattr(sys, "argv", ["lydite", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    if "cuda" in words and "no device 'cuda'" in told.err:
        pytest.skip("no CUDA here")
    assert ended.value.code == 0, told.err
    assert told.out.strip()


def only_parsed(words: list[str]) -> list[str] | None:
    """The command's names where its words are parsed and nothing runs; else None."""
    verb, rest = words[0], set(words)
    takes_minutes = {
        "mlperf": not PLAYED & rest or "--real" in rest,
        "learn": True,  # reads folders of hundreds of megabytes
        "score": not ANSWERED & rest,
        "serve": bool({"--find", "deepseek-v3", "qwen3-235b-a22b"} & rest),  # takes minutes
        "profile": True,  # measuring has tests of its own
        "validate": True,
        "farm": True,  # needs a PostgreSQL server
        "db": words[1:2] == ["import"] and bool(LAYOUTS & rest),
    }
    if "--ray" in rest:  # has tests on a cluster of its own
        return words[:2] if verb == "learn" else [verb]
    if verb == "ui":  # serves until Ctrl-C, or names a run by its id
        return words[:2] if words[1:2] == ["export"] else ["ui"]
    if verb == "tune" and not TUNED & set(words[1:2]):
        return ["tune", "model"]
    if not takes_minutes.get(verb):
        return None
    return words[:2] if verb in ("mlperf", "learn", "db", "farm") else [verb]


def made_small(words: list[str]) -> list[str]:
    """The same command with less to measure or to search."""
    if words[0] == "monitor":
        short = ["--idle", "0.1", "--duration", "0.3"]
        watched = [sys.executable if word == "python" else word for word in words]
        return watched if "--" in words else [*watched, *short]
    if words[0] == "tune":
        return tuned_small(words)
    if words[0] == "calibrate":
        return [*words, "--rounds", "10"]
    if "--search" in words:
        return [
            {"h100-superpod x 128": "h100-superpod x 8", "1536": "128"}.get(w, w) for w in words
        ]
    if words[0] not in MEASURING or "--baseline" in words:
        return words
    words = [*(SMALL.get(word, word) for word in words)]
    if words[1].endswith(".onnx"):
        words += ["--dim", "batch=4"]
    return words if words[0] in ("turning-point", "corun") else [*words, "--budget", "0.02"]


def tuned_small(words: list[str]) -> list[str]:
    """Two trials of one operator, a table of six, a whole model nowhere."""
    if words[1] in ("import", "export", "expect"):
        return words
    if words[1] == "compare":
        return [*words, "--table", "6", "--seeds", "1", "--tuners", "own,random"]
    few = [*words, "--trials", "2", "--tuner", "own"]
    return few if words[1] == "op" else [*few, "--ops", "top1", "--ifcompare", "false"]


def test_there_are_many():
    assert len(commands()) > 50
