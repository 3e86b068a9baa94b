"""Who else uses the machine while a scorecard is to be measured."""

from __future__ import annotations

import contextlib
import os
import time
from importlib import import_module
from typing import Any

import psutil

from lydite.errors import InputError


def others_at_work(seconds: float = 1.0, share: float = 0.25) -> list[str]:
    """Processes that take more than a share of a core, but this one and its children.

    Args:
        seconds: How long to look.
        share: Share of a core from which a process counts.

    Returns:
        Name, number and share of each, the busiest first.
    """
    me = psutil.Process()
    own = {me.pid, *(parent.pid for parent in me.parents())}
    own |= {child.pid for child in me.children(recursive=True)}
    before: dict[int, tuple[psutil.Process, float]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own:
                times = process.cpu_times()
                before[process.pid] = process, times.user + times.system
    start = time.perf_counter()
    time.sleep(seconds)
    spent = time.perf_counter() - start
    busy: list[tuple[float, str]] = []
    for process, earlier in before.values():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            taken = (times.user + times.system - earlier) / spent
            if taken > share:
                name = process.name()[:40]
                busy.append((taken, f"{name} (process {process.pid}, {taken:.0%} of a core)"))
    return [text for _, text in sorted(busy, reverse=True)]


class Contention:
    """How many of a process's cores others took since this was made.

    Args:
        threads: Threads of this process; cores beyond them are others' to use.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._start = self._seconds()

    def cores(self) -> float:
        """Mean number of cores that others took from this process's threads."""
        busy, own, wall = (
            now - then for now, then in zip(self._seconds(), self._start, strict=True)
        )
        others = max(0.0, busy - own) / max(wall, 1e-9)
        return max(0.0, others - max(0, (os.cpu_count() or 1) - self._threads))

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        """Seconds that all cores worked (for other virtual machines too), own ones, wall clock."""
        every, own = psutil.cpu_times(), psutil.Process().cpu_times()
        fields = ("user", "nice", "system", "irq", "softirq", "steal")
        busy = sum(float(getattr(every, name, 0.0)) for name in fields)
        return busy, own.user + own.system, time.perf_counter()


def others_on_accelerator() -> list[str]:
    """Processes that compute on the first NVIDIA GPU, by its driver, but this one's.

    Returns:
        Name, number and memory of each; nothing where the driver or its library is not there.
    """
    try:
        pynvml: Any = import_module("pynvml")
    except ImportError:
        return []
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    try:
        pynvml.nvmlInit()
        try:
            card = pynvml.nvmlDeviceGetHandleByIndex(0)
            running = pynvml.nvmlDeviceGetComputeRunningProcesses(card)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []
    found: list[str] = []
    for each in running:
        if each.pid not in own:
            name = "a process"
            with contextlib.suppress(psutil.Error):
                name = psutil.Process(each.pid).name()[:40]
            used = f"{each.usedGpuMemory / 2**20:.0f} MiB" if each.usedGpuMemory else "some memory"
            found.append(f"{name} (process {each.pid}, {used} of the GPU)")
    return found


def check_idle(policy: str, wait_s: float = 60.0, *, device: str = "cpu") -> list[str]:
    """See that nobody else uses the machine, nor its accelerator if that is to be measured.

    Args:
        policy: "wait" until it is idle, at most `wait_s`, then refuse; "refuse" at once; or "warn".
        wait_s: Longest wait in seconds.
        device: Device of the backend.

    Returns:
        Who is at work, under the policy "warn".

    Raises:
        InputError: somebody is; says who.
    """
    deadline = time.monotonic() + wait_s
    while busy := [
        *others_at_work(),
        *(others_on_accelerator() if device.startswith("cuda") else ()),
    ]:
        if policy == "warn":
            return busy
        if policy == "refuse" or time.monotonic() > deadline:
            raise InputError(
                f"the device is busy: {'; '.join(busy[:3])}",
                hint="wait until it is idle, or measure anyway with --if-busy warn",
            )
    return []
