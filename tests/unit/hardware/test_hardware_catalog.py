"""The catalog against what the vendors print, and files that are wrong."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
import yaml

from lydite.errors import InputError, UnitError
from lydite.hardware import Device, find_device, known_devices, read_device

T, G = 1e12, 1e9

# Dense rates, memory bandwidth and capacity from the vendors' data sheets.
FIGURES = {
    "v100": ({"float16": 125 * T, "float32": 15.7 * T, "float64": 7.8 * T}, 900 * G, 32 * G),
    "v100-pcie": ({"float16": 112 * T, "float32": 14 * T, "float64": 7 * T}, 900 * G, 32 * G),
    "a100-40": (
        {
            "float16": 312 * T,
            "bfloat16": 312 * T,
            "tf32": 156 * T,
            "float32": 19.5 * T,
            "float64": 9.7 * T,
            "int8": 624 * T,
        },
        1555 * G,
        40 * G,
    ),
    "a100-80": ({"float16": 312 * T, "int8": 624 * T}, 2039 * G, 80 * G),
    "a100-pcie-80gb": ({"float16": 312 * T, "int8": 624 * T}, 1935 * G, 80 * G),
    "h100": (
        {
            "float16": 989.4 * T,
            "bfloat16": 989.4 * T,
            "tf32": 494.7 * T,
            "float8e4m3fn": 1978.9 * T,
            "int8": 1978.9 * T,
        },
        3350 * G,
        80 * G,
    ),
    "h200": ({"float16": 989.4 * T, "bfloat16": 989.4 * T}, 4800 * G, 141 * G),
    "b200": (
        {
            "float16": 2250 * T,
            "bfloat16": 2250 * T,
            "float8e4m3fn": 4500 * T,
            "tf32": 1125 * T,
            "float32": 75 * T,
            "float64": 37 * T,
        },
        8000 * G,
        180 * G,
    ),
    "l4": ({"float16": 121 * T, "float32": 30.3 * T, "int8": 242.5 * T}, 300 * G, 24 * G),
    "t4": (
        {"float16": 65 * T, "float32": 8.1 * T, "int8": 130 * T, "int4": 260 * T},
        300 * G,
        16 * G,
    ),
    "mi100": (
        {"float16": 184.6 * T, "bfloat16": 92.3 * T, "float32": 23.1 * T, "float64": 11.5 * T},
        1228.8 * G,
        32 * G,
    ),
    "mi210": ({"float16": 181 * T, "bfloat16": 181 * T, "float64": 22.6 * T}, 1638.4 * G, 64 * G),
    "mi250": (
        {"float16": 362.1 * T, "bfloat16": 362.1 * T, "float64": 45.3 * T},
        3276.8 * G,
        128 * G,
    ),
    "rtx-2080-ti": ({"float32": 13.4 * T}, 616 * G, 11 * G),
    "p4": ({"float32": 5.5 * T, "int8": 22 * T}, 192 * G, 8 * G),
    "p100": ({"float64": 4.7 * T, "float32": 9.3 * T, "float16": 18.7 * T}, 732 * G, 16 * G),
    "a100-pcie-40gb": ({"float16": 312 * T, "float32": 19.5 * T}, 1555 * G, 40 * G),
    "l40s": ({"float16": 362 * T, "float32": 91.6 * T, "int8": 733 * T}, 864 * G, 48 * G),
    "h20": ({"bfloat16": 148 * T, "float32": 44 * T, "int8": 296 * T}, 4000 * G, 96 * G),
    "h800": ({"bfloat16": 989.4 * T, "float64": 1 * T}, 3350 * G, 80 * G),
    "a800": ({"bfloat16": 312 * T, "float64": 9.7 * T, "int8": 624 * T}, 2039 * G, 80 * G),
    "a10": ({"bfloat16": 125 * T, "float32": 31.2 * T, "tf32": 62.5 * T}, 600 * G, 24 * G),
    "a40": ({"bfloat16": 149.7 * T, "float32": 37.4 * T, "tf32": 74.8 * T}, 696 * G, 48 * G),
    "rtx-3090": ({"bfloat16": 71 * T, "float32": 35.6 * T}, 936 * G, 24 * G),
    "rtx-4090": ({"bfloat16": 165.2 * T, "float32": 82.6 * T}, 1008 * G, 24 * G),
    "rtx-5090": ({"bfloat16": 209.5 * T, "float32": 104.8 * T}, 1792 * G, 32 * G),
    "rtx-pro-6000": ({"bfloat16": 503.8 * T, "float32": 126 * T}, 1792 * G, 96 * G),
    "rtx-pro-6000-server": ({"bfloat16": 467.8 * T, "float32": 117 * T}, 1597 * G, 96 * G),
    "b300": ({"bfloat16": 2250 * T, "float4e2m1": 13500 * T}, 8000 * G, 270 * G),
    "gb200": ({"bfloat16": 2500 * T, "float4e2m1": 10000 * T}, 8000 * G, 186 * G),
    "gb300": ({"bfloat16": 2500 * T, "float4e2m1": 15000 * T}, 8000 * G, 279 * G),
    "mi300x": ({"bfloat16": 1307.4 * T, "float32": 163.4 * T}, 5300 * G, 192 * G),
    "mi325x": ({"bfloat16": 1307.4 * T, "float64": 81.7 * T}, 6000 * G, 256 * G),
    "mi355x": ({"bfloat16": 2516.6 * T, "float32": 157.3 * T}, 8000 * G, 288 * G),
    "b60": ({"float16": 98.3 * T, "float32": 12.28 * T, "int8": 197 * T}, 456 * G, 24 * G),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_data_sheets(name):
    peaks, bandwidth, memory = FIGURES[name]
    device = find_device(name)
    assert {dtype: device.peak_flops[dtype] for dtype in peaks} == pytest.approx(peaks, rel=1e-9)
    assert device.memory_bandwidth == pytest.approx(bandwidth, rel=1e-9)
    assert device.memory_bytes == pytest.approx(memory)


def test_every_device_of_the_catalog_is_in_the_table_above():
    assert {find_device(name).name for name in FIGURES} == set(known_devices())


@pytest.mark.parametrize("device", known_devices().values(), ids=lambda device: device.name)
def test_a_device_is_complete_and_plausible(device):
    assert device.kind == "gpu"
    assert device.title
    assert device.vendor in ("NVIDIA", "AMD", "Intel")
    assert device.clock_hz
    assert device.power_w
    assert device.process_m
    assert device.caches
    assert device.units > 1
    for field in ("peak_flops", "memory_bandwidth", "memory_bytes", "power_w", "clock_hz"):
        assert len(device.source(field)) > 10
        assert any(word in device.source(field) for word in ("heet", "hite", "manual"))
    assert "float32" in device.peak_flops
    if "float16" in device.peak_flops:  # Pascal's P4 has no faster half precision
        assert device.peak("float16") > device.peak("float32")
    assert device.peak("float32") >= device.peak_flops.get("float64", 0)
    # Two FLOP per lane and clock: what the plain units reach follows from their number. H100's
    # clock is that of its matrix units (1830 MHz); the plain ones run at 1980 MHz. What H20's data
    # sheet prints exceeds the clock that its driver reports, and so its file says.
    per_unit = device.peak("float32") / device.units / device.clock_hz / 2
    near = 0.12 if "h20-" in device.name else 0.1
    assert any(per_unit == pytest.approx(lanes, rel=near) for lanes in (64, 128))


@pytest.mark.parametrize("device", known_devices().values(), ids=lambda device: device.name)
def test_matrix_units_do_a_power_of_two_a_clock(device):
    peaks = device.peak_flops
    half = peaks.get("bfloat16" if device.name != "amd-mi100" else "float16")
    if half is None or half < 1.5 * device.peak("float32"):
        pytest.skip("has no matrix units for 16 bits")
    power = np.log2(half / device.units / device.clock_hz)
    assert power == pytest.approx(round(power), abs=0.14)  # boost and base clocks differ by 10 %
    for dtype in ("float8e4m3fn", "float8e4m3fnuz"):
        assert peaks.get(dtype, 2 * half) == pytest.approx(2 * half, rel=0.02)


def test_files_are_named_after_their_device_and_aliases_are_unique():
    aliases = []
    for entry in resources.files("lydite.hardware.catalog.devices").iterdir():
        if entry.name.endswith(".yaml"):
            raw = yaml.safe_load(entry.read_text())
            assert entry.name == f"{raw['name']}.yaml"
            aliases += [raw["name"], *raw["aliases"]]
    assert len(aliases) == len(set(aliases))
    assert "cpu" not in aliases


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("h100", "nvidia-h100-sxm5-80gb"),
        ("H100", "nvidia-h100-sxm5-80gb"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb"),
        ("a100", "nvidia-a100-sxm4-40gb"),
        ("nvidia-a100-sxm4-80gb", "nvidia-a100-sxm4-80gb"),
        ("Tesla T4", "nvidia-t4"),
        ("2080ti", "nvidia-rtx-2080-ti"),
    ],
)
def test_aliases(asked, found):
    assert find_device(asked).name == found


GOOD = {
    "name": "mine",
    "title": "Mine",
    "kind": "npu",
    "vendor": "me",
    "peak": {"float32": "2 TFLOP/s", "int8": "8 TOP/s"},
    "memory": "16 GiB",
    "memory_bandwidth": "100 GB/s",
    "units": 4,
    "clock": "1.5 GHz",
    "power": "20 W",
    "caches": [{"level": 2, "size": "1 MiB", "per_unit": "256 KiB"}],
    "sources": {"": "me"},
}


def write(path, **changes):
    raw = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    path.write_text(yaml.safe_dump(raw))
    return path


def test_a_file_of_the_users_own(tmp_path):
    device = find_device(str(write(tmp_path / "mine.yaml")))
    assert device.peak_flops == {"float32": 2e12, "int8": 8e12}
    assert (device.memory_bytes, device.memory_bandwidth) == (16 * 2**30, 1e11)
    assert (device.clock_hz, device.power_w, device.units) == (1.5e9, 20.0, 4)
    assert device.private_cache_bytes == 256 * 1024
    assert device.source("power_w") == "me"


def test_what_a_file_lacks_is_named(tmp_path):
    whole = {"kind": "gpu", "process": "5 nm"}
    assert find_device(str(write(tmp_path / "whole.yaml", **whole))).lacking == ()
    bare = {"kind": "gpu", "power": None, "clock": None, "caches": []}
    found = find_device(str(write(tmp_path / "bare.yaml", **bare)))
    assert found.lacking == ("clock", "power", "process", "caches")


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"colour": "red"}, InputError, "unknown field 'colour' of a device"),
        ({"memory": None}, InputError, "field 'memory'"),
        ({"peak": None}, InputError, "field 'peak'"),
        ({"sources": None}, InputError, "field 'sources'"),
        ({"memory": "16 GHz"}, UnitError, "memory: '16 GHz' is not in B"),
        ({"memory_bandwidth": "100 GB"}, UnitError, "memory_bandwidth: '100 GB' is not in B/s"),
        ({"clock": "fast"}, UnitError, "clock: 'fast' is not a quantity"),
        ({"power": "-3 W"}, UnitError, "power: '-3 W' is not a finite quantity"),
        ({"power": "700000 W"}, InputError, "power: '700000 W' is no power limit"),
        ({"power": "0.7 W", "kind": "gpu"}, InputError, "did you mean '700 W'"),
        ({"peak": {"float32": "2 GB/s"}}, UnitError, "peak.float32: '2 GB/s' is not in FLOP/s"),
        ({"peak": {"float32": 2}}, InputError, "peak.float32: '2' has no unit"),
        ({"units": 0}, InputError, "field 'units'"),
        ({"units": "many"}, InputError, "field 'units'"),
        ({"kind": "toaster"}, InputError, "field 'kind'"),
        ({"name": "Mine!"}, InputError, "field 'name'"),
        ({"schema_version": 2}, InputError, "field 'schema_version'"),
        ({"caches": [{"level": 9, "size": "1 MiB"}]}, InputError, "field 'caches.0.level'"),
        ({"caches": [{"level": 1, "size": "1 s"}]}, UnitError, "caches.0.size: '1 s' is not in B"),
    ],
)
def test_bad_files_name_the_field(tmp_path, changes, kind, words):
    path = write(tmp_path / "mine.yaml", **changes)
    with pytest.raises(kind) as caught:
        read_device(path)
    line = str(caught.value)
    assert line.startswith((f"{path}: ", f"{path}:"))
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: [", "not YAML"),
        (b"\tname: x", "not YAML"),
        (b"- a\n- b\n", "not a device file; allowed: a mapping"),
        (b"", "not a device file"),
        (b"\xff\xfe\x00\x00", "cannot be read"),
        (b"!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_files_that_are_none(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_device(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no such device file"):
        find_device(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_device(tmp_path)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("h10", "h100"), ("a100-8", "a100-80"), ("mi25", "mi250"), ("rtx2080", "rtx2080ti")],
)
def test_a_typo_gets_the_nearest_name(typed, meant):
    with pytest.raises(InputError, match=f"unknown device '{typed}'.*did you mean '{meant}'"):
        find_device(typed)


def toy(kind, **peaks):
    return Device("toy", "Toy", kind, "x", peaks, 1e9, 1e9, units=8)


def test_peaks_by_threads():
    cpu = toy("cpu", float32=8e11, float64=4e11)
    assert cpu.peak("float32") == 8e11
    assert cpu.peak("float32", 1) == 1e11
    assert cpu.peak("float64", 4) == 2e11
    assert cpu.peak("float32", 64) == 8e11
    assert toy("gpu", float32=8e11).peak("float32", 1) == 8e11


def test_a_dtype_without_a_rate_runs_at_that_of_float32():
    assert toy("cpu", float32=8e11).peak("float8e5m2", 1) == 1e11
    with pytest.raises(InputError, match="no peak for float16; allowed: int8"):
        toy("npu", int8=1e12).peak("float16")


def test_units_are_in_the_keys_of_the_json():
    found = find_device("h100").to_json()
    assert found["peak_flop_per_s"]["bfloat16"] == 989.4e12
    assert found["memory_bandwidth_byte_per_s"] == 3350e9
    assert (found["clock_hz"], found["power_w"]) == (1.83e9, 700)
    assert found["caches"] == [{"level": 2, "size_bytes": 50e6, "per_unit_bytes": None}]


def test_a_device_survives_the_database():
    for device in known_devices().values():
        assert Device.from_json(device.to_json()) == device


@pytest.mark.parametrize("spec", [{}, {"name": "x"}, {"name": "x", "caches": 3}])
def test_a_spec_that_is_none_is_refused(spec):
    with pytest.raises(InputError, match="not a device specification"):
        Device.from_json(spec)
