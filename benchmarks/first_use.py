"""CPU time of each command's first use after an install, with no kernel compiled.

    python benchmarks/first_use.py

A copy of the package stands for the installed one; its compiled kernels are removed before each
command. CPU seconds are user and system time of the command and its children, and those of the
same command again show what compiling costs.
"""

from __future__ import annotations

import compileall
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _figures import Figure, publish

import lydite

SECONDS = 8.0
COMMANDS = (
    "inspect resnet50",
    "predict resnet50 --on h100",
    "predict resnet50 --on systolic-128",
    "simulate resnet50 --train --batch 512 --on dgx-a100",
    "simulate llama3-8b --on dgx-h100 --tp 8 --phase decode --context 4096 --batch 8",
    "simulate gpt2 --train --on dgx-a100 --devices 4 --pp 4 --batch 32",
    "collective allreduce --bytes 1GiB --on dgx-a100",
    "collective allreduce --bytes 1GiB --on dgx-a100 --network links",
    "chip resnet50 --chip systolic-128",
    "chip minerva --chip smv",
    "chip sweep lenet5 --chip smv --vary pes=8,16",
    "chip resnet18 --chip systolic-32 --dataflow ws --compat scalesim",
)


def cpu_seconds(command: str, environment: dict[str, str], folder: Path) -> float:
    """CPU seconds of one command, run in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "lydite", *command.split()],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_and_again(command: str, installed: Path) -> tuple[float, float]:
    """CPU seconds of a command without compiled kernels, and of the same command after it."""
    for compiled in installed.rglob("*.kernel"):
        compiled.unlink()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(installed),
            "LYDITE_DB": str(Path(folder) / "lydite.db"),
            "XDG_CACHE_HOME": folder,
        }
        first = cpu_seconds(command, environment, Path(folder))
        return first, cpu_seconds(command, environment, Path(folder))


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
        for command in COMMANDS:
            first, again = first_and_again(command, installed)
            conditions = {"again_s": round(again, 2)}
            rows.append(Figure(f"lydite {command}", first, "s", SECONDS, "lower", conditions))
        return rows


if __name__ == "__main__":
    publish("first_use", figures())
