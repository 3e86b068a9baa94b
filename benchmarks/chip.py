"""Networks on chips: how long it takes to simulate them, and a sweep of a thousand designs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

from _figures import Figure, publish

from lydite.chip import run_chip
from lydite.chip.sweep import parse_vary, sweep
from lydite.hardware.chip import read_chip
from lydite.models import build_model

ONNXIM_RESNET18_S = 5.50
"""CPU seconds of ONNXim's ResNet-18 on one core with its simple DRAM (reference runs)."""

SMV_DESIGNS = [
    "pes=8,16,24,32,40",
    "spad=64KiB,96KiB,128KiB,192KiB,256KiB",
    "accelerators=1,2,4,8",
    "dram-bandwidth=12.8GB/s,25.6GB/s",
    "interface=dma,acp",
    "ports=1,2",
]
SYSTOLIC_DESIGNS = [
    "rows=32,64,96,128,160,192,224,256,288,320",
    "columns=32,64,96,128,160,192,224,256,288,320",
    "spad=512KiB,1MiB,2MiB,4MiB,8MiB",
    "dram-bandwidth=256GB/s,512GB/s",
]


def cpu_s(run: Callable[[], object], times: int = 5) -> float:
    """CPU seconds of a run; the least of some, after one that compiles the engine."""
    run()
    found: list[float] = []
    for _ in range(times):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def networks() -> list[Figure]:
    figures: list[Figure] = []
    rows = (
        ("cifar10-vgg", "smv", True, 1.0),
        ("resnet50", "systolic-128", False, 0.05),
        ("resnet50", "systolic-128", True, 1.0),
        ("resnet18", "systolic-128", True, None),
        ("resnet50", "smv", True, None),
    )
    for model, name, soc, goal in rows:
        graph, chip = build_model(model), read_chip(name)
        took = cpu_s(lambda g=graph, c=chip, s=soc: run_chip(g, c, soc=s))
        result = run_chip(graph, chip, soc=soc)
        at = {"cycles": result.cycles, "invocations": len(result.plan.jobs)}
        what = f"{model} on {name}, {'with system' if soc else 'array only'}, CPU"
        figures.append(Figure(what, took, "s", goal, "lower", at))
        if model == "resnet18":
            at = {"onnxim_cpu_s": ONNXIM_RESNET18_S}
            what = "ResNet-18 with DRAM contention, times faster than ONNXim"
            figures.append(Figure(what, ONNXIM_RESNET18_S / took, "times", 20.0, "higher", at))
    return figures


def sweeps() -> list[Figure]:
    figures: list[Figure] = []
    for name, texts, goal in (
        ("systolic-128", SYSTOLIC_DESIGNS, 8.0),
        ("smv", SMV_DESIGNS, 15.0),
    ):
        vary = parse_vary(texts)
        start, before = time.monotonic(), used_s()
        rows = sweep(build_model("resnet50"), read_chip(name), vary)
        took, cpu = time.monotonic() - start, used_s() - before
        failed = sum("error" in row for row in rows)
        at: dict[str, object] = {"designs": len(rows), "that_do_not_run": failed, "clock": "wall"}
        at["cpu_s_a_1000"] = round(cpu * 1000 / len(rows), 2)
        what = f"sweep of {len(rows)} designs of {name} over ResNet-50"
        figures.append(Figure(what, took * 1000 / len(rows), "s a 1,000", goal, "lower", at))
    return figures


def used_s() -> float:
    """CPU seconds of this process, and of those that it started and that have ended."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in times)


if __name__ == "__main__":
    publish("chip", [*networks(), *sweeps()])
