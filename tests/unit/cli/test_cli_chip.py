"""`lydite chip`: a network on an accelerator, sweeps, SCALE-Sim's table."""

from __future__ import annotations

import json

import pytest

TOPOLOGY = """\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1,27,27,5,5,96,256,1,
"""


def test_cycles_by_layer_and_what_they_wait_for(lydite):
    ran = lydite("chip", "minerva", "--chip", "smv")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("minerva on smv: ")
    assert "activity or stall" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100
    found = json.loads(lydite("chip", "minerva", "--chip", "smv", "--json").out)
    assert found["kind"] == "simulated"
    assert len(found["invocations"]) == 25
    assert {"layer", "kernel", "cycles"} <= set(found["invocations"][0])
    assert sum(one["cycles"] for one in found["invocations"]) == pytest.approx(529140, rel=0.01)
    spent = sum(layer["cycles"] for layer in found["layers"])
    assert spent == pytest.approx(found["cycles"], rel=1e-6)
    assert sum(found["energy_by_component_j"].values()) == pytest.approx(found["energy_j"])


def test_more_accelerators_and_a_coherent_port(lydite):
    def seconds(*options: object) -> float:
        return json.loads(lydite("chip", "lenet5", *options, "--json").out)["seconds"]

    assert seconds("--accelerators", 4) < seconds()
    assert seconds("--interface", "acp") < seconds()
    assert seconds("--threads", 4) < seconds()
    assert seconds("--array-only") < seconds()
    assert seconds("--tiling", "best") <= seconds()


def test_scalesim_counts_as_scalesim_does(lydite, tmp_path):
    """AlexNet's second layer on 32 x 32, ws: 373,799 cycles by SCALE-Sim 3.0.0."""
    path = tmp_path / "net.csv"
    path.write_text(TOPOLOGY)
    ran = lydite("chip", path, "--chip", "systolic-32", "--compat", "scalesim", "--json")
    assert json.loads(ran.out)["cycles"] == 373799
    text = lydite("chip", path, "--chip", "systolic-32", "--compat", "scalesim").out
    assert "373,799" in text
    assert "as SCALE-Sim 3.0.0 counts" in text


def test_sensitivity_says_what_would_help(lydite):
    found = json.loads(lydite("chip", "lenet5", "--sensitivity", "--json").out)
    changes = found["ten_percent_more_changes"]
    assert changes["clock of the accelerator"]["time"] < 0
    lines = lydite("chip", "lenet5", "--sensitivity").out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("10 % more of")) :]
    assert table[0].split()[-3:] == ["time", "power", "area"]
    assert {line.split("  ")[0] for line in table[2:]} == changes.keys()


def test_a_sweep_goes_on_where_it_stopped(lydite, tmp_path):
    command = (
        "chip",
        "sweep",
        "lenet5",
        "--vary",
        "pes=8,16",
        "--vary",
        "spad=64KiB,1KiB",
        "--out",
        tmp_path,
        "--quiet",
    )
    ran = lydite(*command)
    assert ran.code == 0, ran.err
    assert "4 designs" in ran.out
    assert "2 do not run" in ran.out
    kept = tmp_path / "sweep.jsonl"
    lines = kept.read_text().splitlines()
    assert len(lines) == 4
    kept.write_text("\n".join([*lines[:2], lines[2][:20]]) + "\n")  # a crash in the third
    again = lydite(*command)
    assert again.out == ran.out
    assert len(kept.read_text().splitlines()) == 5
    designs = json.loads((tmp_path / "sweep.json").read_text())["designs"]
    good = [row for row in designs if "error" not in row]
    assert {row["pes"] for row in good} == {8, 16}
    assert all(row["energy_j"] > 0 and row["area_mm2"] > 0 for row in good)
    assert (tmp_path / "sweep.html").stat().st_size > 1000


def test_a_chip_is_a_device_and_part_of_a_cluster(lydite):
    found = json.loads(lydite("predict", "lenet5", "--on", "systolic-128", "--json").out)
    assert found["coverage"]["nodes_by_source"] == {"simulated": 6}
    step = json.loads(
        lydite(
            "simulate",
            "gpt2",
            "--on",
            "systolic-128 x 4",
            "--tp",
            4,
            "--phase",
            "prefill",
            "--sequence",
            32,
            "--json",
        ).out
    )
    assert step["time_by_source"] == {"simulated": 1.0}


def test_a_trace_of_the_system(lydite, tmp_path):
    ran = lydite("chip", "lenet5", "--trace", tmp_path / "t.pftrace")
    assert ran.code == 0
    assert (tmp_path / "t.pftrace").stat().st_size > 1000


def test_a_chip_of_another_width_than_the_graph_says_so(lydite):
    told = lydite("simulate", "lenet5", "--on", "gemmini-like x 4", "--batch", 4).out
    assert "gemmini-like computes int8; weights, memory and messages count as float32" in told
    same = lydite("simulate", "gpt2", "--on", "tpu-like x 4", "--phase", "prefill").out
    assert "computes" not in same


REFUSED = [
    (["--chip", "smw"], "unknown chip 'smw'; allowed: eyeriss, gemmini-like, "),
    (["--dataflow", "ws"], "smv: a chip with this array has no 'dataflow'"),
    (["--interface", "axi"], "unknown interface 'axi'; allowed: acp, cache, dma"),
    (["--compat", "gem5"], "unknown compatibility 'gem5'; allowed:"),
    (["--compat", "scalesim"], "smv: has no systolic array"),
    (["--tiling", "worst"], "unknown tiling 'worst'; allowed: best, best-energy, usual"),
    (["--vary", "pes=4"], "--vary is for sweeps; lydite chip sweep MODEL"),
    (["--dtype", "int8"], "smv computes float16, not int8"),
    (["--chip", "systolic-32", "--compat", "smaug"], "--compat smaug is for SMV"),
    (["--accelerators", "9"], "smv: 9 accelerators; allowed: 1 to 8"),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_what_a_chip_does_not_take(refused, arguments, text):
    assert text in refused("chip", "lenet5", *arguments)


def test_an_output_stationary_array_preloads_nothing(lydite, refused):
    told = json.loads(
        lydite("chip", "lenet5", "--chip", "systolic-128", "--dataflow", "os", "--json").out
    )
    assert told["seconds"] > 0
    line = refused(
        "chip", "lenet5", "--chip", "systolic-128", "--dataflow", "os", "--overlap", "preload"
    )
    assert line.startswith("an output-stationary array has no operand to preload")


def test_what_a_sweep_does_not_take(refused):
    assert "the sweep has nothing to vary" in refused("chip", "sweep", "lenet5")
    assert "did you mean 'pes'" in refused("chip", "sweep", "lenet5", "--vary", "pse=1")
    assert "none of 1 designs runs" in refused(
        "chip", "sweep", "lenet5", "--vary", "spad=1KiB", "--quiet"
    )
    assert "a sweep takes no --sensitivity" in refused(
        "chip", "sweep", "lenet5", "--vary", "pes=8", "--sensitivity"
    )
    assert "2 models" in refused("chip", "sweap", "lenet5")
    assert refused("chip", "sweep") == (
        "'sweep' does not name a model; allowed: sweep MODEL; a file of that name is written "
        "./sweep"
    )
