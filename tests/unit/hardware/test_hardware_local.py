"""What is found out about this machine, on machines that are made up."""

from __future__ import annotations

import json
import os
import stat
import sys
from types import SimpleNamespace

import psutil
import pytest

from lydite.hardware import find_device, local, local_device, physical_cores
from lydite.hardware.accelerators import accelerators

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Platinum 8592+ CPU @ 1.90GHz
cpu MHz\t\t: 1900.000
flags\t\t: fpu sse4_2 avx avx2 fma avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_bf16 \
amx_int8

processor\t: 1
model name\t: something else
"""
ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd sve i8mm bf16
"""


@pytest.fixture
def machine(monkeypatch):
    """A machine with a given /proc/cpuinfo, cores, clock, and rates that were reached."""

    def make(cpuinfo, *, cores=4, mhz=None, gemm=1.0, copy=2e10):
        path = SimpleNamespace(exists=lambda: cpuinfo is not None, read_text=lambda: cpuinfo)
        real = local.Path
        monkeypatch.setattr(
            local, "Path", lambda name: path if name == "/proc/cpuinfo" else real(name)
        )
        monkeypatch.setattr(local, "physical_cores", lambda: cores)
        frequency = mhz and SimpleNamespace(max=mhz, current=mhz)
        monkeypatch.setattr(psutil, "cpu_freq", lambda: frequency)
        monkeypatch.setattr(
            local, "_reached", lambda _: {"gemm_flop_per_s": gemm, "copy_byte_per_s": copy}
        )
        local.local_device.cache_clear()
        return local_device()

    yield make
    local.local_device.cache_clear()


def test_a_server_of_intel(machine):
    device = machine(XEON, cores=4, mhz=2000)
    assert device.name == "intel-xeon-platinum-8592-f6m207-4c"
    assert device.title == "Intel(R) Xeon(R) Platinum 8592+ CPU @ 1.90GHz"
    assert device.vendor == "GenuineIntel"
    assert {"avx512f", "amx_tile"} <= set(device.isa)
    # Two FMA ports of 16 lanes: 64 FLOP a cycle; AMX: 1024 and 2048 multiply-adds a cycle.
    assert device.peak("float32") == 4 * 2e9 * 64
    assert device.peak("float32", 1) == 2e9 * 64
    assert device.peak("float64") == device.peak("float32") / 2
    assert device.peak("bfloat16") == 4 * 2e9 * 2048
    assert device.peak("int8") == 4 * 2e9 * 4096
    assert device.memory_bandwidth == 2e10
    assert device.memory_bytes == psutil.virtual_memory().total
    assert "4 cores x 2.00 GHz" in device.source("peak_flops")
    assert device.source("clock_hz") == "cpufreq maximum"


def test_the_clock_of_cpuinfo_is_taken_where_there_is_no_other(machine):
    device = machine(XEON)
    assert (device.clock_hz, device.source("clock_hz")) == (1.9e9, "/proc/cpuinfo")


def test_an_arm_core_without_a_clock(machine):
    device = machine(ARM)
    assert device.isa == ("asimd", "sve", "i8mm", "bf16")
    assert device.peak("float32", 1) == 2e9 * 16
    assert "assumed" in device.source("clock_hz")
    assert device.name.endswith("-4c")


def test_a_gemm_above_the_reported_clock_raises_the_peaks(machine):
    device = machine(XEON, cores=1, mhz=1000, gemm=128e9)
    assert device.peak("float32") == pytest.approx(128e9)
    assert device.peak("bfloat16") == pytest.approx(2 * 2048e9)
    assert "times 2.00" in device.source("peak_flops")


@pytest.mark.parametrize(
    ("flags", "lanes"), [("", 4), ("avx", 4), ("avx2 fma", 8), ("avx2 avx512f", 16)]
)
def test_vector_width(flags, lanes):
    rates = local._flop_per_cycle(set(flags.split()))
    assert rates == {"float32": 4 * lanes, "float64": 2 * lanes}


def test_caches_by_level(tmp_path, monkeypatch):
    levels = [
        ("Data", 1, "48K", "0"),
        ("Instruction", 1, "32K", "0"),
        ("Unified", 2, "2M", "0"),
        ("Unified", 3, "260M", "0-3,8"),
    ]
    for number, (kind, level, size, shared) in enumerate(levels):
        index = tmp_path / f"index{number}"
        index.mkdir()
        for name, text in (
            ("type", kind),
            ("level", str(level)),
            ("size", size),
            ("shared_cpu_list", shared),
        ):
            (index / name).write_text(text + "\n")
    (tmp_path / "index9").mkdir()  # a level that the kernel does not describe
    monkeypatch.setattr(local, "Path", lambda _: tmp_path)
    found = local._caches(4)
    assert [(c.level, c.size_bytes, c.per_unit_bytes) for c in found] == [
        (1, 4 * 48 * 1024, 48 * 1024),
        (2, 4 * 2**21, 2**21),
        (3, 260 * 2**20, None),
    ]


def test_rates_that_were_reached_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(local, "_fastest", lambda action: 0.5)
    first = local._reached(2)
    assert first == {"gemm_flop_per_s": 4 * 1024**3, "copy_byte_per_s": 8 * (8 << 20) * 8}
    monkeypatch.setattr(local, "_fastest", lambda action: 0.25)
    assert local._reached(2) == first
    (path,) = tmp_path.glob("peaks-*-2.json")
    path.write_text("{}")
    assert local._reached(2)["gemm_flop_per_s"] == 2 * first["gemm_flop_per_s"]
    assert json.loads(path.read_text())["gemm_flop_per_s"] == 8 * 1024**3


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert physical_cores() == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert physical_cores() == 8
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None)
    assert physical_cores() == 1


def test_the_real_machine():
    device = find_device("cpu")
    assert device is find_device("here")
    assert find_device(device.name) == device
    assert device.kind == "cpu"
    assert device.units == physical_cores() >= 1
    assert device.peak("float32", 1) > 1e9
    assert device.memory_bandwidth > 1e8


def tool(folder, name, text, code=0):
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_accelerators_are_named_as_in_the_catalog(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    tool(tmp_path, "nvidia-smi", "NVIDIA H100 80GB HBM3, 81559, 580.1\nQuadro X9, 1024, 580.1")
    tool(tmp_path, "rocm-smi", "device,Card series,Card model\ncard0,MI250,0x740c")
    found = accelerators()
    assert [(a.name, a.title, a.driver) for a in found] == [
        ("nvidia-h100-sxm5-80gb", "NVIDIA H100 80GB HBM3", "580.1"),
        ("quadro-x9", "Quadro X9", "580.1"),
        ("amd-mi250", "MI250", ""),
    ]
    assert found[0].memory_bytes == 81559 << 20


def test_drivers_that_fail_list_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    tool(tmp_path, "nvidia-smi", "NVIDIA-SMI has failed, because", code=9)
    (tmp_path / "rocm-smi").write_text("not a program")
    (tmp_path / "rocm-smi").chmod(0o755)
    assert accelerators() == []


def test_a_system_without_proc_cpuinfo_is_read_by_py_cpuinfo(machine, monkeypatch):
    read = {"brand_raw": "Apple M3", "vendor_id_raw": "Apple", "flags": ["asimd", "bf16"]}
    monkeypatch.setitem(sys.modules, "cpuinfo", SimpleNamespace(get_cpu_info=lambda: read))
    device = machine(None, cores=2, mhz=4000)
    assert (device.title, device.vendor) == ("Apple M3", "Apple")
    assert set(device.isa) == {"asimd", "bf16"}


def test_without_py_cpuinfo_the_vendor_is_unknown(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cpuinfo", None)
    assert machine(None, cores=2, mhz=4000).vendor == "unknown"
