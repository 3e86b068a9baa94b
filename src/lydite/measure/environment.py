"""State of the machine during a measurement: load, clocks, memory, versions."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import psutil

from lydite.errors import LyditeError


def machine_state() -> dict[str, Any]:
    """Load average, stolen and idle time since boot, clocks and memory, with units in the keys."""
    times = psutil.cpu_times()
    frequency = _frequency_mhz()
    state: dict[str, Any] = {
        "load_average_1min": round(os.getloadavg()[0], 2),
        "steal_s": round(getattr(times, "steal", 0.0), 2),
        "memory_available_bytes": psutil.virtual_memory().available,
    }
    if frequency is not None:
        state["clock_mhz"] = frequency
    return state


def _frequency_mhz() -> float | None:
    try:
        found = psutil.cpu_freq()
    except (OSError, RuntimeError, NotImplementedError):
        return None
    return round(found.current, 1) if found else None


def platform_versions() -> dict[str, str]:
    """Versions of everything besides the backend that affects speed."""
    return {"python": platform.python_version(), "kernel": platform.release()}


def utc_now() -> str:
    """The current time in UTC, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def check_memory(needed_bytes: int, where: str) -> None:
    """Raise if more memory is needed than is available.

    Raises:
        LyditeError: less memory is available than needed.
    """
    available = psutil.virtual_memory().available
    if needed_bytes > available:
        raise LyditeError(
            f"needs about {needed_bytes / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are free",
            where=where,
            hint="use a smaller batch or model",
        )
