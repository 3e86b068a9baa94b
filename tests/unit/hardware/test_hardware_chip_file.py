"""Chip files: what the catalog states, what the fields mean, and files that are wrong."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from lydite.chip import run_chip
from lydite.errors import InputError
from lydite.hardware.chip import (
    DRAMS,
    Scratchpad,
    SmvArray,
    SystolicArray,
    chip_json_schema,
    known_chips,
    parse_chip,
    read_chip,
)
from lydite.models import build_model

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "my_npu.yaml"
GOOD = EXAMPLE.read_text()
CATALOG = {
    entry.name.removesuffix(".yaml"): yaml.safe_load(entry.read_text())
    for entry in resources.files("lydite.hardware.catalog.chips").iterdir()
    if entry.name.endswith(".yaml")
}


@pytest.mark.parametrize(
    ("name", "macs", "peak_flops", "scratchpad_kib"),
    [
        ("smv", 256, 512e9, 7 * 64),  # SMAUG: 8 PEs, 4 vectors, 8 lanes at 1 GHz
        ("nvdla-small", 64, 128e9, 128 + 16),  # nv_small: 8 x 8, 128 KiB of buffer
        ("nvdla-large", 2048, 4.096e12, 512 + 128),  # nv_full: 2,048 MACs, 512 KiB
        ("gemmini-like", 256, 512e9, 256 + 64),  # 16 x 16, 256 KiB and 64 KiB
        ("tpu-like", 16384, 61.6e12, 16384),  # TPU v3: 123 TFLOP/s a chip of two cores
        ("systolic-32", 1024, 2.048e12, 192),
        ("systolic-128", 16384, 32.768e12, 12288),
        ("systolic-256", 65536, 131.072e12, 20480),
    ],
)
def test_the_catalog_has_what_was_published(name, macs, peak_flops, scratchpad_kib):
    chip = known_chips()[name]
    assert chip.array.macs == macs
    assert chip.peak_flops == pytest.approx(peak_flops, rel=1e-3)
    assert chip.scratchpad_bytes == scratchpad_kib * 1024


def test_the_catalog_is_whole():
    assert known_chips().keys() == CATALOG.keys() == {chip.name for chip in known_chips().values()}
    assert len(CATALOG) == 9
    smv = read_chip("SMV")
    assert smv.registers_bytes == 3172  # the arrays that smv-accel.cfg partitions completely
    assert smv.scratchpad("weights") == Scratchpad("weights", 65536, 8, 1, 4)


@pytest.mark.parametrize("name", CATALOG)
def test_every_figure_has_a_source(name):
    chip = known_chips()[name]
    assert len(chip.source("")) > 20
    assert set(chip.sources) <= {"", *CATALOG[name]}
    assert all(len(text) > 6 for text in chip.sources.values())
    assert chip.dram.source
    assert chip.dram.energy_source


def test_the_fields_of_a_file_mean_what_they_say():
    chip = read_chip(str(EXAMPLE))
    assert (chip.name, chip.clock_hz, chip.dtype, chip.accelerators) == ("my-npu", 8e8, "int8", 2)
    assert chip.array == SystolicArray(32, 32, "ws", "preload")
    assert chip.scratchpad("filter") == Scratchpad("filter", 262144, 32, 1, 1)
    assert chip.scratchpad("ofmap").bytes_per_cycle == 32 * 4
    assert (chip.dma.chunk_bytes, chip.dma.page_bytes, chip.dma.requests) == (64, 4096, 32)
    assert (chip.interface.kind, chip.interface.line_bytes) == ("acp", 64)
    assert chip.cache is not None
    assert chip.cache.bytes == 1 << 20
    assert (chip.dram.name, chip.dram.pins_bytes_per_s, chip.dram.channels) == (
        "lpddr4-3200",
        25.6e9,
        2,
    )
    assert (chip.cpu.cores, chip.cpu.clock_hz, chip.cpu.memory_bytes_per_s) == (2, 1.5e9, 12.8e9)
    assert (chip.bus_bytes_per_s, chip.node_nm, chip.registers_bytes) == (32e9, 16, 0)
    assert chip.peak_flops == 2 * 1024 * 8e8 * 2
    assert "two channels" in chip.source("dram")
    assert "all of it assumed" in chip.source("clock")


def test_the_example_shows_every_section():
    shown, known = set(yaml.safe_load(GOOD)), set(chip_json_schema()["properties"])
    assert known - shown == {"registers"}  # nobody counts them of a systolic array


def test_what_is_left_out_has_a_default():
    kept = ("name", "title", "clock", "array", "scratchpads", "dram", "sources")
    raw = yaml.safe_load(GOOD)
    chip = parse_chip(yaml.safe_dump({key: raw[key] for key in kept}), "bare.yaml")
    assert (chip.dtype, chip.accelerators, chip.cache) == ("float16", 1, None)
    assert chip.bus_bytes_per_s == float("inf")
    assert chip.interface.kind == "dma"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "25.6 GB/s",
            "25.6",
            r"x.yaml:[0-9]+: dram.bandwidth: '25.6' has no unit; allowed: such",
        ),
        ("32 GB/s", "'32'", "x.yaml:[0-9]+: bus: '32' has no unit"),
        ("800 MHz", "800", "x.yaml:[0-9]+: clock: '800' has no unit"),
        ("800 MHz", "800 MB", "x.yaml:[0-9]+: clock: '800 MB' is not in Hz"),
        ("800 MHz", "0 Hz", "x.yaml:[0-9]+: clock: '0 Hz' is zero; allowed: more than 0"),
        ("800 MHz", "-1 Hz", "x.yaml:[0-9]+: clock: '-1 Hz' is not a finite"),
        ("800 MHz", "1e-320 GHz", "x.yaml: clock: .* Hz is no clock; allowed: 1 kHz to 1 THz"),
        ("size: 128 KiB", "size: 0.5 B", "scratchpads.ofmap.size: '0.5 B' is not a size; allo"),
        ("size: 128 KiB", "size: 9 PB", "scratchpads.ofmap.size: '9 PB' is not a size"),
        (
            "size: 128 KiB",
            "size: 64 B",
            "scratchpads.ofmap: 32 banks of 4-byte words do not fit in 64 bytes",
        ),
        ("dtype: int8", "dtype: int4", "unknown dtype 'int4'; .* did you mean 'int8'"),
        ("kind: acp", "kind: acb", "unknown interface.kind 'acb'; .* did you mean 'acp'"),
        ("dataflow: ws", "dataflow: wso", "dataflow 'wso'; allowed: is, os, ws; did you mean 'ws"),
        ("lpddr4-3200,", "lpddr4-320,", "dram.kind: unknown dram 'lpddr4-320'; .* 'lpddr4-3200'"),
        ("rows: 32", "row: 32", "unknown field 'row' of array; .* did you mean 'rows'"),
        ("kind: systolic", "kind: systolc", "unknown array 'systolc'; .* did you mean 'systolic'"),
        ("kind: systolic", "kind: 3", "unknown array '3'"),
        (
            "  dram: two",
            "  drum: two",
            "[0-9]+: sources: unknown field 'drum'; .* mean 'dram'",
        ),
        ("channels: 2}", "chanels: 2}", "unknown field 'chanels' of dram; .* mean 'channels'"),
        ("node_nm: 16", "nodes: 16", "unknown field 'nodes' of a chip; .* did you mean 'node_nm'"),
        ("  filter:", "  ifmap:", "x.yaml:21: 'ifmap' is given twice"),
        ("  filter:", "  filters:", "no scratchpad 'filter'; allowed: ifmap, filter, ofmap"),
        ("accelerators: 2", "accelerators: 65", "x.yaml: 65 accelerators; allowed: 1 to 64"),
        ("accelerators: 2", "accelerators: 0", "field 'accelerators': input should be greater"),
        ("accelerators: 2", "accelerators: two", "field 'accelerators'"),
        (
            "chunk: 64 B ",
            "chunk: 8 KiB ",
            "dma: chunks of 8192 bytes exceed pages of 4096 bytes; allowed",
        ),
        ("name: my-npu", "name: My NPU", "field 'name'"),
        ("schema_version: 1", "schema_version: 2", "field 'schema_version'"),
        ("clock: 800 MHz\n", "", "field 'clock': field required; allowed: schema_version, name"),
    ],
)
def test_a_wrong_file_is_one_clear_line(old, new, words):
    assert old in GOOD
    with pytest.raises(InputError, match=words) as caught:
        parse_chip(GOOD.replace(old, new, 1), "x.yaml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("x.yaml")


def test_a_data_type_that_smv_lacks():
    text = yaml.safe_dump({**CATALOG["smv"], "dtype": "int8"})
    with pytest.raises(
        InputError, match=r"x\.yaml: dtype: SMV does not compute in int8; allowed: floa"
    ):
        parse_chip(text, "x.yaml")


@pytest.mark.parametrize("text", ["", "[]", "chip", "a: b: c", "{" * 2000, "\tname: x", "? [a]: b"])
def test_what_is_no_chip_file(text):
    with pytest.raises(InputError, match=r"^x.yaml(:1|:2)?: (not |fields more than 100 deep)"):
        parse_chip(text, "x.yaml")


def test_aliases_that_grow_stay_small():
    names = [chr(ord("a") + at) for at in range(16)]
    lines = ["a: &a [x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(8 * [f'*{old}'])}]" for old, new in pairwise(names)]
    with pytest.raises(InputError) as caught:
        parse_chip("\n".join([*lines, "name: *p", "sources: {x: *p}", "array: *p"]), "bomb.yaml")
    assert len(str(caught.value)) < 500


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: No such file"):
        read_chip(str(tmp_path / "none.yaml"))
    long = tmp_path / "long.yaml"
    long.write_text(GOOD + "#" * (1 << 16))
    with pytest.raises(InputError, match="too large for a chip file; allowed: 65536 bytes at most"):
        read_chip(str(long))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_chip(str(binary))
    with pytest.raises(InputError, match=r"unknown chip 'systolic-64'; .* did you mean 'systolic-"):
        read_chip("systolic-64")
    with pytest.raises(InputError, match=r"unknown scratchpad 'weight'; .* mean 'weights'"):
        read_chip("smv").scratchpad("weight")


def accepts(schema, value, root):
    """Whether a value is what JSON Schema says; as much of it as chip files need."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return any(accepts(one, value, root) for one in schema[choice])
    kinds = {
        "object": dict,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, int | float):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if not isinstance(value, dict):
        return True
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
    if not set(schema.get("required", ())) <= value.keys():
        return False
    return all(
        accepts(known[key], inner, root)
        if key in known
        else rest is not False and accepts(rest, inner, root)
        for key, inner in value.items()
    )


@pytest.mark.parametrize("name", [*CATALOG, "my_npu"])
def test_the_json_schema_takes_the_catalog(name):
    schema = chip_json_schema()
    assert accepts(schema, CATALOG.get(name, yaml.safe_load(GOOD)), schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rows: 32", "row: 32"),
        ("dtype: int8", "dtype: int4"),
        ("kind: acp", "kind: acb"),
        ("accelerators: 2", "accelerators: 0"),
        ("node_nm: 16", "nodes: 16"),
        ("name: my-npu", "name: My NPU"),
        ("clock: 800 MHz\n", ""),
        ("kind: systolic", "kind: x"),
        ("25.6 GB/s", "25.6"),
    ],
)
def test_the_json_schema_refuses_what_the_reader_refuses(old, new):
    schema, text = chip_json_schema(), GOOD.replace(old, new, 1)
    assert not accepts(schema, yaml.safe_load(text), schema)
    with pytest.raises(InputError):
        parse_chip(text, "x.yaml")


def test_the_array_of_smv():
    assert parse_chip(yaml.safe_dump(CATALOG["smv"]), "x.yaml").array == SmvArray(8, 4, 8)


def test_the_example_runs_on_both_accelerators():
    result = run_chip(build_model("lenet5"), read_chip(str(EXAMPLE)))
    assert set(result.plan.jobs.accelerator) == {0, 1}
    assert 0 < result.seconds < 0.01


def rows_of(page):
    """Cells of a page's tables by what stands first."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def test_the_page_says_what_the_code_has():
    page = (ROOT / "docs" / "reference" / "chips.md").read_text()
    rows = rows_of(page)
    for name, chip in known_chips().items():
        array, dtype, _, _, _, kind, dram, accelerators, node = rows[name]
        assert [dtype, kind, dram] == [chip.dtype, chip.interface.kind, f"`{chip.dram.name}`"]
        assert (int(accelerators), float(node)) == (chip.accelerators, chip.node_nm)
        assert str(getattr(chip.array, "rows", 8)) in array
    for name, dram in DRAMS.items():
        pins, channels, burst, lines, pages = (float(cell) for cell in rows[name][:5])
        assert (pins, channels, burst) == (
            dram.pins_bytes_per_s / 1e9,
            dram.channels,
            dram.burst_bytes,
        )
        assert lines == pytest.approx(dram.stream_bytes_per_s(32) / 1e9, abs=0.05)
        assert pages == pytest.approx(dram.stream_bytes_per_s(4096) / 1e9, abs=0.05)
    schema = chip_json_schema()
    parts = [schema, *schema["$defs"].values()]
    told = set(re.findall(r"\w+", page))
    assert {name for part in parts for name in part["properties"]} <= told
