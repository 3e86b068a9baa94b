"""Small valid inputs of every kind that Lydite reads, and the commands that read them."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

import lydite.hardware.catalog as catalog
from lydite.graph import keys_of
from lydite.models import build_model
from lydite.store import Conditions, Database, Measurement, Software

FILE = "{file}"
FOLDER = "{folder}"
CATALOG = Path(catalog.__file__).parent


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input.

    Attributes:
        name: What it is.
        form: How it is changed: "onnx", "bytes", "json", "yaml", "text" or "csv".
        write: Writes a valid input into an empty folder; returns the files that may be changed.
        commands: Arguments of `lydite`; `FILE` is the changed file, `FOLDER` its folder.
    """

    name: str
    form: str
    write: Callable[[Path], Sequence[Path]]
    commands: Sequence[str]


def _file(name: str, content: str | bytes) -> Callable[[Path], Sequence[Path]]:
    def write(folder: Path) -> Sequence[Path]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [path]

    return write


def _json(name: str, content: object) -> Callable[[Path], Sequence[Path]]:
    return _file(name, json.dumps(content, indent=1))


def _onnx(folder: Path, has_branches: bool = True) -> Sequence[Path]:
    """Convolution, normalisation, branches, quantisation, a function body and dynamic sizes."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "fc": rng.normal(size=(4, 5)).astype(np.float32),
        "scale": np.float32(0.1),
        "zero": np.uint8(3),
        "axes": np.array([2, 3], np.int64),
        "yes": np.array(True),
    }
    then, other = (
        helper.make_graph(
            [helper.make_node(op, ["pooled"], ["y"])],
            op,
            [],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
        for op in ("Relu", "Tanh")
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["q"], "quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantise"),
        helper.make_node("ReduceMean", ["d", "axes"], ["pooled"], "mean", keepdims=0),
        helper.make_node("If", ["yes"], ["chosen"], "if", then_branch=then, else_branch=other)
        if has_branches
        else helper.make_node("Relu", ["pooled"], ["chosen"], "relu"),
        helper.make_node("MatMul", ["chosen", "fc"], ["m"], "fc"),
        helper.make_node("Softmax", ["m"], ["y"], "softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return [path]


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e4,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32},
}
EXPERTS = {
    **CONFIG,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
    "mlp_only_layers": [],
}
EXPERTS.pop("quantization_config")


def _graphdef_node(name: str, op: str, inputs: Sequence[str], shape: Sequence[int]) -> str:
    lines = [f'  name: "{name}"', f'  op: "{op}"', *(f'  input: "{each}"' for each in inputs)]
    kind = "dtype" if op in ("Placeholder", "VariableV2") else "T"
    lines.append(f'  attr {{ key: "{kind}" value {{ type: DT_FLOAT }} }}')
    dims = " ".join(f"dim {{ size: {size} }}" for size in shape)
    lines.append(f'  attr {{ key: "_output_shapes" value {{ list {{ shape {{ {dims} }} }} }} }}')
    lines.append(f'  attr {{ key: "shape" value {{ shape {{ {dims} }} }} }}')
    return "node {\n" + "\n".join(lines) + "\n}\n"


GRAPHDEF = (
    _graphdef_node("x", "Placeholder", (), (25, 100))
    + _graphdef_node("w", "VariableV2", (), (100, 10))
    + _graphdef_node("mm", "MatMul", ("x", "w"), (25, 10))
    + _graphdef_node("act", "Relu", ("mm",), (25, 10))
    + _graphdef_node("reduce", "Allreduce", ("act",), (25, 10))
)


def _varint(number: int) -> bytes:
    number %= 1 << 64
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Protobuf's wire format."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(raw)) + raw
    return out


def _binary_graphdef() -> bytes:
    def shape(*sizes: int) -> bytes:
        return _message(*((2, _message((1, size))) for size in sizes))

    def node(name: str, op: str, *inputs: str, **attrs: bytes) -> tuple[int, bytes]:
        entries = [(5, _message((1, key), (2, value))) for key, value in attrs.items()]
        return 1, _message((1, name), (2, op), *((3, each) for each in inputs), *entries)

    real = _message((6, 1))
    weights = _message((1, 1), (2, shape(3, 2)), (4, struct.pack("<6f", *range(6))))
    return _message(
        node("x", "Placeholder", dtype=real, shape=_message((7, shape(4, 3)))),
        node("w", "Const", dtype=real, value=_message((8, weights))),
        node("mm", "MatMul", "x", "w", T=real, transpose_a=_message((5, 0))),
        node("r", "Relu", "mm", T=real),
        (4, _message((1, 134))),
    )


def _smaug(folder: Path) -> Sequence[Path]:
    from lydite.compat.smaug import write_smaug

    return list(write_smaug(build_model("minerva", dtype="float16"), folder))


LAYERS = """Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Filters,Strides,
conv1,16,16,3,3,3,8,1,
conv2,14,14,3,3,8,16,2,
fc,1,1,1,1,64,10,1,
"""
SCALESIM = """[general]
run_name = tiny
[architecture_presets]
ArrayHeight: 8
ArrayWidth: 4
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
Bandwidth: 10
Dataflow: os
[layout]
IfmapSRAMBankBandwidth: 20
FilterSRAMBankBandwidth: 30
[run_presets]
InterfaceBandwidth: USER
"""
SMV = "\n".join(
    [
        "# a comment",
        "pipelining,0",
        "cycle_time,1",
        "ready_mode,0",
        *(
            f"partition,cyclic,{name},65536,4,8"
            for name in ("inputs", "weights", "results", "a", "b", "inputs0", "inputs1")
        ),
        "partition,complete,kernel_reg,1024,4",
        "partition,complete,act_reg,128,4",
    ]
)
ONNXIM = {
    "num_cores": 1,
    "core_freq": 1000,
    "core_config": {
        "core_0": {
            "core_type": "systolic_ws",
            "core_width": 16,
            "core_height": 16,
            "spad_size": 1024,
            "accum_spad_size": 256,
            "vector_process_bit": 4096,
        }
    },
    "dram_type": "simple",
    "dram_freq": 1200,
    "dram_channels": 16,
    "dram_req_size": 32,
    "dram_size": 16,
    "icnt_latency": 1,
    "precision": 2,
}


def _catalog(kind: str, name: str) -> Callable[[Path], Sequence[Path]]:
    return _file(f"{name}.yaml", (CATALOG / kind / f"{name}.yaml").read_bytes())


_PCIE = {
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
                    "links": [{"dest": f"/server/h/GPU/{1 - at}/", **_PCIE}],
                }
                for at in range(2)
            }
        }
    }
}
_pool = _file("resource_pool.yaml", yaml.safe_dump(POOL))
OPERATORS = {
    "Placeholder%dtype%1": {"avg": 1.0},
    "VariableV2%dtype%1": {"avg": 2.0},
    "MatMul%input%[25,100]%input%[100,10]%T%1": {"avg": 100.0, "std_err": 1.0},
    "Relu%input%[25,10]%T%1": {"avg": 3.0},
}


def _torch_node(
    name: str, op: str, sources: list[str], targets: list[str], inputs: list, outputs: list
) -> dict[str, object]:
    return {
        "name": name,
        "op": op,
        "input_nodes": sources,
        "output_nodes": targets,
        "input_types": ["torch.float32"] * len(inputs),
        "input_shapes": inputs,
        "output_types": ["torch.float32"] * len(outputs),
        "output_shapes": outputs,
    }


TORCH = [
    _torch_node("x", "x", [], ["fc"], [], [[2, 8]]),
    {
        **_torch_node("fc", "torch.nn.modules.linear.Linear", ["x"], ["relu"], [[2, 8]], [[2, 4]]),
        "weight_type": "torch.float32",
        "weight_shape": [4, 8],
    },
    _torch_node("relu", "torch.nn.modules.activation.ReLU", ["fc"], ["output"], [[2, 4]], [[2, 4]]),
    _torch_node("output", "output", ["relu"], [], [[2, 4]], []),
]


def _aisim(folder: Path) -> Sequence[Path]:
    data = folder / "data"
    data.mkdir()
    config = {
        "enviroments": {"1 Host X 1 V100": 1, "1 Host X 2 V100": 2},
        "device": "V100",
        "platform": "tensorflow",
        "baseline_path": "./data/baseline.json",
        "resource_pool_path": "./data/resource_pool.yaml",
        "tasks": {
            "net": {
                "graph_path": "data/one.pbtxt",
                "graph_path_multi_gpu": "data/one.pbtxt",
                "database_path": "data/net_db.json",
                "batch": 64,
            }
        },
    }
    files = {
        folder / "config.yaml": yaml.safe_dump(config),
        data / "baseline.json": json.dumps({"1": {"net": 0.1}, "2": {"net": 0.2}}),
        data / "resource_pool.yaml": yaml.safe_dump(POOL),
        data / "one.pbtxt": GRAPHDEF,
        data / "net_db.json": json.dumps(OPERATORS),
    }
    for path, text in files.items():
        path.write_text(text)
    return list(files)


NCCL = """# nThread 1 nGpus 8 minBytes 8 maxBytes 134217728 step: 2(factor)
# nccl-tests version 2.13.6 all_reduce_perf
#  Rank  0 Group  0 Pid  1 on  h device  0 [0x07] NVIDIA A100-SXM4-40GB
#  Rank  1 Group  0 Pid  1 on  h device  1 [0x0f] NVIDIA A100-SXM4-40GB
#                                           out-of-place                in-place
#  size  count   type redop root   time  algbw  busbw #wrong   time  algbw  busbw #wrong
      8      2  float   sum   -1  34.66   0.03   0.06      0  34.47   0.03   0.06      0
1048576 262144  float   sum   -1  60.10  17.45  30.53      0  59.80  17.53  30.68      0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 15.3
"""
STEPS = """model,step_ms,devices,batch,tp,pp,schedule,dtype
lenet5,10,1,8,1,1,,float32
lenet5,7,2,8,1,1,1f1b,float32
alexnet,30,2,8,1,1,1f1b,float16
alexnet,50,4,64,1,1,,float32
resnet18,70,4,64,2,1,,float32
gpt2,90,4,16,2,2,1f1b,float16
gpt2,60,2,8,1,2,gpipe,float16
"""


def _rows(suffix: str) -> Callable[[Path], Sequence[Path]]:
    def write(folder: Path) -> Sequence[Path]:
        from lydite.store import export_file

        path = folder / f"rows{suffix}"
        with Database.open(folder / "some.db") as database:
            keys = list(dict.fromkeys(keys_of(build_model("minerva")).values()))
            database.add(
                Measurement(
                    key,
                    "toy",
                    Software("onnxruntime", {"onnxruntime": "1.20"}),
                    Conditions(),
                    np.array([1e-3, 2e-3]),
                    environment={"clock": "wall"},
                )
                for key in keys
            )
            export_file(database, path)
        (folder / "some.db").unlink()
        return [path]

    return write


BASELINES = {"1": {"lenet5": 10.0}, "2": {"lenet5": 6.0}}
SIMULATE = f"simulate {FILE} --on dgx-a100 --devices 2"
TRAIN = f"{SIMULATE} --batch 2 --train"
KINDS: tuple[Kind, ...] = (
    Kind(
        "ONNX",
        "onnx",
        _onnx,
        (
            f"inspect {FILE} --batch 2",
            f"predict {FILE} --on a100 --batch 1 --json",
            f"chip {FILE} --chip systolic-32 --batch 1",
        ),
    ),
    Kind(
        "ONNX without branches",
        "onnx",
        lambda folder: _onnx(folder, has_branches=False),
        (TRAIN, f"chip {FILE} --batch 2", f"predict {FILE} --on cpu --batch 2"),
    ),
    Kind("ONNX, bytes", "bytes", _onnx, (f"inspect {FILE}", f"coverage {FILE} --dim batch=1")),
    Kind(
        "Hugging Face config",
        "json",
        _json("config.json", CONFIG),
        (
            f"inspect {FILE}",
            f"{SIMULATE} --sequence 8",
            f"chip {FILE} --chip systolic-32 --sequence 8",
        ),
    ),
    Kind(
        "Hugging Face config, experts",
        "json",
        _json("config.json", EXPERTS),
        (f"inspect {FOLDER}", f"predict {FILE} --on h100 --sequence 8"),
    ),
    Kind(
        "GraphDef, text",
        "text",
        _file("net.pbtxt", GRAPHDEF),
        (f"inspect {FILE}", f"coverage {FILE}"),
    ),
    Kind("GraphDef, binary", "bytes", _file("net.pb", _binary_graphdef()), (f"inspect {FILE}",)),
    Kind(
        "SMAUG topology",
        "text",
        _smaug,
        (f"inspect {FOLDER}/minerva_topo.pbtxt", f"chip {FOLDER}/minerva_topo.pbtxt"),
    ),
    Kind(
        "AISim graph",
        "json",
        _json("net.json", TORCH),
        (f"inspect {FILE}", f"coverage {FILE}"),
    ),
    Kind(
        "AISim operators",
        "json",
        _json("net_db.json", OPERATORS),
        (f"db import {FILE} --device v100",),
    ),
    Kind("AISim folder", "text", _aisim, (f"aisim {FOLDER}",)),
    Kind(
        "AISim pool",
        "yaml",
        _pool,
        (f"simulate lenet5 --on {FILE} --device v100",),
    ),
    Kind(
        "SCALE-Sim topology",
        "csv",
        _file("net.csv", LAYERS),
        (f"chip {FILE} --chip systolic-32 --compat scalesim", f"chip {FILE} --chip systolic-32"),
    ),
    Kind(
        "SCALE-Sim configuration",
        "text",
        _file("tiny.cfg", SCALESIM),
        (f"chip lenet5 --chip {FILE}",),
    ),
    Kind("SMAUG accelerator", "csv", _file("smv-accel.cfg", SMV), (f"chip minerva --chip {FILE}",)),
    Kind(
        "ONNXim configuration",
        "json",
        _json("npu.json", ONNXIM),
        (f"chip lenet5 --chip {FILE}",),
    ),
    Kind("chip", "yaml", _catalog("chips", "systolic-32"), (f"chip lenet5 --chip {FILE}",)),
    Kind("SMV chip", "yaml", _catalog("chips", "smv"), (f"chip minerva --chip {FILE}",)),
    Kind("device", "yaml", _catalog("devices", "nvidia-t4"), (f"predict lenet5 --on {FILE}",)),
    Kind(
        "cluster",
        "yaml",
        _catalog("clusters", "dgx-a100"),
        (
            f"simulate lenet5 --on {FILE} --train --batch 8",
            f"collective allreduce --bytes 1MiB --on {FILE}",
        ),
    ),
    Kind(
        "fabric",
        "yaml",
        _catalog("clusters", "h100-superpod"),
        (f"simulate lenet5 --on {FILE} --devices 8 --batch 8",),
    ),
    Kind("nccl-tests", "text", _file("nccl_2.log", NCCL), (f"db import {FILE} --device a100",)),
    Kind(
        "measured steps",
        "csv",
        _file("steps.csv", STEPS),
        (f"calibrate {FILE} --on dgx-a100", f"validate --baseline {FILE} --on dgx-a100"),
    ),
    Kind(
        "baselines",
        "json",
        _json("baseline.json", BASELINES),
        (f"validate --baseline {FILE} --on dgx-a100 --batch 4",),
    ),
    Kind("rows, JSON Lines", "text", _rows(".jsonl"), (f"db import {FILE}",)),
    Kind("rows, compressed", "bytes", _rows(".jsonl.gz"), (f"db import {FILE}",)),
    Kind("rows, Parquet", "bytes", _rows(".parquet"), (f"db import {FILE}",)),
    Kind(
        "database",
        "bytes",
        lambda folder: [_database(folder)],
        (f"db stats --db {FILE}", f"db query --db {FILE}"),
    ),
)


def _database(folder: Path) -> Path:
    (rows,) = _rows(".jsonl")(folder)
    path = folder / "rows.db"
    from lydite.store import import_file

    with Database.open(path) as database:
        import_file(database, rows)
    rows.unlink()
    return path


def write_seed(kind: Kind, folder: Path) -> Sequence[Path]:
    """Write a valid input of this kind into a folder that is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return kind.write(folder)
