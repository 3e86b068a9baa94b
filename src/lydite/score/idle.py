"""Who else uses the machine while a scorecard is to be measured."""

from __future__ import annotations

import contextlib
import time

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


def check_idle(policy: str, wait_s: float = 60.0) -> list[str]:
    """See that nobody else uses the machine.

    Args:
        policy: "wait" until it is idle, at most `wait_s`, then refuse; "refuse" at once; or "warn".
        wait_s: Longest wait in seconds.

    Returns:
        Who is at work, under the policy "warn".

    Raises:
        InputError: somebody is; says who.
    """
    deadline = time.monotonic() + wait_s
    while busy := others_at_work():
        if policy == "warn":
            return busy
        if policy == "refuse" or time.monotonic() > deadline:
            raise InputError(
                f"the device is busy: {'; '.join(busy[:3])}",
                hint="wait until it is idle, or measure anyway with --if-busy warn",
            )
    return []
