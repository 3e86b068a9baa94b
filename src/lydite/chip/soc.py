"""A system on chip: processor, accelerators, their transfers and the memory that they share.

The dataflow gives the cost of each invocation alone; here invocations interact. The processor
prepares tiles on its threads, launches the invocations in order and gathers the results; each
accelerator moves data in and out and computes; transfers are flows over the bus and DRAM, which
they share fairly. All of these are tasks of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from lydite.chip.soc_jobs import Jobs, Layer, SocResult
from lydite.chip.soc_tasks import PS, SocTasks
from lydite.hardware.chip import Chip


def play_soc(chip: Chip, jobs: Jobs, layers: Sequence[Layer], *, threads: int = 1) -> SocResult:
    """Simulate a network on the system.

    Args:
        chip: Chip whose processor, accelerators, bus and DRAM are simulated.
        jobs: Invocations, by layer.
        layers: Layers in the order in which they run.
        threads: Number of processor threads that copy tiles, at most the number of cores.
    """
    return SocTasks(chip, jobs, layers, min(threads, chip.cpu.cores)).play()


AT_ONCE = 4096
"""Invocations that `seconds_apart` plays at a time, about."""


def seconds_apart(chip: Chip, jobs: Jobs, layers: int) -> list[float]:
    """What `play_soc` takes for each of some layers alone, as the only one of its network.

    Layers wait for the one before, and what was before does not change how long they take: they are
    played one behind the other, in one simulation.

    Args:
        chip: Chip whose system is simulated.
        jobs: Invocations, by layer.
        layers: Number of layers.
    """
    bounds = np.searchsorted(jobs.layer, np.arange(layers + 1)).tolist()
    found: list[float] = []
    while len(found) < layers:
        first = last = len(found)
        while last < layers and bounds[last + 1] - bounds[first] <= AT_ONCE:
            last += 1
        last = max(last, first + 1)
        some = slice(bounds[first], bounds[last])
        found += _apart(chip, _only(jobs, some, first), last - first)
    return found


def _only(jobs: Jobs, some: slice, first: int) -> Jobs:
    """Some of the invocations, with layers numbered from the first."""
    names = (each.name for each in fields(Jobs) if each.name not in ("layer", "ahead"))
    columns = {name: getattr(jobs, name)[some] for name in names}
    return Jobs(jobs.layer[some] - first, **columns, ahead=jobs.ahead)


def _apart(chip: Chip, jobs: Jobs, layers: int) -> list[float]:
    played = SocTasks(chip, jobs, [Layer("")] * layers, 1).play()
    # Each layer has its setup, its invocations, and the join behind them; the network has an end.
    own = np.flatnonzero(played.job_of_task < 0)
    of_layer, ends = played.layer_of_task[own], played.timeline.end_ps[own]
    begun = np.searchsorted(of_layer, np.arange(layers))
    joins = begun + (np.bincount(jobs.layer, minlength=layers) > 0)
    cpu = chip.cpu
    alone = _ps((cpu.operator_cycles + cpu.begin_cycles) / cpu.clock_hz)
    alone += _ps(cpu.end_cycles / cpu.clock_hz)
    return ((ends[joins] - ends[begun] + alone) * 1e-12).tolist()


def _ps(seconds: float) -> int:
    return round(seconds * PS)
