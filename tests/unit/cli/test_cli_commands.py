"""Every command through the real entry point, on a machine that answers from a recording."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import typer

from lydite import __version__
from lydite.cli.app import SUMMARIES, Commands, app
from lydite.hardware import Device
from lydite.models import model_names
from lydite.report.text import signed_percent, table
from lydite.store import Database, Software

SHAPE = (
    "--batch --image-size --sequence --phase --context --dtype/--precision --dim --value "
    "--part --params --train "
    "--optimizer --loss --recompute"
)
MLPERF = (
    "--round --target-qps --expected-qps --expected-latency "
    "--min-duration --min-queries --fast --batch-size --batch-delay --workers --threads "
    "--precision --backend --device --samples --latency-limit --ttft-limit --tpot-limit "
    "--data --adapter --calibration --dim --built-only --config-ver/--config_ver --user-conf "
    "--config --system"
)
SIZES = "--shape --filters --kernel --stride"
COMMANDS = {
    "lydite": "--version",
    "lydite aisim": "config more --models/-m --skip-coverage --skip-accuracy --nccl-logs "
    "--database --launch --compute-slowdown --exchange-slowdown --record --db --out --json "
    "--quiet/-q",
    "lydite bench": f"model --backend --threads {SHAPE} "
    "--budget --rounds --clock --device --db --seed --out --json --quiet/-q",
    "lydite calibrate": "steps --on --constants --rounds --db --record --json --quiet/-q",
    "lydite chip": "model --chip --dataflow --overlap --accelerators --interface --threads "
    f"{SHAPE} --tiling --array-only --sample-level --aladdin-results --compat --sensitivity "
    "--vary --ray --trace --report --record --db --out --json --quiet/-q",
    "lydite collective": "kind --bytes --on --ranks --algorithm --protocol --network --db --record "
    "--out --json --quiet/-q",
    "lydite corun": f"model --workers {SHAPE} --budget --rounds --db --seed --out --json "
    "--quiet/-q",
    "lydite coverage": f"model --on --backend --threads {SHAPE} --clock --db --record --out --json "
    "--quiet/-q",
    "lydite db": "",
    "lydite db export": "path --op-type --device --scope --force --db --json",
    "lydite db import": "file --device --ranks --db --json",
    "lydite db merge": "other --db --json",
    "lydite db query": "--op-type --device --scope --limit --db --json",
    "lydite db stats": "--db --json",
    "lydite demo": "--out --budget --db --seed --json --quiet/-q",
    "lydite doctor": "--load --out --json --quiet/-q",
    "lydite farm": "",
    "lydite farm drain": "host --db --json",
    "lydite farm status": "--db --json",
    "lydite farm worker": "--device --backend --host --idle --db --json --quiet/-q",
    "lydite inspect": f"model {SHAPE} --ops --record --db --out --json --quiet/-q",
    "lydite learn": "",
    "lydite learn evaluate": "--neusight --aiconfigurator --split --model --ray --record --db "
    "--out --json "
    "--quiet/-q",
    "lydite learn fit": "--out --neusight --aiconfigurator --rows --start --ray --record --db "
    "--json --quiet/-q",
    "lydite mlperf": "",
    "lydite mlperf audit": "--runs benchmark --benchmarks --test --scenario/--scenarios "
    f"{MLPERF} --legacy --on --service --db --record --seed --json --quiet/-q",
    "lydite mlperf build": "benchmark --benchmarks --scenario/--scenarios --round "
    "--batch-size --workers --threads --precision --backend --data --adapter "
    "--calibration --dim --config-ver/--config_ver --user-conf --config --system --on "
    "--force_calibration --json --quiet/-q",
    "lydite mlperf calibrate": "benchmark --benchmarks --calibration-list "
    "--calibration-samples --method --per-channel --operators --keep --gate --search "
    "--evaluate --round --threads --data --adapter --dim --record --db --out --json --quiet/-q",
    "lydite mlperf check": "folder --round --official --submitter --record --db --json",
    "lydite mlperf explain": f"benchmark --scenario/--scenarios {MLPERF} --json",
    "lydite mlperf peak": f"benchmark --scenario {MLPERF} --virtual --on --service "
    "--replay --db --record --seed --out --json --quiet/-q",
    "lydite mlperf preprocess": "benchmark --data --out --map --annotations --resize --mean "
    "--std --count --jobs --json --quiet/-q",
    "lydite mlperf run": "benchmark --benchmarks --scenario/--scenarios "
    f"--mode/--test_mode {MLPERF} --force_calibration --virtual --on --service --replay "
    "--db --record --seed --out --json --log_dir --log_copy_detail_to_stdout --verbose --quiet/-q",
    "lydite mlperf submission": "runs --out --submitter --division --system --calibration "
    "--map "
    "--round --force --json",
    "lydite monitor": "command --interval --duration --devices --sensors --idle --prometheus "
    "--host --record --db --out --json --quiet/-q",
    "lydite mlperf tune": "benchmark --scenario --batch-sizes --thread-counts "
    "--worker-counts --batch-delays --round --target-qps --expected-qps "
    "--expected-latency --min-duration --min-queries --fast --precision --backend "
    "--device --samples --latency-limit --ttft-limit --tpot-limit --data --adapter "
    "--calibration --dim --built-only --config-ver/--config_ver --user-conf --config --system "
    "--virtual --on --service --replay --db --record --seed --out --json --quiet/-q",
    "lydite models": "--out --json --quiet/-q",
    "lydite place": "model --on --game --bandwidth --latency --time-limit --groups --backend "
    f"--threads {SHAPE} --db --record --out --json --quiet/-q",
    "lydite predict": f"model --on --backend --threads {SHAPE} "
    "--clock --runtime --ops --strict --db --record --seed --out --json --quiet/-q",
    "lydite profile": f"model --backend --threads {SHAPE} "
    "--cache --clock --budget --in-graph --again --timeout --memory --plan-for --on --operators "
    "--write --plan --farm --software --device --db --seed --out --json --quiet/-q",
    "lydite runs": "--limit --show --db --json",
    "lydite score": "--models --size --set --precision --batch "
    "--minimum-time/--minimum_time --iterations/--many-iterations/--many_iterations "
    "--few-iterations/--few_iterations --rounds --backend --device --threads --inputs "
    "--questions --baseline --price "
    "--interval/--device-monitor-interval/--device_monitor_interval --if-busy --check "
    "--on --board --model --testmode --bmodel-precision/--bmodel_precision --restart "
    "--db --record --seed --out --json --quiet/-q",
    "lydite score compare": "first second --record --db --out --json",
    "lydite score verify": "file --record --db --json",
    "lydite serve": "model --on --runtime --tp --ep --pp --expert-load --replicas --layout "
    "--prefill --decode --kv-link --router --draft --draft-tokens --acceptance --policy "
    "--fail --cold-start --autoscale --max-num-seqs --max-num-batched-tokens --max-model-len "
    "--memory-share/--gpu-memory-utilization --kv-tokens --kv-dtype/--kv-cache-dtype "
    "--prefix-caching --chunked-prefill "
    "--profile --price --carbon --kv-host --kv-host-link --kv-disk --kv-disk-link "
    "--weights --lora --adapters --lora-share --lora-targets --images --image-tokens "
    "--trace --replay --benchmark --rate --concurrency --requests --isl "
    "--osl --arrival --burstiness --spread --shared-prefix --turns --think --dtype/--precision "
    "--part --slo --find --gpus --compare --ray --report --db --record --seed --out --json "
    "--quiet/-q",
    "lydite simulate": "model --on --devices --device --slow --slow-link --constants --algorithm "
    "--protocol --host-memory-bandwidth --price "
    "--grid --image-size --sequence --phase --context --dtype/--precision --dim --value "
    "--part --params --train "
    "--optimizer --loss "
    "--dp --tp --pp --cp --ep --expert-tensor --batch --micro-batch --schedule --chunks --zero "
    "--shard-size --offload --recompute --recompute-method --recompute-num-layers "
    "--attention --sequence-parallel --overlap --overlap-tensor --lora-rank --lora-targets "
    "--bucket --arithmetic "
    "--mtbf --checkpoint-interval --checkpoint-write --restart --runtime "
    "--search --ray --sensitivity --unfolded --network --strict --trace --report --db --record "
    "--out --json --quiet/-q",
    "lydite smaug": "command --explain --record --db --out --json --quiet/-q",
    "lydite ops": f"model --top --on --backend --threads {SHAPE} --clock --spaces --db --record "
    "--out --json --quiet/-q",
    "lydite tune": "",
    "lydite tune compare": f"operator {SIZES} --tuners --seeds --table --trials --db --record "
    "--seed --out "
    "--json --quiet/-q",
    "lydite tune expect": f"model --trials --top {SHAPE} --db --record --seed --out --json "
    "--quiet/-q",
    "lydite tune export": "path --form --db --json",
    "lydite tune import": "path --db --json",
    "lydite tune model": f"name --ops --tuner --trials --target {SHAPE} --modelsource --modelname "
    "--batchsize --iftune --ifcompare --db --seed --out --json --quiet/-q",
    "lydite tune op": f"operator {SIZES} --tuner --trials --target --db --seed --out --json "
    "--quiet/-q",
    "lydite turning-point": "model --vary --thread-counts --batch-sizes --sweep --extent --gain "
    f"--backend --threads {SHAPE} --budget --rounds --clock --device --db --record --seed --out "
    "--json "
    "--quiet/-q",
    "lydite ui": "--db --port --allow-host --workers --timelines",
    "lydite ui export": "--run --out --db --quiet/-q",
    "lydite validate": f"model --baseline --on --constants --backend --threads {SHAPE} "
    "--clock --budget --why --db --record --seed --out --json --quiet/-q",
}
TOTAL_S = 2 * 4e-4 + 2 * 1e-4 + 5e-5 + 1e-5 + 2e-4 + 2e-6
QUICK = ("--backend", "replay", "--budget", "0.05")
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "numpy",
    "sqlalchemy",
    "pydantic",
    "pyarrow",
    "pandas",
    "perfetto",
    "psycopg",
    "yaml",
    "psutil",
)


def commands(command, name):
    options = [
        "/".join(p.opts) if p.param_type_name == "option" else p.name for p in command.params
    ]
    yield name, " ".join(options)
    for sub, found in getattr(command, "commands", {}).items():
        yield from commands(found, f"{name} {sub}")


def test_commands_and_options_are_these():
    assert dict(commands(typer.main.get_command(app), "lydite")) == COMMANDS


def named(text: str) -> str:
    return text.strip("\n") + "\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_for_itself_and_each_option(lydite, name):
    ran = lydite(*name.split()[1:], "--help")
    assert ran.code == 0
    assert ran.err == ""
    for option in COMMANDS[name].split():
        assert option.split("/")[0] in ran.out.replace("MODEL", "model").lower()
    assert "No such" not in ran.out


def test_version(lydite):
    assert lydite("--version").out == f"lydite {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom lydite.cli import main\n"
        f"sys.argv = ['lydite', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_models_lists_the_set(lydite):
    ran = lydite("models")
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == model_names()
    assert re.search(
        r"^resnet50 +25\.6 M +8\.\d+ GFLOP +\d+ +image float32\[1,3,224,224\]$",
        ran.out,
        re.MULTILINE,
    )
    assert "Next: lydite inspect" in ran.err
    assert lydite("models", "--quiet").err == ""


def test_models_as_json(lydite):
    found = json.loads(lydite("models", "--json").out)["models"]
    by_name = {row["model"]: row for row in found}
    assert by_name["alexnet"]["parameters"] == 61_100_840
    assert all(row["source"] and row["flops"] > 0 for row in found)


INSPECTED = """
small: 7 operators, 898 parameters (3.51 KiB), 1.66 MFLOP
  inputs: image float32[1,3,32,32]
  outputs: fc.out float32[1,10]
  memory: 79.51 KiB at most (weights 3.51 KiB, inputs 12.00 KiB, activations 64.00 KiB)

type               count        work     read  written  parameters  FLOP/B
-----------------  -----  ----------  -------  -------  ----------  ------
Conv                   2  1.64 MFLOP  48.3 kB  65.5 kB         808    14.4
Relu                   2  16.4 kFLOP  65.5 kB  65.5 kB           0     0.1
GlobalAveragePool      1  8.22 kFLOP  32.8 kB   32.0 B           0     0.3
Gemm                   1    170 FLOP    392 B   40.0 B        90.0     0.4
Flatten                1      0 FLOP      0 B      0 B           0       -
"""

INSPECTED_OPS = """
small: 7 operators, 898 parameters (3.51 KiB), 1.66 MFLOP
  inputs: image float32[1,3,32,32]
  outputs: fc.out float32[1,10]
  memory: 79.51 KiB at most (weights 3.51 KiB, inputs 12.00 KiB, activations 64.00 KiB)

operator           type               output                    work     read  written  FLOP/B
-----------------  -----------------  ------------------  ----------  -------  -------  ------
conv               Conv               float32[1,8,32,32]   451 kFLOP  13.2 kB  32.8 kB     9.8
relu               Relu               float32[1,8,32,32]  8.19 kFLOP  32.8 kB  32.8 kB     0.1
conv_1             Conv               float32[1,8,32,32]  1.19 MFLOP  35.1 kB  32.8 kB    17.5
relu_1             Relu               float32[1,8,32,32]  8.19 kFLOP  32.8 kB  32.8 kB     0.1
globalaveragepool  GlobalAveragePool  float32[1,8,1,1]    8.22 kFLOP  32.8 kB   32.0 B     0.3
flatten            Flatten            float32[1,8]            0 FLOP      0 B      0 B       -
fc                 Gemm               float32[1,10]         170 FLOP    392 B   40.0 B     0.4
"""


@pytest.mark.parametrize(("flags", "text"), [((), INSPECTED), (("--ops",), INSPECTED_OPS)])
def test_inspect_a_file(lydite, net, flags, text):
    ran = lydite("inspect", net, *flags)
    assert (ran.code, ran.out, ran.err) == (0, named(text), "")


def test_inspect_a_name_with_sizes(lydite):
    found = json.loads(lydite("inspect", "AlexNet", "--batch", 4, "--json").out)
    assert found["model"] == "alexnet"
    assert found["inputs"] == {"image": "float32[4,3,224,224]"}
    assert found["operators"] == len(found["ops"])
    assert found["flops"] == pytest.approx(sum(op["flops"] for op in found["ops"]))
    assert found["unknown_operators"] == []


def test_inspect_says_what_is_open(lydite, open_net):
    path = open_net
    ran = lydite("inspect", path)
    assert "--dim N=SIZE" in ran.err
    bound = json.loads(lydite("inspect", path, "--dim", "N=2", "--json").out)
    same = json.loads(lydite("inspect", path, "--batch", 2, "--json").out)
    assert bound["inputs"] == same["inputs"] == {"image": "float32[2,3,32,32]"}
    assert bound["open_dims"] == []


PROFILED = """
model  operators  distinct  measured  reused  failed  untyped
-----  ---------  --------  --------  ------  ------  -------
small          7         6         6       0       0        0
"""

PREDICTED = """
small on toy-cpu: 1.26 ms (1.16 ms to 1.36 ms, 90 %)

type               count     time   share  source
-----------------  -----  -------  ------  --------
Conv                   2   800 us  63.4 %  measured
Relu                   2   200 us  15.8 %  measured
Gemm                   1   200 us  15.8 %  measured
GlobalAveragePool      1  50.0 us   4.0 %  measured
Flatten                1  10.0 us   0.8 %  measured
(call)                 1  2.00 us   0.2 %  measured

coverage: nodes 100.0 %, types 100.0 %; time: measured 100.0 %
"""


def test_profile_then_predict(lydite, net, recording):
    ran = lydite("profile", net, *QUICK, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, named(PROFILED), "")
    again = json.loads(lydite("profile", net, *QUICK, "--json").out)
    assert again["device"] == "toy-cpu"
    assert (again["models"][0]["measured"], again["models"][0]["reused"]) == (0, 6)

    ran = lydite("predict", net, "--backend", "replay")
    assert (ran.code, ran.out, ran.err) == (0, named(PREDICTED), "")
    found = json.loads(lydite("predict", net, "--backend", "replay", "--strict", "--json").out)
    assert found["total_s"] == pytest.approx(TOTAL_S, rel=1e-6)
    assert found["low_s"] < found["total_s"] < found["high_s"]
    assert found["call_s"] == pytest.approx(2e-6)
    assert found["complete"] is True
    assert found["coverage"]["nodes_by_source"] == {"measured": 7}
    assert [op["op_type"] for op in found["ops"]][:2] == ["Conv", "Relu"]
    assert {op["source"] for op in found["ops"]} == {"measured"}


def test_in_graph_times_are_kept_beside(lydite, net, recording, tmp_path):
    assert lydite("profile", net, *QUICK, "--in-graph", "--quiet").code == 0
    found = json.loads(lydite("db", "query", "--scope", "in_graph", "--json").out)
    assert {row["scope"] for row in found["measurements"]} == {"in_graph"}
    assert len(found["measurements"]) == 6


def test_predict_for_a_device_that_is_elsewhere(lydite, net):
    ran = lydite("predict", net, "--on", "h100", "--ops")
    lines = ran.out.splitlines()
    assert re.fullmatch(
        r"small on nvidia-h100-sxm5-80gb: [\d.]+ us \([\d.]+ us to [\d.]+ us, 90 "
        r"%\)",
        lines[0],
    )
    assert lines[2].split("  ")[0] == "operator"
    body = lines[4:9]
    assert [line.split()[0] for line in body] == [
        "conv",
        "conv_1",
        "globalaveragepool",
        "flatten",
        "fc",
    ]
    sources = [line.split()[-1] for line in body]
    assert sources == ["roofline", "roofline", "roofline", "roofline", "learned"]
    assert "time: learned" in lines[-1]
    assert "No backend runs there, so the usual fusions" in ran.err
    assert "Next: lydite db import" in ran.err
    assert "Next:" not in lydite("predict", net, "--on", "h100", "--quiet").err


def test_faster_devices_are_predicted_faster(lydite):
    times = {
        name: json.loads(lydite("predict", "resnet50", "--on", name, "--batch", 32, "--json").out)
        for name in ("t4", "a100", "h100")
    }
    assert times["t4"]["total_s"] > times["a100"]["total_s"] > times["h100"]["total_s"]
    assert times["a100"]["device"] == "nvidia-a100-sxm4-40gb"


def test_predict_strict_refuses_what_nobody_knows(lydite, refused, tmp_path):
    import onnx
    from onnx import helper

    sides = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [4]) for n in "xy"]
    node = helper.make_node("Mystery", ["x"], ["y"], name="m", domain="com.microsoft")
    graph = helper.make_graph([node], "g", sides[:1], sides[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "odd.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    ran = lydite("predict", path, "--on", "h100")
    assert ran.code == 0
    assert "time unknown, as no operator has an estimate" in ran.out.splitlines()[0]
    assert "not covered: com.microsoft:Mystery(1)" in ran.out
    line = refused("predict", path, "--on", "h100", "--strict")
    assert line == "odd: no estimate for com.microsoft:Mystery (1); lydite profile"


def test_bench(lydite, net, recording):
    ran = lydite("bench", net, *QUICK, "--rounds", 5)
    lines = ran.out.splitlines()
    assert lines[0] == "small on toy-cpu (replay, 1 thread, batch 1)"
    assert lines[1] == (
        "  latency     p50 1.26 ms  p90 1.26 ms  p99 1.26 ms  (min 1.26 ms, IQR 0 s, 5 samples)"
    )
    assert lines[2] == "  throughput  792 samples/s"
    found = json.loads(lydite("bench", net, *QUICK, "--rounds", 5, "--json").out)
    assert found["samples_s"] == pytest.approx([TOTAL_S] * 5)
    assert found["throughput_per_s"] == pytest.approx(1 / TOTAL_S)
    assert {"latency_p99_s", "load_s", "memory_bytes", "environment"} <= found.keys()


VALIDATED = """
model  measured  predicted      90 % interval   error    nodes  time measured
-----  --------  ---------  -----------------  ------  -------  -------------
small   1.26 ms    1.26 ms  1.16 ms - 1.36 ms  +0.0 %  100.0 %        100.0 %

absolute error: median 0.0 %, mean 0.0 %, worst 0.0 % (small)
  bias +0.0 %; within 10 %: 100 %
"""


def test_validate(lydite, net, recording):
    ran = lydite("validate", net, *QUICK, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, named(VALIDATED), "")
    found = json.loads(lydite("validate", net, *QUICK, "--json").out)
    assert found["models"][0]["inside_interval"] is True
    assert found["models"][0]["measured_s"] == pytest.approx(TOTAL_S)
    assert found["accuracy"]["points"] == 1


def test_runs(lydite, net, recording):
    assert len(lydite("runs").out.splitlines()) == 2
    lydite("bench", net, *QUICK, "--rounds", 3)
    lydite("profile", net, *QUICK)
    ran = lydite("runs")
    rows = [line.split() for line in ran.out.splitlines()[2:]]
    assert [(row[2], row[3]) for row in rows] == [("profile", "done"), ("bench", "done")]
    assert len(lydite("runs", "--limit", 1).out.splitlines()) == 3
    shown = json.loads(lydite("runs", "--show", rows[1][0]).out)
    assert shown["command"] == "bench"
    assert shown["result"]["latency_median_s"] == pytest.approx(TOTAL_S)
    assert len(json.loads(lydite("runs", "--json").out)["runs"]) == 2


def test_a_failed_run_is_kept_as_such(lydite, net, recording, refused):
    refused("profile", net, "--backend", "replay", "--cache", "lukewarm")
    (found,) = json.loads(lydite("runs", "--json").out)["runs"]
    assert (found["command"], found["status"]) == ("profile", "failed")


def test_db_stats_and_query(lydite, database):
    ran = lydite("db", "stats")
    assert ran.out.startswith("measurements: 1\noperators: 1\n")
    assert re.search(r"^toy-cpu +1$", ran.out, re.MULTILINE)
    assert json.loads(lydite("db", "stats", "--json").out)["by_status"] == {"ok": 1}
    assert lydite("db", "query").out == named("""
operator  input               device   threads  cache     time
--------  ------------------  -------  -------  -----  -------
Conv      float32[1,3,32,32]  toy-cpu        1    hot  1.00 ms
""")
    (row,) = json.loads(lydite("db", "query", "--op-type", "Conv", "--json").out)["measurements"]
    assert row["samples_s"] == [1e-3]
    assert row["key"].startswith('{"attrs"')
    none = lydite("db", "query", "--device", "toy-gpu", "--json")
    assert none.code == 2
    assert json.loads(none.out)["error"]["what"] == "unknown device 'toy-gpu'"
    assert "did you mean 'toy-cpu'?" in none.err
    assert "unknown operator type 'Convo'" in lydite("db", "query", "--op-type", "Convo").err


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_db_export_import_merge(lydite, database, tmp_path, suffix, refused):
    path, other, third = tmp_path / f"rows{suffix}", tmp_path / "other.db", tmp_path / "third.db"
    assert lydite("db", "export", path).out == f"1 measurements written to {path}\n"
    assert "add --force" in refused("db", "export", path)
    exported = json.loads(lydite("db", "export", path, "--force", "--json").out)
    assert (exported["measurements"], exported["path"]) == (1, str(path))
    assert lydite("db", "import", path, "--db", other).out == f"1 new measurements from {path}\n"
    added = json.loads(lydite("db", "import", path, "--db", other, "--json").out)["added"]
    assert added["measurements"] == 0
    assert lydite("db", "merge", other, "--db", third).out == f"1 new measurements from {other}\n"
    assert (
        json.loads(lydite("db", "merge", other, "--db", third, "--json").out)["added"][
            "measurements"
        ]
        == 0
    )
    with Database.open(third, read_only=True) as opened, Database.open(database) as first:
        assert list(opened.query()) == list(first.query())


def test_db_import_of_aisim(lydite, tmp_path):
    path = tmp_path / "db.json"
    path.write_text('{"Conv2D%input%[8,3,32,32]%input%[5,5,3,64]%T%1": {"avg": 123.4}}')
    assert lydite("db", "import", path, "--device", "v100").out.startswith("1 new measurements")
    (row,) = json.loads(lydite("db", "query", "--json").out)["measurements"]
    assert row["median_s"] == pytest.approx(123.4e-6)
    assert row["device"] == "v100"


def test_doctor(lydite, toy):
    found = json.loads(lydite("doctor", "--json").out)
    assert found["cpu"]["name"] == "toy-cpu"
    assert found["cpu"]["memory_bytes"] == 8e9
    assert found["cpu"]["peak_flop_per_s"] == {"float32": 1e11}
    backends = {backend["name"]: backend for backend in found["backends"]}
    assert {"onnxruntime", "replay", "torch"} <= backends.keys()
    assert backends["onnxruntime"]["available"] is True
    assert found["state"]["memory_available_bytes"] > 0
    ran = lydite("doctor")
    assert ran.out.startswith("CPU          Toy CPU: 2 cores, 1.00 GHz\n  name       toy-cpu\n")
    assert re.search(r"^backend      onnxruntime  [\d.]+ on cpu", ran.out, re.MULTILINE)
    assert all(len(line) <= 100 for line in ran.out.splitlines() if "missing:" not in line)


def test_doctor_does_not_wait_for_torch_unless_asked(lydite, toy, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.delitem(sys.modules, "torch")
    out = lydite("doctor").out
    assert re.search(
        r"^backend      torch +\S+, installed, not loaded: lydite doctor --load$", out, re.M
    )
    assert "torch" not in sys.modules
    monkeypatch.undo()
    assert re.search(r"^backend      torch +\S+ on cpu", lydite("doctor", "--load").out, re.M)


def test_doctor_names_the_command_for_what_is_missing(lydite, toy, monkeypatch):
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "pynvml" else found(name))
    assert "missing      pynvml    type: pip install 'lydite[nvidia]'" in lydite("doctor").out


def test_what_is_no_result_goes_to_standard_error(lydite, net, recording):
    for command in (["bench", net, *QUICK], ["validate", net, *QUICK], ["inspect", net]):
        json.loads(lydite(*command, "--json").out)


TABLES = (
    ["models"],
    ["inspect", "inceptionv3"],
    ["inspect", "bert-base", "--ops"],
    ["predict", "inceptionv3", "--on", "t4", "--ops"],
    ["db", "query"],
    ["runs"],
)


@pytest.mark.parametrize("command", TABLES, ids=" ".join)
def test_tables_fit_in_a_hundred_columns(lydite, database, command):
    ran = lydite(*command)
    assert ran.code == 0
    assert max(len(line) for line in ran.out.splitlines()) <= 100


def test_a_table_cuts_what_is_too_wide():
    text = table("", ["a", "<b", "c"], [["x" * 80, "y" * 70, "1"], ["x", "y", "22"]])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" in lines[2]
    assert lines[2].endswith(" 1")
    assert lines[3].endswith("22")


def test_signs():
    assert [signed_percent(v) for v in (0.0532, -0.1, -1e-9, 0.0)] == [
        "+5.3 %",
        "-10.0 %",
        "+0.0 %",
        "+0.0 %",
    ]


@pytest.mark.parametrize("command", ["models", "inspect", "predict", "doctor", "bench"])
def test_out_keeps_the_document(lydite, net, recording, tmp_path, command):
    more = {"inspect": [net], "predict": [net, "--on", "h100"], "bench": [net, *QUICK]}
    ran = lydite(command, *more.get(command, []), "--out", tmp_path / "out", "--quiet")
    assert ran.code == 0
    (path,) = (tmp_path / "out").iterdir()
    assert path.name.startswith(command)
    assert path.suffix == ".json"
    assert isinstance(json.loads(path.read_text()), dict)


def test_a_device_that_only_the_database_knows(lydite, net, recording):
    far = Device("far-cpu", "Far", "cpu", "nobody", {"float32": 1e11}, 8e9, 1e10)
    with Database.open(recording) as source, Database.open() as database:
        database.add_device(far.name, far.to_json())
        rows = [replace(row, device=far.name) for row in source.query()]
        database.add(replace(row, software=Software("replay", {})) for row in rows)
    ran = lydite("predict", net, "--on", "far-cpu", "--backend", "replay", "--json")
    found = json.loads(ran.out)
    assert found["device"] == "far-cpu"
    assert found["total_s"] == pytest.approx(2 * 4e-4 + 2 * 1e-4 + 5e-5 + 1e-5 + 2e-4)
    assert found["coverage"]["nodes_by_source"] == {"measured": 7}


def test_simulate_accounts_for_the_whole_step(lydite):
    ran = lydite("simulate", "gpt2", "--train", "--batch", 64, "--tp", 2, "--json")
    found = json.loads(ran.out)
    assert ran.code == 0
    assert found["kind"] == "modelled"
    assert (found["ranks"], found["samples"], found["fits"]) == (8, 64, True)
    spent = sum(v for k, v in found["breakdown_s"].items() if k != "of it launches")
    assert abs(spent - found["step_s"]) < 1e-6 * found["step_s"]
    assert found["low_s"] < found["step_s"] < found["high_s"]


def test_simulate_shows_time_and_memory_and_writes_a_trace(lydite, tmp_path):
    ran = lydite(
        "simulate", "resnet50", "--train", "--batch", 64, "--trace", tmp_path / "t.pftrace"
    )
    assert ran.code == 0
    assert re.search(r"^resnet50 on dgx-a100: [\d.]+ m?s per step", ran.out)
    assert re.search(r"MFU [\d.]+ %, weights in float32$", ran.out, re.M)
    assert "memory on the fullest rank" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100
    assert (tmp_path / "t.pftrace").stat().st_size > 1000


def test_simulate_plays_every_rank_and_writes_a_page(lydite, tmp_path):
    ran = lydite(
        "simulate",
        "gpt2",
        "--train",
        "--batch",
        16,
        "--tp",
        2,
        "--unfolded",
        "--price",
        2,
        "--slow",
        "3=0.5",
        "--mtbf",
        "1 year",
        "--report",
        tmp_path / "step.html",
    )
    assert ran.code == 0
    assert "goodput (modelled)" in ran.out
    assert "8 ranks: dp 4, tp 2, pp 1" in ran.out
    assert (tmp_path / "step.html").stat().st_size > 100_000
    even = lydite("simulate", "gpt2", "--train", "--batch", 16, "--tp", 2, "--json")
    slow = lydite(
        "simulate", "gpt2", "--train", "--batch", 16, "--tp", 2, "--slow", "3=0.5", "--json"
    )
    one, other = (json.loads(each.out) for each in (even, slow))
    assert (one["ranks_played"], other["ranks_played"]) == (1, 8)
    assert other["step_s"] > 1.3 * one["step_s"]


def test_simulate_shares_experts_and_sequences(lydite):
    sparse = json.loads(
        lydite(
            "simulate",
            "mixtral-8x7b",
            "--train",
            "--batch",
            8,
            "--ep",
            8,
            "--sequence",
            64,
            "--dtype",
            "bfloat16",
            "--json",
        ).out
    )
    assert sparse["breakdown_s"]["expert"] > 0
    long = json.loads(
        lydite("simulate", "gpt2", "--train", "--cp", 4, "--sequence", 256, "--json").out
    )
    assert long["breakdown_s"]["context"] > 0
    assert long["plan"]["dp"] == 2


def test_calibrate_fits_and_simulate_takes_it(lydite, tmp_path):
    rows = ["model,devices,tp,dp,batch,micro_batch,sequence,step_ms"]
    for batch in (1, 2, 4, 8, 16, 32, 64, 128):
        ran = lydite(
            "simulate",
            "gpt2",
            "--train",
            "--devices",
            2,
            "--sequence",
            64,
            "--batch",
            2 * batch,
            "--json",
        )
        step_ms = 1.5e3 * json.loads(ran.out)["step_s"]
        rows.append(f"gpt2,2,1,2,{2 * batch},{batch},64,{step_ms}")
    (tmp_path / "steps.csv").write_text("\n".join(rows))
    made = tmp_path / "constants.json"
    ran = lydite(
        "calibrate",
        tmp_path / "steps.csv",
        "--on",
        "dgx-a100",
        "--constants",
        made,
        "--rounds",
        60,
        "--json",
    )
    found = json.loads(ran.out)
    assert ran.code == 0
    assert found["errors"]["kept aside"]["mean_abs_error"] < 0.05
    assert found["errors"]["assumed"]["mean_abs_error"] == pytest.approx(1 - 1 / 1.5, abs=1e-3)
    ran = lydite(
        "simulate",
        "gpt2",
        "--train",
        "--devices",
        2,
        "--sequence",
        64,
        "--batch",
        16,
        "--constants",
        made,
    )
    assert "constants fitted to steps.csv" in ran.out
    low, high = found["bounds_over_step"]
    assert json.loads(made.read_text())["spread"] == [low, high]
    told = json.loads(
        lydite(
            "simulate",
            "gpt2",
            "--train",
            "--devices",
            2,
            "--sequence",
            64,
            "--batch",
            16,
            "--constants",
            made,
            "--json",
        ).out
    )
    assert told["low_s"] == pytest.approx(low * told["step_s"])
    assert told["high_s"] == pytest.approx(high * told["step_s"])


def test_simulate_searches_plans(lydite):
    ran = lydite("simulate", "gpt2", "--train", "--batch", 64, "--search", "--json", "--quiet")
    found = json.loads(ran.out)
    times = [plan["step_s"] for plan in found["best"]]
    assert times == sorted(times)
    assert found["considered"] >= found["fitting"] >= len(times) > 0
    assert all(plan["fits"] and plan["ranks"] == 8 for plan in found["best"])


def test_coverage_counts_what_is_measured(lydite, net):
    bare = json.loads(lydite("coverage", net, "--backend", "replay", "--json").out)["models"][0]
    lydite("profile", net, *QUICK)
    full = json.loads(lydite("coverage", net, "--backend", "replay", "--json").out)["models"][0]
    assert (full["nodes"], full["types"]) == (7, 5)
    assert full["nodes_measured"] >= bare["nodes_measured"]
    assert full["node_coverage"] == full["nodes_measured"] / 7
    assert sum(full["not_measured"].values()) == 7 - full["nodes_measured"]
    assert full["types_measured"] == 5 - len(full["not_measured"])


def test_coverage_of_a_device_that_nobody_measured(lydite, net):
    ran = lydite("coverage", net, "--on", "h100")
    assert re.search(r"^small +0/5 +0\.0 % +0/4 +0\.0 % +0\.0 %", ran.out, re.M)
    assert "never 0" in ran.err


def test_the_table_of_commands_states_what_each_says_of_itself() -> None:
    commands = Commands()
    assert list(SUMMARIES) == list(commands)[: len(SUMMARIES)]
    for name, summary in SUMMARIES.items():
        said = commands[name].help or ""
        assert " ".join(said.partition("\n\n")[0].split()) == summary, name
