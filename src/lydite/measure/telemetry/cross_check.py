"""Energy of one window by our counters and by Zeus, where that is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

AGREES_WITHIN = 0.01
_TIMEOUT_S = 120.0
_LENGTH_S = 3.0


def zeus_check() -> dict[str, Any]:
    """Whether both agree within 1 % on each device that both read; "status" says how it went.

    Zeus takes seconds to import and brings much along, so it runs in a process of its own.
    """
    if find_spec("zeus") is None:
        return {"status": "not installed", "agrees": None, "devices": [], "reason": ""}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        rows = json.loads(done.stdout.strip().rpartition("\n")[2])
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return {"status": "failed", "agrees": None, "devices": [], "reason": str(error)[:300]}
    agrees = all(row["difference"] <= AGREES_WITHIN for row in rows) if rows else None
    status = "compared" if rows else "no device that both read"
    return {"status": status, "agrees": agrees, "devices": rows, "reason": ""}


def compared(zeus: dict[str, float], ours: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each device that both read, with the relative difference."""
    return [
        {
            "device": name,
            "zeus_j": zeus[name],
            "lydite_j": ours[name],
            "difference": abs(zeus[name] - ours[name]) / zeus[name],
        }
        for name in sorted(zeus.keys() & ours.keys())
        if zeus[name] > 0
    ]


def _measured() -> list[dict[str, Any]]:
    """Both over one window of a few seconds."""
    import tempfile
    import time
    from importlib import import_module
    from pathlib import Path

    from lydite.errors import InputError
    from lydite.measure.telemetry import recording, window_energy

    watched = import_module("zeus.monitor").ZeusMonitor(approx_instant_energy=False)
    with tempfile.TemporaryDirectory() as folder:
        with recording(Path(folder) / "trace.jsonl", 0.02) as record:
            watched.begin_window("lydite", sync_execution=False)
            start_ns = time.monotonic_ns()
            time.sleep(_LENGTH_S)
            end_ns = time.monotonic_ns()
            found = watched.end_window("lydite", sync_execution=False)
        trace = record.trace()
    zeus = {f"nvidia:{index}": joules for index, joules in found.gpu_energy.items()}
    zeus |= {f"powercap:{index}": joules for index, joules in (found.cpu_energy or {}).items()}
    ours: dict[str, float] = {}
    for name in zeus:
        try:
            joules = window_energy(trace, name, start_ns, end_ns).joules
        except InputError:
            continue
        if joules is not None:
            ours[name] = joules
    return compared(zeus, ours)


if __name__ == "__main__":
    print(json.dumps(_measured()))
