"""AISim's folders as published: their layout and quirks rebuilt, with times worked out by hand.

A network of three kernels forward, four backward and two buckets: 4 MiB of gradients are ready
after 700 us, 1 MiB more after 1000 us, and the optimiser takes 100 us.
"""

from __future__ import annotations

import json

import pytest
import yaml

from lydite.cluster.collectives import read_nccl_log
from lydite.compat.aisim import Execution, read_benchmark, run_benchmark
from lydite.compat.aisim.graph_reader import graph_of_aisim
from lydite.errors import InputError

IDEAL = Execution(launch_s=0, compute_slowdown=1, exchange_slowdown=1)
MIB = 1 << 20
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
F32 = "torch.float32"


def node(name, op, sources=(), targets=(), inputs=(), outputs=(), **more):
    """A node; each of inputs and outputs is a shape, or None where the file has null."""
    types = {}
    for kind, shapes in (("input", inputs), ("output", outputs)):
        types[f"{kind}_types"] = [None if shape is None else F32 for shape in shapes]
        types[f"{kind}_shapes"] = list(shapes)
    return {
        "name": name,
        "op": op,
        "input_nodes": list(sources),
        "output_nodes": list(targets),
        **types,
        **more,
    }


X, W = [4, 1024], [1024, 1024]
NET = [
    node("x", "x", ["optimizer_zero"], ["fc"], outputs=[X]),
    node(
        "fc",
        "torch.nn.modules.linear.Linear",
        ["x"],
        ["add"],
        [X],
        [X],
        weight_type=F32,
        weight_shape=W,
    ),
    node("add", "operator.add", ["fc"], ["output"], [X, None], [X]),
    node("output", "output", ["add"], ["AddBackward00"], [X], [X]),
    node("AddBackward00", "AddBackward0", ["output"], ["MmBackward00"], [X], [X, None]),
    node("MmBackward00", "MmBackward0", ["AddBackward00"], ["AccumulateGrad0", "L"], [X], [W, X]),
    node("AccumulateGrad0", "AccumulateGrad", ["MmBackward00"], ["ddp_pre_0"], [W]),
    node("L", "LayerNormBackward0", ["MmBackward00"], ["AccumulateGrad1"], [X, None], [None, W]),
    node("AccumulateGrad1", "AccumulateGrad", ["L"], ["ddp_pre_1", "optimizer_step"], [W]),
]
ENDS = [
    node("optimizer_zero", "optimizer_zero", targets=["x"], inputs=[W]),
    node("optimizer_step", "optimizer_step", ["AccumulateGrad1"], inputs=[W]),
]
BUCKETS = [
    node("ddp_pre_0", "ddp_pre", ["AccumulateGrad0"], attrs={"bucket_size": MIB}),
    node("ddp_Allreduce_0", "ddp_Allreduce", ["ddp_pre_0"], attrs={"bucket_size": MIB}),
    node(
        "ddp_pre_1",
        "ddp_pre",
        ["AccumulateGrad1", "ddp_Allreduce_0"],
        attrs={"bucket_size": MIB // 4},
    ),
    node("ddp_Allreduce_1", "ddp_Allreduce", ["ddp_pre_1"], attrs={"bucket_size": MIB // 4}),
]
DISTRIBUTED = [*NET, *BUCKETS, ENDS[0], {**ENDS[1], "input_nodes": ["ddp_Allreduce_1"]}]
US = {
    "x": 0,
    "fc": 150,
    "add": 50,
    "output": 0,
    "AddBackward00": 100,
    "MmBackward00": 300,
    "AccumulateGrad0": 100,
    "L": 250,
    "AccumulateGrad1": 50,
    "optimizer_zero": 0,
    "optimizer_step": 100,
}
LINES = {1: (0, 0), 2: (20, 20), 8: (40, 40), 16: (100, 400)}
"""Microseconds and microseconds a MiB of an all-reduce, by number of GPUs."""


def log(gpus, tag=""):
    a, b = LINES[gpus]
    ranks = [f"#   Rank {at:2} Pid 1 on host device {at} [0x00] X" for at in range(gpus)]
    rows = [
        f"{m * MIB} {m * MIB // 4} float sum {1.1 * (a + b * m) or 1} 1 1 N/A {a + b * m or 1} 1 1 "
        "2e-07"
        for m in (1, 2, 4)
    ]
    return "\n".join(tag + line for line in ["# nThread 1", *ranks, *rows, "#"])


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")


def config(prefix, models, environments, **fields):
    named = {"baseline_path": "data/torch/baseline.json", "resource_pool_path": "data/pool.yaml"}
    tasks = {
        m: {
            "type": "CV",
            "batch_size": 4,
            "graph_path": f"{prefix}data/torch/graphs/{m}.json",
            "graph_path_multi_gpu": f"{prefix}data/torch/graphs/distributed/{m}.json",
            "database_path": f"{prefix}data/torch/database/{m}_db.json",
        }
        for m in models
    }
    document = {
        "enviroments": environments,
        "device": "TeslaV100",
        "platform": "pytorch",
        **{name: prefix + path for name, path in named.items()},
        **fields,
        "tasks": tasks,
    }
    return yaml.safe_dump(document)


@pytest.fixture
def published(tmp_path):
    """The repository's root with logs, rubbish and configurations, its data below."""
    data = tmp_path / "ai" / "bench" / "data"
    put(data / "pool.yaml", POINTER)  # not needed: there are logs
    put(data / "torch" / "baseline.json", {"1": {"tern": 1.1}, "2": {"tern": 0}, "8": {}})
    for model in ("tern", "grebe"):
        put(data / "torch" / "graphs" / f"{model}.json", NET + ENDS)
        put(data / "torch" / "graphs" / "distributed" / f"{model}.json", DISTRIBUTED)
    put(data / "torch" / "database" / "tern_db.json", {k: t * 1e-6 for k, t in US.items()})
    put(data / "torch" / "database" / "tern_var copy.json", {"fc": 1e-12})
    for gpus in LINES:
        put(tmp_path / f"nccl_{gpus}.log", log(gpus, "[1,0]<stdout>:" if gpus > 8 else ""))
    put(tmp_path / "DDP.json", "{\n 12 12 float oops\n}")
    put(tmp_path / "log1.csv", ",aten::conv2d\n0,12\n")
    put(tmp_path / "host2", "")
    counts = {f"{gpus} GPUs": gpus for gpus in LINES}
    put(tmp_path / "config.yaml", config("ai/bench/", ["tern"], counts, nccl_path="./"))
    put(
        tmp_path / "ai" / "bench" / "config" / "full.yaml",
        config("", ["grebe", "tern"], {"one": 1}),
    )
    return tmp_path


def test_steps_worked_out_by_hand(published):
    """Bucket 0 is full at 700 us, bucket 1 at 1000 us; the optimiser waits for both exchanges.

    On 2: 700 + 100 = 800, 1000 + 40 = 1040. On 8: 1000 + 80. On 16: 700 + 1700 = 2400, + 500.
    """
    report = run_benchmark(read_benchmark(published), execution=IDEAL)
    found = {cell.gpus: round(cell.predicted_s * 1e6, 3) for cell in report.cells}
    assert found == {1: 1100, 2: 1140, 8: 1180, 16: 3000}
    (single,), (multi,) = report.single, report.multi
    assert (single.covered_nodes, single.nodes, single.covered_types, single.types) == (
        11,
        11,
        10,
        10,
    )
    assert (multi.covered_nodes, multi.nodes) == (11, 13)
    assert multi.uncovered == {"ddp_pre": 2}
    assert single.measured_s == pytest.approx(1100e-6)


def test_paths_from_the_working_directory_and_a_task_without_its_database(published):
    report = run_benchmark(read_benchmark(published / "ai" / "bench" / "config" / "full.yaml"))
    assert [cell.model for cell in report.cells] == ["tern"]
    (why,) = report.refused
    assert why.startswith("tasks.grebe: database_path: no such file")
    assert why.endswith("grebe_db.json")


def test_files_that_lie_beside_the_baselines(published):
    """The configuration says data/graphs, the files lie in data/torch/graphs."""
    path = published / "ai" / "bench" / "config" / "old.yaml"
    text = config("", ["tern"], {"one": 1})
    for part in ("graphs", "database"):
        text = text.replace(f"data/torch/{part}", f"./data/{part}")
    path.write_text(text)
    benchmark = read_benchmark(path)
    assert [cell.predicted_s for cell in run_benchmark(benchmark).cells]
    assert "tasks.tern.graph_path: not there; read data/torch/graphs/tern.json" in benchmark.notes


def test_mpirun_tags_do_not_hide_the_rows(published):
    ranks, curve = read_nccl_log(published / "nccl_16.log")
    assert ranks == 16
    assert curve.at(2 * MIB) == pytest.approx(900e-6)


def test_null_types_are_unknown_types():
    graph = graph_of_aisim(NET + ENDS)
    (op,) = [op for op in graph.ops if op.name == "AddBackward00"]
    assert [graph.tensors[name].shape for name in op.outputs] == [tuple(X), None]


def test_a_later_node_does_not_overtake_on_the_compute_stream(tmp_path):
    """`late` waits 30 us for an exchange; `free` was launched after it and so runs after it."""
    graph = [
        node("a", "A", [], ["ddp_Allreduce_0"], [X], [X]),
        node("ddp_Allreduce_0", "ddp_Allreduce", ["a"], ["late"], attrs={"bucket_size": MIB}),
        node("late", "B", ["ddp_Allreduce_0"], [], [X], [X]),
        node("free", "C", ["a"], [], [X], [X]),
    ]
    put(tmp_path / "data" / "torch" / "graphs" / "distributed" / "m.json", graph)
    put(tmp_path / "data" / "torch" / "graphs" / "m.json", graph)
    put(
        tmp_path / "data" / "torch" / "database" / "m_db.json",
        {"a": 10e-6, "late": 5e-6, "free": 20e-6},
    )
    put(tmp_path / "data" / "torch" / "baseline.json", {})
    put(tmp_path / "data" / "pool.yaml", {})
    put(tmp_path / "logs" / "nccl_2.log", log(2))
    put(tmp_path / "config.yaml", config("", ["m"], {"two": 2}, nccl_path="logs"))
    report = run_benchmark(read_benchmark(tmp_path), execution=IDEAL)
    assert report.cells[0].predicted_s == pytest.approx((10 + 100 + 5 + 20) * 1e-6)


def tf_node(name, op, *inputs, shape, **attrs):
    sizes = " ".join(f"dim {{ size: {size} }}" for size in shape)
    values = {"_output_shapes": f"list {{ shape {{ {sizes} }} }}"} | attrs
    lines = [f'input: "{source}"' for source in inputs]
    lines += [f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in values.items()]
    return f'node {{ name: "{name}" op: "{op}" device: "/device:GPU:0" {" ".join(lines)} }}\n'


def constant(name, shape):
    sizes = " ".join(f"dim {{ size: {size} }}" for size in shape)
    value = f"tensor {{ dtype: DT_FLOAT tensor_shape {{ {sizes} }} float_val: 0 }}"
    return tf_node(name, "Const", shape=shape, dtype="type: DT_FLOAT", value=value)


WREN = (
    constant("images", (8, 48))
    + constant("rate", ())
    + tf_node("relu", "Relu", "images", shape=(8, 48), T="type: DT_FLOAT")
)
MULTI = WREN + tf_node("r", "HorovodAllreduce", "relu", shape=(8, 48), T="type: DT_FLOAT")
WREN_DB = {
    "Const%dtype%1%value%[1,[8,48]]": {"avg": 16},
    "Const%dtype%1%value%[1,[]]": {"avg": 17},
    "Const%dtype%1%value%[1,[4,32]]": {"avg": 99},
    "Relu%input%[8,48]%T%1": {"avg": 22},
}


@pytest.fixture
def manual(tmp_path):
    """The manual's layout: no configuration; two hosts of four GPUs."""
    data = tmp_path / "simulator_benchmark" / "data"
    put(data / "graphs" / "wren_bsDefault_gpunum1_partitionGraph_0.pbtxt", WREN)
    put(data / "graphs" / "wren_bsDefault_gpunum2_partitionGraph" / "0" / "graph_0.pbtxt", MULTI)
    put(data / "graphs" / "lfs_bsDefault_gpunum1_partitionGraph_0.pbtxt", POINTER)
    put(data / "database" / "wren_db.json", WREN_DB)
    link = {
        "type": "PCIE",
        "rate": "8Gbps",
        "propagation_latency": "2us",
        "scheduler": "FairSharing",
    }
    speed = {"average_performance": "1Tbps"}
    hosts, here = {}, []
    for host in "ab":
        gpus = {}
        for at in range(4):
            gpus[at] = {"properties": speed, "links": [{"dest": "/switch/s/", **link}]}
            here.append({"dest": f"/server/{host}/GPU/{at}/", **link})
        hosts[host] = {"GPU": gpus}
    pool = {"Server": hosts, "Switch": {"s": {"links": here}}}
    put(data / "resource_pool.yaml", yaml.safe_dump(pool))
    put(data / "baseline.json", {str(n): {"wren": 0.06, "other": 0} for n in (1, 2, 4, 8)})
    return tmp_path


def test_the_manuals_layout_needs_no_configuration(manual):
    report = run_benchmark(read_benchmark(manual), execution=IDEAL)
    assert [cell.environment for cell in report.cells] == [
        "1 Host X 1 GPU",
        "1 Host X 2 GPU",
        "1 Host X 4 GPU",
        "2 Host X 4 GPU",
    ]
    assert report.cells[0].predicted_s == pytest.approx(55e-6)
    (single,) = report.single
    assert (single.covered_nodes, single.nodes, single.measured_s) == (3, 3, pytest.approx(55e-6))
    assert not [note for note in report.notes if "several entries" in note]
    assert any("Git LFS pointer" in why for why in report.refused)


def test_one_database_of_a_gpu_type(manual, tmp_path):
    """Beside the graphs under another name, or anywhere with --database."""
    folder = manual / "simulator_benchmark" / "data" / "database"
    (folder / "wren_db.json").rename(folder / "MI100_db.json")
    benchmark = read_benchmark(manual)
    assert benchmark.device == "MI100"
    assert benchmark.tasks["wren"].database == folder / "MI100_db.json"
    put(tmp_path / "own.json", {**WREN_DB, "Relu%input%[8,48]%T%1": {"avg": 23}})
    report = run_benchmark(read_benchmark(manual, tmp_path / "own.json"), accuracy=False)
    assert report.single[0].measured_s == pytest.approx(56e-6)


def test_several_data_sets_or_configurations_are_listed(manual, published):
    with pytest.raises(InputError, match="is no benchmark folder of AISim"):
        read_benchmark(manual / "simulator_benchmark" / "data" / "graphs")
    (published / "config.yaml").rename(published / "config_a.yaml")
    put(published / "config_b.yaml", "a: 1")
    with pytest.raises(InputError, match=r"holds 2 configurations.*config_a.yaml"):
        read_benchmark(published)
