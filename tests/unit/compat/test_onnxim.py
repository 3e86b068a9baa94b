"""ONNXim's configurations: what the file says, and cycles that ONNXim itself took."""

from __future__ import annotations

import json

import pytest

import lydite
from lydite.errors import InputError
from lydite.graph import Builder
from lydite.hardware.chip import read_chip

CORE = {
    "core_type": "systolic_ws",
    "core_width": 128,
    "core_height": 128,
    "spad_size": 32768,
    "accum_spad_size": 4096,
    "vector_process_bit": 65536,
    "add_latency": 1,
}
CONFIG = {
    "num_cores": 1,
    "core_freq": 1000,
    "core_config": {"core_0": CORE},
    "dram_type": "simple",
    "dram_freq": 1200,
    "dram_channels": 16,
    "dram_req_size": 32,
    "dram_size": 16,
    "icnt_latency": 1,
    "precision": 2,
}


@pytest.fixture
def write(tmp_path):
    def _write(**changes):
        path = tmp_path / "npu_4.json"
        path.write_text(json.dumps({**CONFIG, **changes}))
        return str(path)

    return _write


def test_the_file_is_a_chip(write):
    chip = read_chip(write(num_cores=4))
    assert (chip.array.rows, chip.array.columns, chip.accelerators) == (128, 128, 4)
    assert (chip.clock_hz, chip.dtype, chip.name) == (1e9, "float16", "npu-4")
    assert chip.dram.pins_bytes_per_s == 32 * 16 * 1200e6
    assert chip.scratchpad("ifmap").bytes + chip.scratchpad("filter").bytes == 32 << 20
    assert chip.vector.lanes == 4096
    notes = [text for name, text in chip.sources.items() if name.startswith("note")]
    assert any(text.startswith("icnt_latency is ignored") for text in notes)
    assert any(text.startswith("add_latency is ignored") for text in notes)


@pytest.mark.parametrize(("size", "cycles"), [(1024, 67_192), (2048, 526_968)])
def test_products_take_what_onnxim_takes(write, size, cycles):
    """ONNXim, commit a1e8629, one core with its simple memory; launches come on top here."""
    g = Builder("product", dtype="float16")
    graph = g.build(g.linear(g.input("x", (size, size)), size, bias=False))
    result = lydite.chip(graph, chip=write())
    launch = result.network.chip.cpu.launch_cycles / result.network.chip.cpu.clock_hz
    assert result.cycles - 1e9 * launch == pytest.approx(cycles, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": 3}, "precision is 3; allowed: 1, 2, 4 bytes"),
        ({"core_freq": 0}, "0 for 'core_freq'.*whole number from 1"),
        ({"core_frq": 1}, "did you mean 'core_freq'"),
        ({"core_config": {}}, "no 'core_config'"),
        ({"core_config": {"core_0": {**CORE, "core_type": "systolic_os"}}}, "allowed: systolic_ws"),
        ({"core_config": {"a": CORE, "b": {**CORE, "spad_size": 1}}}, "cores differ"),
        ({"core_config": {"a": {"core_type": "systolic_ws"}}}, "no 'core_width'"),
        ({"num_cores": 3, "core_config": {"a": CORE, "b": CORE}}, "allowed: 3, as num_cores"),
    ],
)
def test_what_is_no_configuration_is_refused(write, changes, words):
    with pytest.raises(InputError, match=words):
        read_chip(write(**changes))
