"""Where the CPU time of each command goes: start, imports, model, kernels, printing, the rest.

    python benchmarks/phases.py

Each command runs in a process of its own in which the functions that begin a phase are wrapped. A
phase is charged its own time: imports within it count as imports, wherever they happen.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

PHASES = ("start", "imports", "model", "kernels", "printing", "work")
COMMANDS = (
    "--help",
    "models",
    "inspect resnet50",
    "predict resnet50 --on h100",
    "simulate llama2-70b --train --on 'dgx-h100 x 128' --tp 8 --pp 8 --batch 1024",
    "collective allreduce --bytes 1GiB --on dgx-a100",
    "chip resnet50",
    "chip resnet50 --chip systolic-128",
    "serve llama3-8b --on h100 --rate 2",
    "mlperf explain",
    "runs",
    "doctor",
)
REPEATS = 5
_WRAPPED = {
    "lydite.api.load": {"resolve": "model"},
    "lydite.engine.machine_code": {"_loaded": "kernels"},
    "lydite.engine.kernels.jit": {"read": "kernels", "caller": "kernels"},
    "lydite.cli.show": {"deliver": "printing"},
}


class Clock:
    """CPU seconds by phase; only the innermost of the phases that are open is charged."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.seconds["start"] = self._since = time.process_time()
        self._open = ["work"]

    def within(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is charged to a phase."""

        def charged(*arguments: Any, **named: Any) -> Any:
            self._turn(lambda: self._open.append(phase))
            try:
                return function(*arguments, **named)
            finally:
                self._turn(self._open.pop)

        return charged

    def close(self) -> None:
        """Charge what is still open."""
        self._turn(lambda: None)

    def _turn(self, change: Callable[[], object]) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now
        change()


def run(clock: Clock, command: list[str], out: Path) -> None:
    """Run a command in this process, and write the seconds of its phases to a file."""
    plain = builtins.__import__
    timed = clock.within("imports", plain)
    wrapped: set[str] = set()

    def imported(name: str, *rest: Any, **named: Any) -> Any:
        module = timed(name, *rest, **named)
        for known, functions in _WRAPPED.items():
            if known in sys.modules and known not in wrapped:
                target = sys.modules[known]
                if all(hasattr(target, function) for function in functions):
                    wrapped.add(known)
                    for function, phase in functions.items():
                        setattr(target, function, clock.within(phase, getattr(target, function)))
        return module

    builtins.__import__ = imported
    importlib.import_module = clock.within("imports", importlib.import_module)
    sys.argv = ["lydite", *command]
    try:
        from lydite.cli import main

        main()
    except SystemExit:
        pass
    finally:
        clock.close()
        out.write_text(json.dumps(clock.seconds))


def phases_of(command: str) -> dict[str, float]:
    """Median CPU seconds of a command's phases."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LYDITE_DB": str(Path(folder) / "lydite.db")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        out = Path(folder) / "phases.json"
        for _ in range(1 + REPEATS):
            subprocess.run(
                [sys.executable, __file__, str(out), *shlex.split(command)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                check=True,
            )
            found.append(json.loads(out.read_text()))
    return {
        phase: statistics.median(each.get(phase, 0.0) for each in found[1:]) for phase in PHASES
    }


def main() -> None:
    from _figures import Figure, publish

    figures: list[Figure] = []
    for command in COMMANDS:
        phases = phases_of(command)
        figures.append(Figure(f"{command}: whole", sum(phases.values()), "s", None, "lower"))
        figures += [
            Figure(f"{command}: {phase}", seconds, "s", None, "lower")
            for phase, seconds in phases.items()
        ]
    publish("phases", figures)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Clock(), sys.argv[2:], Path(sys.argv[1]))
    else:
        main()
