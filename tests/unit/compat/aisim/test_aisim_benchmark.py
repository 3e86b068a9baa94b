"""AISim folders of both platforms, written by hand: units, coverage, tables, what is refused."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from lydite.cli import main
from lydite.cluster import read_baselines, summaries
from lydite.compat.aisim import (
    Execution,
    Times,
    play_step,
    read_benchmark,
    read_nodes,
    run_benchmark,
)
from lydite.errors import InputError

IDEAL = Execution(launch_s=0, compute_slowdown=1, exchange_slowdown=1)
LINK = {
    "type": "PCIE",
    "rate": "8Gbps",
    "propagation_latency": "2us",
    "scheduler": "FairSharing",
}
POOL = {
    "Server": {
        "h": {
            "GPU": {
                at: {
                    "properties": {"average_performance": "1Tbps"},
                    "links": [{"dest": f"/server/h/GPU/{1 - at}/", **LINK}],
                }
                for at in range(2)
            }
        }
    },
}
CONFIG = {
    "enviroments": {"1 Host X 1 V100": 1, "1 Host X 2 V100": 2},
    "device": "V100",
    "baseline_path": "./data/baseline.json",
    "resource_pool_path": "./data/resource_pool.yaml",
}


def tf_node(name, op, inputs=(), shape=(), **attrs):
    def value(v):
        if isinstance(v, bool):
            return f"b: {str(v).lower()}"
        return f"type: {v}" if v.startswith("DT_") else f's: "{v}"'

    lines = [f'  name: "{name}"', f'  op: "{op}"', *(f'  input: "{i}"' for i in inputs)]
    for key, v in ({"T": "DT_FLOAT"} | attrs).items():
        lines.append(f'  attr {{ key: "{key}" value {{ {value(v)} }} }}')
    dims = " ".join(f"dim {{ size: {d} }}" for d in shape)
    lines.append(f'  attr {{ key: "_output_shapes" value {{ list {{ shape {{ {dims} }} }} }} }}')
    return "node {\n" + "\n".join(lines) + "\n}\n"


SINGLE = (
    tf_node("x", "Placeholder", shape=(250, 1000), dtype="DT_FLOAT")
    + tf_node("w", "VariableV2", shape=(1000, 1000), dtype="DT_FLOAT")
    + tf_node("mm", "MatMul", ["x", "w"], (250, 1000), transpose_a=False, note="NHWC")
    + tf_node("act", "Relu", ["mm"], (250, 1000))
    + tf_node("odd", "Odd", ["act"], (250, 1000))
)
MULTI = SINGLE + tf_node("reduce", "Allreduce", ["odd"], (250, 1000))
DATABASE = {
    "Placeholder%dtype%1": {"avg": 1.0},
    "VariableV2%dtype%1": {"avg": 2.0},
    "MatMul%input%[250,1000]%input%[1000,1000]%T%1%transpose_a%0": {"avg": 100.0, "std_err": 1.0},
    "MatMul%input%[250,1000]%input%[1000,1000]%T%1%transpose_a%1": {"avg": 999.0},
    "Relu%input%[9,9]%T%1": {"avg": 3.0},
    "Relu%input%[8,8]%T%1": {"avg": 5.0},
}


def write(folder, config, files):
    for name, content in files.items():
        path = folder / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    (folder / "data" / "resource_pool.yaml").write_text(yaml.safe_dump(POOL))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def task(suffix):
    return {
        "graph_path": f"data/one.{suffix}",
        "graph_path_multi_gpu": f"data/many.{suffix}",
        "database_path": "data/net_db.json",
        "batch": 64,
    }


@pytest.fixture
def tensorflow(tmp_path):
    """Two models of the same graph; one has no baseline on two GPUs."""
    config = CONFIG | {"platform": "tensorflow", "tasks": {n: task("pbtxt") for n in ("net", "n2")}}
    baselines = {"1": {"net": 0.107, "n2": 0.214}, "2": {"net": 2.0, "n2": 0}}
    return write(
        tmp_path,
        config,
        {
            "one.pbtxt": SINGLE,
            "many.pbtxt": MULTI,
            "net_db.json": DATABASE,
            "baseline.json": baselines,
        },
    )


def torch_node(name, op, sources=(), targets=(), **attrs):
    return {
        "name": name,
        "op": op,
        "input_nodes": list(sources),
        "output_nodes": list(targets),
        "input_types": [],
        "input_shapes": [],
        "output_types": [],
        "output_shapes": [],
        "attrs": attrs,
    }


TORCH = [
    torch_node("optimizer_zero", "optimizer_zero", (), ("f",)),
    torch_node("f", "Forward", ("optimizer_zero",), ("b0",)),
    torch_node("b0", "Backward", ("f",), ("b1", "ddp_pre_0")),
    torch_node("b1", "Backward", ("b0",), ("ddp_pre_1", "optimizer_step")),
    torch_node("optimizer_step", "optimizer_step", ("b1",)),
]
DDP = [
    torch_node("ddp_pre_0", "ddp_pre", ("b0",), (), bucket_size=25),
    torch_node("ddp_Allreduce_0", "ddp_Allreduce", ("ddp_pre_0",), (), bucket_size=25),
    torch_node("ddp_pre_1", "ddp_pre", ("b1", "ddp_Allreduce_0"), (), bucket_size=75),
    torch_node("ddp_Allreduce_1", "ddp_Allreduce", ("ddp_pre_1",), (), bucket_size=75),
]
SECONDS = {
    "optimizer_zero": 0,
    "f": 1e-5,
    "b0": 1e-5,
    "optimizer_step": 2e-6,
    "ddp_pre_0": 1e-6,
    "ddp_pre_1": 1e-6,
}
NCCL = """\
#  Rank  0 Group  0 Pid 1 on h device 0
#  Rank  1 Group  0 Pid 1 on h device 1
100 25 float sum -1 9 0 0 0 15 0 0 0
500 125 float sum -1 9 0 0 0 30 0 0 0
"""


@pytest.fixture
def pytorch(tmp_path):
    config = CONFIG | {
        "platform": "pytorch",
        "nccl_path": "data/nccl",
        "tasks": {"net": task("json")},
    }
    path = write(
        tmp_path,
        config,
        {
            "one.json": TORCH,
            "many.json": TORCH + DDP,
            "net_db.json": SECONDS,
            "net_var.json": {"f": 9e-14, "b0": 16e-14},
            "baseline.json": {"1": {"net": 0.032}},
        },
    )
    (tmp_path / "data" / "nccl").mkdir()
    (tmp_path / "data" / "nccl" / "2.log").write_text(NCCL)
    return path


def test_units_meet_in_one_step(tensorflow):
    """Microseconds of the database, seconds of the links, milliseconds of the baseline.

    1 + 2 + 100 us, Relu by the median of its type (4 us), Odd unknown. On two GPUs 1 MB over links
    of 1 GB/s, of which 0.85 reach the user: 8 us + 2 (2 us + 0.5 MB / 0.85 GB/s).
    """
    report = run_benchmark(read_benchmark(tensorflow), ["net"], execution=IDEAL)
    one, two = report.cells
    assert one.predicted_s == pytest.approx(107e-6)
    assert one.error == pytest.approx(0)
    assert two.predicted_s == pytest.approx(107e-6 + 8e-6 + 2 * (2e-6 + 5e5 / 0.85e9))
    assert two.exchange_source == "closed form"
    assert two.step.unknown == one.step.unknown == ("odd",)
    assert one.deviation_s == pytest.approx(1e-6)
    found = summaries(report.cells)
    assert found["sum of operators"].points[1].predicted == pytest.approx(107e-6)


def test_the_constant_is_the_best_there_is(tensorflow):
    """Sums of 107 us against 214, 214 and 2000 us: 2 is exact twice."""
    baselines = {"1": {"net": 0.214, "n2": 0.214}, "2": {"net": 2.0}}
    (tensorflow.parent / "data" / "baseline.json").write_text(json.dumps(baselines))
    found = summaries(run_benchmark(read_benchmark(tensorflow), coverage=False).cells)
    errors = [point.error for point in found["one constant efficiency"].points]
    assert errors == pytest.approx([0, 0, 0.214 / 2 - 1])


def test_coverage_of_a_tensorflow_folder(tensorflow):
    report = run_benchmark(read_benchmark(tensorflow), ["net"], accuracy=False)
    (one,), (many,) = report.single, report.multi
    assert (one.covered_nodes, one.nodes, one.covered_types, one.types) == (3, 5, 3, 5)
    assert one.uncovered == {"Relu": 1, "Odd": 1}
    assert one.time_share == pytest.approx(103 / 107)
    assert one.unknown_nodes == 1
    assert (many.covered_nodes, many.nodes) == (3, 5)
    assert report.cells == []


def test_a_receive_waits_for_its_send(tmp_path):
    graph = (
        tf_node("got", "_Recv", shape=(9,), tensor_name="t")
        + tf_node("b", "Relu", ["got"], (9,))
        + tf_node("lost", "_Recv", shape=(9,), tensor_name="u")
        + tf_node("a", "Relu", shape=(9,))
        + tf_node("out", "_Send", ["a"], (9,), tensor_name="t")
    )
    path = tmp_path / "g.pbtxt"
    path.write_text(graph)
    nodes = read_nodes(path, "tensorflow")
    assert [node.name for node in nodes] == ["lost", "a", "out", "got", "b"]
    step = play_step(nodes, {"a": 1e-5, "b": 1e-5, "out": 3e-5}, IDEAL)
    assert step.seconds == pytest.approx(5e-5)
    assert step.unknown == ("lost",)
    path.write_text(graph.replace('input: "a"', 'input: "b"'))
    with pytest.raises(InputError, match="messages and nodes wait for each other"):
        read_nodes(path, "tensorflow")


def test_entries_of_the_database(tensorflow, tmp_path):
    """Attributes that both state decide; of entries that fit alike the mean is taken and told."""
    path = tmp_path / "data" / "net_db.json"
    key = "MatMul%input%[250,1000]%input%[1000,1000]"
    path.write_text(
        json.dumps(
            {
                f"{key}%T%2": {"avg": 7},
                f"{key}%note%A": {"avg": 1},
                f"{key}%note%B": {"avg": 3},
                "Allreduce%endpoints%2%numElements%50": {"avg": 5},
            }
        )
    )
    times = Times(path, "tensorflow", "V100", "net")
    found = times.of(read_nodes(tmp_path / "data" / "one.pbtxt", "tensorflow"))["mm"]
    assert found.seconds == pytest.approx(2e-6)
    assert found.several == 2
    assert times.allreduce_s == {2: {200.0: pytest.approx(5e-6)}}
    report = run_benchmark(read_benchmark(tensorflow), ["net"], accuracy=False)
    assert "2 nodes fit several entries" in report.notes[0]


def test_a_pytorch_folder(pytorch):
    """One GPU: f, b0 and b1 (the median of Backward) of 10 us, the optimiser of 2.

    On two, ddp_pre_0 takes the 21st; exchange 0 of 100 bytes (15 us) goes to 36, b1 beside it to
    31 and ddp_pre_1 to 32; exchange 1 of 300 bytes (halfway, 22.5 us) to 58.5; then the optimiser.
    """
    report = run_benchmark(read_benchmark(pytorch.parent), execution=IDEAL)
    one, two = report.cells
    assert one.predicted_s == pytest.approx(32e-6)
    assert one.deviation_s == pytest.approx(5e-7)
    assert one.error == pytest.approx(0)
    assert two.predicted_s == pytest.approx(60.5e-6)
    assert two.exchange_source == "nccl-tests log"
    assert two.error is None
    assert not two.is_lower_bound
    assert report.notes == ["not compared, nor averaged: net on 2: no baseline"]
    (single,), (multi,) = report.single, report.multi
    assert (single.covered_nodes, single.nodes, single.covered_types, single.types) == (4, 5, 3, 4)
    assert (multi.covered_nodes, multi.nodes) == (6, 7)
    assert single.uncovered == {"Backward": 1}


@pytest.mark.parametrize(("device", "bound"), [("V100", False), ("my own", True)])
def test_filling_a_bucket_is_a_copy(pytorch, device, bound):
    """25 and 75 gradients of 4 bytes, read and written at a V100's 900 GB/s."""
    change(pytorch, device=device)
    path = pytorch.parent / "data" / "net_db.json"
    path.write_text(json.dumps({k: t for k, t in SECONDS.items() if "ddp" not in k}))
    report = run_benchmark(read_benchmark(pytorch), execution=IDEAL)
    assert report.cells[1].is_lower_bound is bound
    (multi,) = report.multi
    assert multi.uncovered == {"ddp_pre": 2, "Backward": 1}
    copies = 0 if bound else 2 * 4 * (25 + 75) / 900e9
    assert multi.estimated_s - 10e-6 == pytest.approx(copies, abs=1e-15)


def test_baselines_that_are_none(tmp_path):
    path = tmp_path / "b.json"
    path.write_text('{"1": {"a": 5.5, "b": 0, "c": null}, "2": {"a": -1}}')
    found = read_baselines(path)
    assert found.seconds == {(1, "a"): pytest.approx(5.5e-3)}
    assert found.why_not(1, "a") == ""
    assert found.why_not(1, "b") == "b on 1: baseline is 0 ms"
    assert found.why_not(1, "c") == "c on 1: baseline is None"
    assert found.why_not(2, "a") == "a on 2: baseline is -1 ms"
    assert found.why_not(4, "a") == "a on 4: no baseline"
    for content in ("[]", '{"one": {}}', '{"1": 5}', "{"):
        path.write_text(content)
        with pytest.raises(InputError):
            read_baselines(path)


@pytest.fixture
def command(monkeypatch, capsys):
    """`lydite aisim`, as its users call it: exit code, output, errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lydite", "aisim", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return call


def test_the_tables(command, tensorflow):
    code, out, err = command(tensorflow, "--launch", "0 us", "-m", "net", "n2")
    assert code == 0
    for part in (
        "Coverage of database using single GPU graph",
        "3/5=60.0%",
        "<=96.3%",
        "uncovered in net: Relu(1) Odd(1)",
        "Average node coverage: 60.0%",
        ">=0.107/0.107=100.0% +0.0 %",
        ">=0.107/0.214=50.0% -50.0 %",
        "/none",
        "Accuracy over 3 steps",
        "sum of operators",
        "one constant efficiency",
        "not compared, nor averaged: n2 on 2: baseline is 0 ms",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= 100
    assert err.startswith("assumed: a launch takes 0 us;")


def test_parts_and_json(command, pytorch, tmp_path):
    _, out, _ = command(pytorch, "--skip-accuracy")
    assert "Accuracy" not in out
    assert "4/5=80.0%" in out
    _, out, _ = command(pytorch, "--skip-coverage", "--nccl-logs", tmp_path / "data" / "nccl")
    assert "Coverage" not in out
    _, out, _ = command(pytorch, "--json", "--out", tmp_path / "out")
    found = json.loads(out)
    assert found == json.loads((tmp_path / "out" / "aisim.json").read_text())
    assert [step["baseline_s"] for step in found["steps"]] == [pytest.approx(32e-6), None]
    assert found["assumed"] == {"launch_s": 4e-6, "compute_slowdown": 1.3, "exchange_slowdown": 2.2}
    assert set(found["accuracy"]) == {"simulated", "sum of operators", "one constant efficiency"}


def change(path, **fields):
    config = yaml.safe_load(path.read_text()) | fields
    path.write_text(yaml.safe_dump({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"platform": "tensorflaw"}, "platform 'tensorflaw'; allowed: pytorch, tensorflow; did"),
        ({"platform": None}, "platform: missing"),
        ({"platform": "pytorch"}, "is a database of tensorflow, but the platform is pytorch"),
        ({"baseline_path": None}, "baseline_path: missing; add --skip-accuracy"),
        ({"baseline_path": "data/no.json"}, "baseline_path: no such file"),
        ({"baseline_path": "../b.json"}, "'../b.json' points outside the folder"),
        ({"enviroments": {"many": 0}}, "enviroments.many: 0 is not a number of GPUs"),
        ({"enviroments": {"four": 4}}, "4 devices requested"),
        ({"tasks": {}}, "tasks: missing"),
        ({"tasks": {"net": {"graph_path": "data/one.pbtxt"}}}, "tasks.net: database_path: missing"),
        ({"tasks": {"net": {"database_path": "data/net_db.json"}}}, "net: graph_path: missing"),
        ({"nccl_path": "data"}, "holds no log of nccl-tests"),
    ],
)
def test_bad_folders(command, tensorflow, fields, message):
    change(tensorflow, **fields)
    code, out, err = command(tensorflow)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert any(part in err for part in message.split("|"))


def test_bad_options(command, tensorflow, tmp_path):
    for arguments, message in (
        (["-m", "nett"], "unknown model 'nett'; allowed: n2, net; did you mean 'net'?"),
        (["--nccl-logs", tmp_path / "none"], "no such folder"),
        (["--launch", "4 m"], "is not in s"),
        (["--skip-coverage", "--skip-accuracy"], "nothing is left to do"),
        (["--compute-slowdown", "0.5"], "allowed: 1 or more"),
    ):
        code, _, err = command(tensorflow, *arguments)
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1
    assert command(tmp_path / "none.yaml")[2].endswith(": No such file or directory\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"bucket_size": 75', '"bucket_size": 0', "node 'ddp_pre_1': bucket_size is 0; allowed"),
        ('"bucket_size": 25', '"size": 25', "node 'ddp_Allreduce_0': bucket_size is None"),
        ('["b1"]', '["b9"]', "unknown input node 'b9'"),
        ('["ddp_pre_1"]', '["ddp_pre_1", "optimizer_step"]', "wait for each other"),
    ],
)
def test_bad_graphs(pytorch, old, new, message):
    path = pytorch.parent / "data" / "many.json"
    path.write_text(path.read_text().replace(old, new))
    report = run_benchmark(read_benchmark(pytorch))
    assert [cell.gpus for cell in report.cells] == [1]
    assert [found for found in report.refused if message in found]


def test_one_bad_model_does_not_stop_the_others(command, tensorflow):
    """One without a graph for two GPUs, one whose database is Git LFS's pointer to it."""
    one_gpu = {k: v for k, v in task("pbtxt").items() if "multi" not in k}
    pointer = {**task("pbtxt"), "database_path": "data/pointer_db.json"}
    (tensorflow.parent / "data" / "pointer_db.json").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    )
    change(tensorflow, tasks={"net": task("pbtxt"), "n2": one_gpu, "far": pointer})
    code, out, _ = command(tensorflow, "--json")
    assert code == 0
    found = json.loads(out)
    steps = {(step["model"], step["gpus"]) for step in found["steps"]}
    assert steps == {("net", 1), ("n2", 1), ("net", 2)}
    assert found["refused"] == [
        "tasks.far: database_path: is a Git LFS pointer, not the file",
        "tasks.n2: has no graph for several GPUs (graph_path_multi_gpu)",
    ]
    assert "left out: tasks.n2: has no graph for several GPUs" in command(tensorflow)[1]
