"""Chip files with something else in them: a chip, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.hardware.chip import read_chip

EXAMPLE = Path(__file__).parents[3] / "examples" / "my_npu.yaml"
ARRAYS = "\n".join(
    f"partition,cyclic,{name},65536,4,8"
    for name in ("inputs", "weights", "results", "a", "b", "inputs0", "inputs1")
)
FILES = {
    "chip.yaml": EXAMPLE.read_text(),
    "smv-accel.cfg": f"cycle_time,1\n{ARRAYS}\npartition,complete,act_params,20,4\n",
    "gem5.cfg": "[DEFAULT]\nspad_ports = 1\n[acc0]\nmemory_type = spad\ninput_dir = .\n"
    "config_file_name = %(input_dir)s/arrays.cfg\npipelined_dma = True\n",
    "scale.cfg": "[general]\nrun_name = x\n[architecture_presets]\nArrayHeight: 8\nArrayWidth: 4\n"
    "IfmapSramSzkB: 1\nFilterSramSzkB: 2\nOfmapSramSzkB: 3\nBandwidth: 10\n"
    "Dataflow: os\n[run_presets]\nInterfaceBandwidth: CALC\n",
}
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "-1",
            "0",
            "1e400",
            "nan",
            "9" * 30,
            "²",
            "%(x)s",
            "[",
            "{",
            "&a",
            "*a",
            "!!x",
            "---",
            "\0",
            "\ud800",
            "=",
            ":",
            ",",
            "\n",
            "[acc1]",
            "? ",
            "'",
        ]
    ),
)


@pytest.mark.parametrize("name", FILES)
def test_unchanged_it_is_a_chip(name, tmp_path):
    (tmp_path / "arrays.cfg").write_text(ARRAYS)
    (tmp_path / name).write_text(FILES[name])
    assert read_chip(str(tmp_path / name)).array.macs in (32, 256, 1024)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=120)
@given(st.data())
def test_a_chip_or_one_line(name, tmp_path_factory, data):
    text = FILES[name]
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 12)))
    folder = tmp_path_factory.mktemp("any")
    (folder / "arrays.cfg").write_text(ARRAYS)
    changed = text[:begin] + data.draw(PIECES) + text[end:]
    (folder / name).write_bytes(changed.encode("utf-8", "surrogatepass"))
    try:
        chip = read_chip(str(folder / name))
    except InputError as error:
        assert len(str(error)) < 2000
    else:
        assert chip.scratchpad_bytes > 0
        assert chip.clock_hz > 0
        assert 1 <= chip.accelerators <= 64
