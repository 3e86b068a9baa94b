"""A chip from SCALE-Sim's configuration: what it takes over, and what it says of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lydite.chip.systolic.tiles import array_of
from lydite.compat.scalesim import read_config, read_scalesim_chip
from lydite.errors import InputError
from lydite.hardware.chip import SystolicArray, read_chip

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[5] / "shared" / "data"))
CONFIG = """[general]
run_name = tiny
[architecture_presets]
ArrayHeight: 8
ArrayWidth: 4
IfmapSramSzkB: 1
FilterSramSzkB: 2
OfmapSramSzkB: 3
IfmapOffset: 0
Bandwidth: 10
Dataflow: os
[layout]
IfmapSRAMBankBandwidth: 20
FilterSRAMBankBandwidth: 30
[run_presets]
InterfaceBandwidth: USER
"""


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "Tiny.cfg"
        path.write_text(text)
        return path

    return _write


def test_what_the_configuration_says_is_the_chip(write):
    chip, notes = read_scalesim_chip(write(CONFIG))
    assert chip.name == "tiny"
    assert chip.array == SystolicArray(8, 4, "os", "none")
    assert [(pad.name, pad.bytes, pad.banks, pad.word_bytes) for pad in chip.scratchpads] == [
        ("ifmap", 1024, 8, 1),
        ("filter", 2048, 4, 1),
        ("ofmap", 3072, 4, 1),
    ]
    assert chip.dram.pins_bytes_per_s == (10 + 20 + 30) * chip.clock_hz  # a word is a byte
    assert chip.dtype == "int8"
    assert [note.partition(":")[0] for note in notes] == [
        "[architecture_presets] IfmapOffset is ignored",
        "clock, processor, DRAM's timings",
        "operands' ports are apart in SCALE-Sim; here they share one DRAM's rate",
    ]
    assert chip.source("array") == "Tiny.cfg (SCALE-Sim)"


def test_where_nothing_is_limited_the_bases_dram_limits(write):
    path = write(CONFIG.replace("USER", "CALC"))
    chip, notes = read_scalesim_chip(path, "systolic-128")
    base = read_chip("systolic-128")
    assert (chip.dram, chip.cpu, chip.clock_hz) == (base.dram, base.cpu, base.clock_hz)
    assert any("InterfaceBandwidth is CALC" in note for note in notes)


def test_read_chip_finds_the_reader_and_keeps_the_notes(write):
    path = write(CONFIG)
    chip, notes = read_scalesim_chip(path)
    found = read_chip(str(path))
    assert (found.array, found.scratchpads, found.dram) == (chip.array, chip.scratchpads, chip.dram)
    assert [found.sources[f"note {n}"] for n in range(1, len(notes) + 1)] == notes


def test_a_wrong_field_keeps_its_line(write):
    with pytest.raises(InputError, match=r"Tiny\.cfg:4: arrayheight is '-8'; allowed: a whole"):
        read_chip(str(write(CONFIG.replace("ArrayHeight: 8", "ArrayHeight: -8"))))
    with pytest.raises(InputError, match="smv: has no systolic array"):
        read_scalesim_chip(write(CONFIG), "smv")


def test_the_reference_configurations_are_chips():
    folder = DATA / "scalesim"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    for path in sorted(folder.glob("a*.cfg")):
        chip, settings = read_chip(str(path)), read_config(path)
        assert array_of(chip) == settings.array
        assert chip.scratchpad("filter").bytes == settings.buffers.filter_bytes
