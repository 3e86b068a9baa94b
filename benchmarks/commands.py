"""CPU time of commands: the help, a prediction from a filled database, profiling ResNet-50.

    python benchmarks/commands.py

Each command runs as a process of its own; CPU seconds are user and system time of it and its
children, the median of several runs. Profiling is wall time, since that is what a user waits for.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _figures import Figure, publish


def cpu_seconds(*arguments: str, environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "lydite", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "LYDITE_DB": str(Path(folder) / "lydite.db"),
            "XDG_CACHE_HOME": folder,
        }
        start = time.perf_counter()
        cpu_seconds("profile", "resnet50", environment=environment)
        profiling = time.perf_counter() - start
        cpu_seconds("--help", environment=environment)
        cpu_seconds("predict", "resnet50", environment=environment)
        helps = [cpu_seconds("--help", environment=environment) for _ in range(9)]
        predictions = [
            cpu_seconds("predict", "resnet50", "--on", "cpu", environment=environment)
            for _ in range(5)
        ]
    publish(
        "commands",
        [
            Figure("lydite --help, CPU", statistics.median(helps), "s", 0.3, "lower"),
            Figure(
                "lydite predict resnet50, filled database, CPU",
                statistics.median(predictions),
                "s",
                2.0,
                "lower",
            ),
            Figure(
                "lydite profile resnet50, all distinct operators, wall",
                profiling,
                "s",
                60.0,
                "lower",
            ),
        ],
    )


if __name__ == "__main__":
    main()
