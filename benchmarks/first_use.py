"""CPU time of each command's first use after an install, with no kernel compiled.

    python benchmarks/first_use.py

A copy of the package stands for the installed one; its compiled kernels are removed before each
command. CPU seconds are user and system time of the command and its children. Small inputs are
interpreted at first: then the kernels are compiled by one more run of the command, and later runs
load them.
"""

from __future__ import annotations

import compileall
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _figures import Figure, publish

import lydite

AGAIN = 5
COMMANDS: tuple[tuple[str, float, float | None], ...] = (
    ("--help", 1.0, 0.1),
    ("inspect resnet50", 1.0, 0.35),
    ("predict resnet50 --on h100", 1.0, 0.5),
    ("predict resnet50 --on systolic-128", 8.0, None),
    (
        "simulate llama2-70b --train --on 'dgx-h100 x 128' --tp 8 --pp 8 --batch 1024",
        3.0,
        0.8,
    ),
    ("simulate gpt2 --train --on dgx-a100 --devices 4 --pp 4 --batch 32", 3.0, None),
    ("collective allreduce --bytes 1GiB --on dgx-a100 --network links", 8.0, None),
    ("chip resnet50", 5.0, 0.6),
    ("chip resnet50 --chip systolic-128", 5.0, None),
    ("chip sweep lenet5 --chip smv --vary pes=8,16", 8.0, None),
    ("chip resnet18 --chip systolic-32 --dataflow ws --compat scalesim", 8.0, None),
    ("serve llama3-8b --on h100 --rate 2", 20.0, None),
    ("doctor", 3.0, 1.5),
)
"""Commands, with the most CPU seconds of their first use and of later ones."""


def cpu_seconds(command: str, environment: dict[str, str], folder: Path) -> float:
    """CPU seconds of one command, run in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "lydite", *shlex.split(command)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def runs_of(command: str, installed: Path) -> tuple[float, float, list[float]]:
    """CPU seconds of a command without kernels, while it compiles them, and after that."""
    for kept in (*installed.rglob("*.kernel"), *installed.rglob("*.calls")):
        kept.unlink()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(installed),
            "LYDITE_DB": str(Path(folder) / "lydite.db"),
            "XDG_CACHE_HOME": folder,
        }
        first = cpu_seconds(command, environment, Path(folder))
        for tally in installed.rglob("*.calls"):
            tally.write_text(str(10**9))  # interpreted for long enough
        compiling, *again = (
            cpu_seconds(command, environment, Path(folder)) for _ in range(1 + AGAIN)
        )
        return first, compiling, again


def figures() -> list[Figure]:
    """One figure a command."""
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder)
        shutil.copytree(
            Path(lydite.__file__).parent,
            installed / "lydite",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        compileall.compile_dir(installed, quiet=1)
        rows = []
        for command, most_first, most_again in COMMANDS:
            first, compiling, again = runs_of(command, installed)
            rows.append(Figure(f"lydite {command}", first, "s", most_first, "lower"))
            if compiling > 1.5 * statistics.median(again):
                rows.append(Figure(f"lydite {command}, compiling", compiling, "s", None, "lower"))
            what = f"lydite {command}, again"
            at = {"runs": len(again)}
            rows.append(Figure(what, statistics.median(again), "s", most_again, "lower", at))
        return rows


if __name__ == "__main__":
    publish("first_use", figures())
