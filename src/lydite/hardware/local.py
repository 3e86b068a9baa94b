"""This machine's processor as a `Device`: detected, with peaks derived from its instruction set.

Peak FLOP/s = cores x clock x FLOP per cycle, the last from the widest vector unit (two fused
multiply-add ports of 512 or 256 bits) or, for bfloat16 and int8, the AMX tile unit (1024 and 2048
multiply-adds a cycle; Intel Architecture Optimization Reference Manual, 2023, section 20). Memory
bandwidth is what a copy of large arrays reaches on this machine, measured once and cached on disk.
"""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from lydite.files import write_atomic
from lydite.hardware.device import Cache, Device

_ISA = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "sve",
    "sve2",
    "i8mm",
    "bf16",
)
_DEFAULT_CLOCK_HZ = 2.0e9


@cache
def local_processor() -> str:
    """Name of this machine's processor, without measuring anything."""
    info, _ = _cpuinfo()
    return info.get("model name", platform.processor() or platform.machine())


@cache
def local_device() -> Device:
    """This machine's processor; `sources` says which figures are assumed."""
    import psutil  # slow, and often not needed

    info, flags = _cpuinfo()
    cores = physical_cores()
    clock, clock_source = _clock_hz(info)
    per_cycle = _flop_per_cycle(flags)
    title = info.get("model name", platform.processor() or platform.machine())
    reached = _reached(cores)
    peaks = {dtype: cores * clock * rate for dtype, rate in per_cycle.items()}
    peaks_source = f"{cores} cores x {clock / 1e9:.2f} GHz x FLOP per cycle of the ISA"
    scale = reached["gemm_flop_per_s"] / peaks["float32"]
    if scale > 1:
        peaks = {dtype: rate * scale for dtype, rate in peaks.items()}
        peaks_source += f", times {scale:.2f}: a GEMM here ran above the reported clock"
    return Device(
        name=_slug(title, info, cores),
        title=title,
        kind="cpu",
        vendor=info.get("vendor_id", "unknown"),
        peak_flops=peaks,
        memory_bytes=float(psutil.virtual_memory().total),
        memory_bandwidth=reached["copy_byte_per_s"],
        units=cores,
        clock_hz=clock,
        caches=_caches(cores),
        isa=tuple(name for name in _ISA if name in flags),
        sources={
            "": "detected on this machine",
            "peak_flops": peaks_source,
            "clock_hz": clock_source,
            "memory_bandwidth": "measured here: copy of 64 MiB by one thread, times the cores",
        },
    )


def physical_cores() -> int:
    """Number of cores that this process may use."""
    import psutil  # slow, and often not needed

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    physical = psutil.cpu_count(logical=False) or 1
    return min(allowed, physical) if allowed else physical


def _cpuinfo() -> tuple[dict[str, str], set[str]]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return _portable_cpuinfo()
    first = path.read_text().split("\n\n")[0]
    fields = (line.partition(":") for line in first.splitlines())
    info = {key.strip(): value.strip() for key, _, value in fields}
    return info, set((info.get("flags") or info.get("Features") or "").split())


def _portable_cpuinfo() -> tuple[dict[str, str], set[str]]:
    """The fields of /proc/cpuinfo on systems without it: macOS, Windows, BSD."""
    title = platform.processor() or platform.machine()
    try:
        read: Mapping[str, Any] = import_module("cpuinfo").get_cpu_info()
    except ImportError:
        return {"model name": title}, set()
    names = {"model name": "brand_raw", "vendor_id": "vendor_id_raw"}
    names |= {"cpu family": "family", "model": "model"}
    info = {field: str(read[name]) for field, name in names.items() if read.get(name)}
    return {"model name": title} | info, set(read.get("flags", ()))


def _slug(title: str, info: dict[str, str], cores: int) -> str:
    words = re.sub(r"\((r|tm)\)|cpu|@.*$", " ", title.lower())
    stem = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    model = info.get("model")
    family = f"-f{info.get('cpu family')}m{model}" if model else ""
    return f"{stem}{family}-{cores}c"


def _clock_hz(info: dict[str, str]) -> tuple[float, str]:
    import psutil  # slow, and often not needed

    try:
        frequency = psutil.cpu_freq()
    except (OSError, RuntimeError, NotImplementedError):
        frequency = None
    if frequency and frequency.max:
        return frequency.max * 1e6, "cpufreq maximum"
    if frequency and frequency.current:
        return frequency.current * 1e6, "current clock as the system reports it"
    if "cpu MHz" in info:
        return float(info["cpu MHz"]) * 1e6, "/proc/cpuinfo"
    return _DEFAULT_CLOCK_HZ, "assumed: this system reports no clock"


def _flop_per_cycle(flags: set[str]) -> dict[str, float]:
    """FLOP per cycle and core by dtype, assuming two FMA ports."""
    lanes = 16 if "avx512f" in flags else 8 if "avx2" in flags else 4
    base = 2 * 2 * lanes
    rates = {"float32": base, "float64": base / 2}
    if "avx512_fp16" in flags:
        rates["float16"] = base * 2
    if "avx512_vnni" in flags or "avx_vnni" in flags:
        rates |= {"int8": base * 4, "uint8": base * 4}
    if "avx512_bf16" in flags:
        rates["bfloat16"] = base * 2
    if "amx_bf16" in flags:
        rates["bfloat16"] = 2 * 1024
    if "amx_int8" in flags:
        rates |= {"int8": 2 * 2048, "uint8": 2 * 2048}
    return rates


def _caches(cores: int) -> tuple[Cache, ...]:
    by_level: dict[int, Cache] = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            cache_type = (index / "type").read_text().strip()
            level = int((index / "level").read_text())
            size = _size_bytes((index / "size").read_text().strip())
            sharers = _count((index / "shared_cpu_list").read_text().strip())
        except (OSError, ValueError):
            continue
        if cache_type != "Instruction":
            private = size if sharers == 1 else None
            total = size * cores if sharers == 1 else size
            by_level[level] = Cache(level, float(total), private)
    return tuple(by_level[level] for level in sorted(by_level))


def _size_bytes(text: str) -> int:
    scale = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:], 1)
    return int(text.rstrip("KMG")) * scale


def _count(cpus: str) -> int:
    total = 0
    for part in cpus.split(","):
        low, _, high = part.partition("-")
        total += int(high or low) - int(low) + 1
    return total


def _reached(cores: int) -> dict[str, float]:
    """What a float32 GEMM (all cores) and a copy (one core, times the cores) reach; cached on disk.

    A copy counts bytes read and written; each figure is the best of several runs, as for a peak.
    """
    path = user_cache_path("lydite") / f"peaks-{platform.node()}-{cores}.json"
    try:
        kept: Any = json.loads(path.read_text())
        return {name: float(kept[name]) for name in ("gemm_flop_per_s", "copy_byte_per_s")}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    source, side = np.ones(8 << 20), 1024
    target, matrix = np.empty_like(source), np.ones((side, side), np.float32)
    rates = {
        "gemm_flop_per_s": 2 * side**3 / _fastest(lambda: matrix @ matrix),
        "copy_byte_per_s": 2 * source.nbytes * cores / _fastest(lambda: np.copyto(target, source)),
    }
    write_atomic(path, json.dumps(rates))
    return rates


def _fastest(action: Callable[[], object], repeats: int = 6) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best
