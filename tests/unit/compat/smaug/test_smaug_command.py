"""Command lines of SMAUG's manual: each flag, and the log that comes out."""

from __future__ import annotations

import shlex
from dataclasses import fields

import numpy as np
import pytest

import lydite as ly
import lydite.compat.smaug as sg
from lydite.compat.smaug.command.chip import chip_of
from lydite.compat.smaug.command.flags import SCRIPT, SIMULATOR, SMAUG
from lydite.compat.smaug.command.parse import parse_command
from lydite.errors import InputError
from lydite.hardware.chip import read_chip

ARRAYS = ("inputs", "weights", "results", "a", "b", "inputs0", "inputs1")
ACCELERATOR = "cycle_time,1\n" + "".join(f"partition,cyclic,{n},65536,4,8\n" for n in ARRAYS)
SYSTEM = """[DEFAULT]
cycle_time = 1
[acc0]
accelerator_id = 3
config_file_name = smv-accel.cfg
[acc1]
accelerator_id = 4
config_file_name = smv-accel.cfg
"""
GEM5 = (
    "WORKSPACE/gem5-aladdin/build/X86/gem5.opt --debug-flags=Aladdin,HybridDatapath "
    "--outdir=outputs WORKSPACE/gem5-aladdin/configs/aladdin/aladdin_se.py --num-cpus=1 "
    "--mem-size=4GB --mem-type=LPDDR4_3200_2x16 --cpu-clock=2.5GHz --cpu-type=DerivO3CPU --ruby "
    "--access-backing-store --l2_size=2097152 --l2_assoc=16 --cacheline_size=32 "
    "--accel_cfg_file=gem5.cfg --fast-forward=10000000000 -c WORKSPACE/smaug/build/bin/smaug "
    '-o "my_model_topo.pbtxt my_model_params.pb --gem5 --debug-level=0"'
)
"""The manual's own line."""
BAR, LINE = "=" * 54, "_" * 92
MANUAL = f"""\
Model topology file: my_model_topo.pbtxt
Model parameters file: my_model_params.pb
Number of accelerators: 1
{BAR}
Loading the network model...
{BAR}
{BAR}
Summary of the network.
{BAR}
{LINE}
Layer (type)                             Output shape                Parameters
{LINE}
data_2 (Data)                            (10, 6272)                       0
{LINE}
data_1 (Data)                            (32, 3, 3, 1)                    0
{LINE}
data (Data)                              (1, 28, 28, 1)                   0
{LINE}
conv (Convolution3d)                     (1, 28, 28, 32)                 288
{LINE}
max_pool (MaxPooling)                    (1, 14, 14, 32)                  0
{LINE}
reorder (Reorder)                        (1, 6272)                        0
{LINE}
mat_mul (InnerProduct)                   (1, 10)                        62720
{LINE}
{BAR}
Tiling operators of the network...
{BAR}
Tiling conv (Convolution3d).
Tiling data (Data).
Tiling data_1 (Data).
Tiling data_2 (Data).
Tiling mat_mul (InnerProduct).
Tiling max_pool (MaxPooling).
Tiling reorder (Reorder).
{BAR}
Scheduling operators of the network...
{BAR}
Scheduling data (Data).
Scheduling data_1 (Data).
Scheduling data_2 (Data).
Scheduling conv (Convolution3d).
"""
"""The manual's log up to the first invocation (gem5's own lines left out)."""


def numbers(*shape):
    return (np.random.default_rng(0).random(shape) * 0.008).astype(np.float16)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The manual's folder: the model of its tutorial and both configurations."""
    monkeypatch.chdir(tmp_path)
    with sg.Graph(name="my_model", backend="SMV") as graph:
        image = sg.Tensor(data_layout=sg.NHWC, tensor_data=numbers(1, 28, 28, 1))
        filters = sg.Tensor(data_layout=sg.NHWC, tensor_data=numbers(32, 3, 3, 1))
        weights = sg.Tensor(data_layout=sg.NC, tensor_data=numbers(10, 6272))
        x = sg.input_data(image)
        x = sg.nn.convolution(x, filters, stride=[1, 1], padding="same", activation="relu")
        x = sg.nn.max_pool(x, pool_size=[2, 2], stride=[2, 2])
        sg.nn.mat_mul(x, weights)
    graph.write_graph()
    (tmp_path / "smv-accel.cfg").write_text(ACCELERATOR)
    (tmp_path / "gem5.cfg").write_text(SYSTEM)
    return tmp_path


def test_the_manuals_line_prints_the_manuals_log(folder):
    text = ly.smaug(shlex.split(GEM5)).summary()
    assert text.startswith(MANUAL)
    blocks = text[len(MANUAL) :].splitlines()
    assert blocks[:5] == [
        "=" * 31,
        "Aladdin Results",
        "=" * 31,
        "Running : ./outputs/nnet_fwd",
        "Top level function: smv_conv3d_nhwc_vec_fxp",
    ]
    # The manual's run took 89,771 cycles; two of them ran, one for each half of the channels.
    assert float(blocks[5].split()[2]) == pytest.approx(89_771, rel=0.03)
    assert [line for line in blocks if line.startswith("Scheduling")] == [
        "Scheduling max_pool (MaxPooling).",
        "Scheduling reorder (Reorder).",
        "Scheduling mat_mul (InnerProduct).",
    ]


def test_it_is_the_chip_verb_with_the_same_chip(folder):
    result = ly.smaug(shlex.split(GEM5))
    chip, threads = chip_of(parse_command(shlex.split(GEM5)))
    again = ly.chip("my_model_topo.pbtxt", design=chip, threads=threads)
    assert result.document()["seconds"] == again.seconds
    assert result.document()["cycles"] == again.cycles


def test_smaug_alone_prints_no_results_of_aladdin(folder):
    words = ["build/bin/smaug", "my_model_topo.pbtxt", "my_model_params.pb"]
    plain = ly.smaug(words)
    assert plain.summary().startswith(MANUAL)
    assert "Aladdin" not in plain.summary()
    deeper = ly.smaug([*words, "--debug-level", "1"]).summary()
    assert "Scheduling conv (Convolution3d).\n  2 invocations, " in deeper
    traced = ly.smaug(["build/bin/smaug-instrumented", *words[1:]])
    assert "no dynamic trace is written: none is needed" in traced.advice()
    assert traced.summary() == plain.summary()


REACHES = [
    ("--num-cpus=1", "--num-cpus=4", lambda chip: chip.cpu.cores, 4),
    ("--cpu-clock=2.5GHz", "--cpu-clock=2GHz", lambda chip: chip.cpu.clock_hz, 2e9),
    ("--mem-size=4GB", "--mem-size=8GB", lambda chip: chip.dram.bytes, 8 * 2**30),
    ("LPDDR4_3200_2x16", "DDR3_1600_8x8", lambda chip: chip.dram.name, "DDR3_1600_8x8"),
    ("--ruby", "--mem-channels 2", lambda chip: chip.dram.pins_bytes_per_s, 25.6e9),
    ("--l2_size=2097152", "--l2_size=1MB", lambda chip: chip.cache.bytes, 2**20),
    ("--ruby", "--l2_hit_latency=30", lambda chip: chip.cache.hit_cycles, 30),
    ("--cacheline_size=32", "--cacheline_size=64", lambda chip: chip.interface.line_bytes, 64),
    ("--gem5", "--gem5 --num-accels=2", lambda chip: chip.accelerators, 2),
]


@pytest.mark.parametrize(("old", "new", "part", "value"), REACHES, ids=[r[1] for r in REACHES])
def test_a_flag_reaches_the_chip_and_nothing_else(folder, old, new, part, value):
    before, _ = chip_of(parse_command(shlex.split(GEM5)))
    after, _ = chip_of(parse_command(shlex.split(GEM5.replace(old, new))))
    assert part(after) == value != part(before)
    changed = [f.name for f in fields(after) if getattr(after, f.name) != getattr(before, f.name)]
    assert len(changed) == 1


def test_threads_need_processors(folder):
    line = GEM5.replace("--gem5", "--gem5 --num-threads=4")
    with pytest.raises(InputError, match="--num-threads: 4 threads on 1 processor; allowed: at"):
        ly.smaug(shlex.split(line))
    one = ly.smaug(shlex.split(GEM5.replace("--num-cpus=1", "--num-cpus=4")))
    four = ly.smaug(shlex.split(line.replace("--num-cpus=1", "--num-cpus=4")))
    assert four.document()["threads"] == 4
    assert four.document()["seconds"] < one.document()["seconds"]


def test_samples_change_powers_not_cycles(folder):
    whole = ly.smaug(shlex.split(GEM5)).document()
    line = GEM5.replace("--gem5", "--gem5 --sample-level=high --sample-num=1")
    sampled = ly.smaug(shlex.split(line)).document()
    assert sampled["cycles"] == whole["cycles"]
    one, other = (run["invocations"][0] for run in (whole, sampled))
    assert other["average_power_mw"] < one["average_power_mw"]
    assert other["upsampled_cycles"] > one["upsampled_cycles"]


def test_explaining_reads_no_file():
    text = ly.smaug(shlex.split(GEM5), explain=True).summary()
    lines = [line.split() for line in text.splitlines()[1:] if line[0] == "-"]
    assert [words[0] for words in lines] == [
        *("--debug-flags", "--outdir", "--num-cpus", "--mem-size", "--mem-type", "--cpu-clock"),
        *("--cpu-type", "--ruby", "--access-backing-store", "--l2_size", "--l2_assoc"),
        *("--cacheline_size", "--accel_cfg_file", "--fast-forward", "-c", "-o"),
        *("--gem5", "--debug-level"),
    ]
    refused = ly.smaug(["smaug", "x_topo.pbtxt", "--print-last-output"], explain=True)
    assert refused.document()["flags"][0]["fate"] == "refused"


WRONG = [
    ("--num-cpus=1", "--num-cpu=1", "unknown flag '--num-cpu'; did you mean '--num-cpus'?"),
    ("--gem5", "--gem", "SMAUG: unknown flag '--gem'; did you mean '--gem5'?"),
    ("--outdir", "--outdr", "gem5: unknown flag '--outdr'; did you mean '--outdir'?"),
    ("--num-cpus=1", "--num-cpus=x", "--num-cpus: 'x' is not a number; allowed: 1 or more"),
    ("--num-cpus=1", "--num-cpus=0", "--num-cpus: '0' is not a number; allowed: 1 or more"),
    ("2.5GHz", "2.5GB", "--cpu-clock: '2.5GB' is not in Hz"),
    ("2.5GHz", "0GHz", "--cpu-clock: '0GHz' is zero; allowed: more than 0"),
    ("DerivO3CPU", "TimingSimpleCPU", "not of TimingSimpleCPU; allowed: DerivO3CPU"),
    ("LPDDR4_3200_2x16", "LPDDR4_3200_2x8", "unknown dram 'LPDDR4_3200_2x8'"),
    ("=32", "=33", "--cacheline_size: a line of 33 bytes; allowed: a power of two, 8 to 4096"),
    ("=gem5.cfg", "=none.cfg", "--accel_cfg_file none.cfg: no such file"),
    ("--gem5", "--gem5 --num-accels=3", "3 accelerators, and gem5.cfg has 2; allowed: at most 2"),
    ("--gem5", "--gem5 --num-accels=9", "9 accelerators; allowed: 1 to 8"),
    ("--gem5", "--sample-level=lots", "unknown sample level 'lots'"),
    ("--gem5", "--use-systolic-array", "--use-systolic-array is refused: SMAUG's array is not"),
    ("--gem5", "--print-last-output=proto", "--print-last-output is refused: times are"),
    ("--ruby", "--maxinsts=5", "--maxinsts is refused: the whole network is simulated"),
    ("--ruby", "--ruby=1", "--ruby takes no value"),
    ("-c WORKSPACE/smaug/build/bin/smaug", "", "gem5's script has no -c"),
    ("build/bin/smaug -o", "build/bin/other -o", "is not SMAUG; allowed: smaug, smaug-instru"),
    ("my_model_params.pb", "my_model_params.pb more.pb", "smaug: 3 files; allowed: TOPOLOGY"),
    ("gem5.opt", "gem4.opt", "gem4.opt' is neither gem5 nor SMAUG; allowed: gem5.opt, smaug"),
    ("aladdin_se.py", "aladdin_se", "gem5 without its script; allowed: "),
    ("my_model_topo.pbtxt", "none_topo.pbtxt", "none_topo.pbtxt"),
    ("--debug-level=0", "--debug-level", "--debug-level has no value"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[w[1] or w[0] for w in WRONG])
def test_what_is_wrong_is_one_clear_line(folder, old, new, message):
    with pytest.raises(InputError) as caught:
        ly.smaug(shlex.split(GEM5.replace(old, new, 1)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flag_has_one_fate_and_a_reason():
    for table in (SIMULATOR, SCRIPT, SMAUG):
        names = [name for flag in table for name in flag.names]
        assert len(names) == len(set(names))
        assert all(len(flag.reason.split()) > 1 for flag in table)


def test_the_base_is_one_accelerator():
    chip, threads = chip_of(parse_command(["smaug", "x_topo.pbtxt"]))
    assert (chip, threads) == (read_chip("smv"), 1)
