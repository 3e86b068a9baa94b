"""SCALE-Sim's files: every field has its say, and what is wrong is named with its line."""

import os
from pathlib import Path

import pytest

from lydite.chip.systolic import Array, OffChipMemory, Product, run_on
from lydite.compat.scalesim import read_config, read_topology
from lydite.errors import InputError

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[5] / "shared" / "data"))
CONFIG = """[general]
run_name = tiny

[architecture_presets]
ArrayHeight: 8
ArrayWidth:  4
IfmapSramSzkB: 1
FilterSramSzkB: 2
OfmapSramSzkB: 3
FilterOffset: 10000000
Bandwidth : 7,9
Dataflow : is
# a comment
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 5
FilterSRAMBankBandwidth: 6
FilterSRAMBankNum: 3
[sparsity]
SparsitySupport : false
BlockSize : 8
[run_presets]
InterfaceBandwidth: USER
UseRamulatorTrace: False
"""
HEADING = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels,\n"


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "a.cfg"
        path.write_text(text)
        return path

    return _write


def test_every_field_of_a_configuration_has_its_say(write):
    settings = read_config(write(CONFIG))
    assert (settings.name, settings.array) == ("tiny", Array(8, 4, "is"))
    assert settings.memory == OffChipMemory(1024, 2048, 3072, 5, 6, 7)
    assert (settings.buffers.ifmap_bytes, settings.buffers.ofmap_bytes) == (1024, 3072)
    named = [note.partition(" is ignored: ")[0] for note in settings.notes]
    assert named == [
        "[architecture_presets] FilterOffset",
        "[architecture_presets] Bandwidth",  # all but the first of two
        "[layout] FilterSRAMBankNum",
        "[sparsity] BlockSize",
    ]


def test_bandwidth_says_nothing_where_nothing_waits(write):
    settings = read_config(write(CONFIG.replace("USER", "CALC")))
    assert settings.memory is None
    named = {note.partition(" is ignored: ")[0] for note in settings.notes}
    assert {
        "[architecture_presets] Bandwidth",
        "[layout] IfmapSRAMBankBandwidth",
        "[layout] FilterSRAMBankBandwidth",
    } < named


def test_the_reference_configurations_are_read():
    folder = DATA / "scalesim"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    paths = sorted(folder.glob("a*.cfg"))
    assert len(paths) == 8
    for path in paths:
        settings = read_config(path)
        side, dataflow, mode = path.stem[1:].split("_")
        assert settings.array == Array(int(side), int(side), dataflow)
        assert (settings.memory is None) == (mode == "CALC")
        assert settings.name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("UseRamulatorTrace: False", "UseRamulatorTrace: True", ":24: UseRamulatorTrace is True"),
        ("IfmapCustomLayout: False", "IfmapCustomLayout: True", ":15: IfmapCustomLayout is True"),
        ("ArrayHeight: 8", "ArrayHeight: 8.5", ":5: arrayheight is '8.5'; allowed: a whole"),
        ("ArrayHeight: 8", "ArrayHeight: 0", ":5: arrayheight is '0'"),
        ("ArrayHeight: 8\n", "", r"\[architecture_presets\] has no 'arrayheight'"),
        ("ArrayWidth:", "ArrayWith:", ":6: unknown field .* did you mean 'arraywidth'"),
        ("ArrayWidth:  4", "ArrayHeight: 4", ":6: 'ArrayHeight' is given twice"),
        ("[layout]", "[layouts]", ":14: unknown section 'layouts'; .* did you mean 'layout'"),
        ("Dataflow : is", "Dataflow : rs", ":12: unknown dataflow 'rs'"),
        ("USER", "user", ":23: unknown interfacebandwidth 'user'"),
        ("# a comment", "a comment", ":13: 'a comment' is not a field"),
        ("[general]\n", "", ":1: 'run_name = tiny' is not a field"),
        ("IfmapSRAMBankBandwidth: 5\n", "", r"\[layout\] has no 'ifmapsrambankbandwidth'"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_line(write, old, new, words):
    assert old in CONFIG
    with pytest.raises(InputError, match=words):
        read_config(write(CONFIG.replace(old, new)))


def test_a_topology_of_convolutions(write):
    rows = "Conv1,224,224,7,7,3,64,2,1:1,\n\n Small , 9,8,3,2,4,5,2,\nDPa,8,8,3,3,16,1,1,\n"
    one, two, three = read_topology(write(HEADING + rows))
    assert (one.name, one.product) == ("Conv1", Product(110 * 110, 147, 64))
    assert (two.name, two.product) == ("Small", Product(4 * 4, 24, 5))
    assert two.ifmap.shape == (16, 24)
    assert three.product == Product(36, 9, 1, 16)  # a product for each of 16 channels


def test_a_topology_of_matrix_products(write):
    one, two = read_topology(write("Layer, M, N, K,\nq,512,768,64,\nk,1,2,3,1:1,\n"))
    assert (one.product, two.product) == (Product(512, 64, 768), Product(1, 3, 2))
    assert run_on(Array(8, 8), one.product).utilisation_percent > 0
    assert two.ifmap.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,8,8,3,3,4,4,1,4:2,\n", ":2: sparsity '4:2'; allowed: N:M"),
        ("a,8,8,3,3,4,4,1,\nb,8,8,3,x,4,4,1,\n", ":3: a size is 'x'; allowed: a whole number"),
        ("a,8,8,3,3,4,0,1,\n", ":2: a size is '0'"),
        ("a,8,8,9,3,4,4,1,\n", ":2: a filter of 9x3 on 8x8"),
        ("a,8,8,\n", ":2: a layer of 3 fields; allowed: name and 7 sizes"),
        ("", "no layers"),
    ],
)
def test_a_wrong_topology_is_refused_with_its_line(write, rows, words):
    with pytest.raises(InputError, match=words):
        read_topology(write(HEADING + rows))


@pytest.mark.parametrize("read", [read_config, read_topology])
def test_what_cannot_be_read_is_refused(read, tmp_path):
    with pytest.raises(InputError, match="cannot read: No such file"):
        read(tmp_path / "none.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a text file"):
        read(binary)
