"""A system on chip: processor, accelerators, their transfers and the memory that they share.

What each invocation takes alone comes from its dataflow; here invocations meet. The processor
prepares tiles on its threads, launches one invocation after the other and puts results together;
each accelerator moves data in and out and computes; transfers are flows over the bus and DRAM,
which share them fairly. All of it is tasks on the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.engine import NetworkBuilder, Servers, TaskBuilder, Timeline
from lydite.engine import simulate as play
from lydite.hardware.chip import Chip

CATEGORIES = ("prepare", "launch", "flush", "load", "compute", "store", "finish", "host")
"""What a task belongs to; the first two and the last two are the processor's."""

_PS = 1e12


@dataclass(frozen=True, eq=False)
class Jobs:
    """Invocations as columns, in the order in which they are issued.

    Attributes:
        layer: which layer each belongs to, ascending.
        accelerator: which runs it.
        group: rises where an accelerator must first be waited for.
        waits: whether the processor waits for it before it goes on.
        begin_s: before data move: head and flushes.
        load_bytes, store_bytes: moved.
        load_s, store_s: what moving them takes alone.
        compute_s: all else.
        ahead: whether its load may go on while the one before computes (double buffers).
    """

    layer: np.ndarray
    accelerator: np.ndarray
    group: np.ndarray
    waits: np.ndarray
    begin_s: np.ndarray
    load_bytes: np.ndarray
    load_s: np.ndarray
    compute_s: np.ndarray
    store_bytes: np.ndarray
    store_s: np.ndarray
    ahead: bool = False

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True)
class Layer:
    """A layer as the processor sees it.

    Attributes:
        name: of its operator.
        prepare_bytes: scattered into tiles before.
        finish_bytes: gathered from tiles behind.
        host_s: on the processor alone, where the accelerator cannot run it.
    """

    name: str
    prepare_bytes: float = 0.0
    finish_bytes: float = 0.0
    host_s: float = 0.0


@dataclass(frozen=True, eq=False)
class SocResult:
    """What a network takes.

    Attributes:
        timeline: of all tasks.
        layers: in order.
        layer_of_task, job_of_task: -1 where a task has none.
        seconds: of the whole.
    """

    timeline: Timeline
    layers: Sequence[Layer]
    layer_of_task: np.ndarray
    job_of_task: np.ndarray
    server_names: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Until the last task ends."""
        return self.timeline.makespan_ps * 1e-12

    def layer_spans_s(self) -> np.ndarray:
        """When each layer's first task starts and its last ends; float64[layers, 2]."""
        found = np.zeros((len(self.layers), 2))
        for number in range(len(self.layers)):
            mine = self.layer_of_task == number
            if mine.any():
                found[number] = (
                    self.timeline.start_ps[mine].min() * 1e-12,
                    self.timeline.end_ps[mine].max() * 1e-12,
                )
        return found

    def seconds_by_category(self) -> dict[str, float]:
        """How long at least one task of each kind went on."""
        return {
            name: self.timeline.covered_ps(number) * 1e-12 for number, name in enumerate(CATEGORIES)
        }


def play_soc(chip: Chip, jobs: Jobs, layers: Sequence[Layer], *, threads: int = 1) -> SocResult:
    """Play a network.

    Args:
        chip: its processor, accelerators, bus and DRAM.
        jobs: invocations, by layer.
        layers: in the order in which they run, one after the other.
        threads: of the processor that copy tiles, at most its cores.
    """
    return _Writer(chip, jobs, layers, min(threads, chip.cpu.cores)).play()


class _Writer:
    def __init__(self, chip: Chip, jobs: Jobs, layers: Sequence[Layer], threads: int) -> None:
        self.chip, self.jobs, self.layers, self.threads = chip, jobs, layers, threads
        self.tasks, self.network = TaskBuilder(), NetworkBuilder()
        rate = chip.dram.stream_bytes_per_s(chip.interface.line_bytes)
        self.links = [self.network.link(rate)]
        if np.isfinite(chip.bus_bytes_per_s):
            self.links.append(self.network.link(chip.bus_bytes_per_s))
        self.layer_of: list[int] = []
        self.job_of: list[int] = []
        self.last_cpu: int | None = None
        used = int(jobs.accelerator.max(initial=0)) + 1
        self.count = max(chip.accelerators, used)
        self.sent: list[int | None] = [None] * self.count
        self.computed: list[tuple[int | None, int | None]] = [(None, None)] * self.count

    def play(self) -> SocResult:
        bounds = np.searchsorted(self.jobs.layer, np.arange(len(self.layers) + 1))
        for number, layer in enumerate(self.layers):
            self._layer(number, layer, range(int(bounds[number]), int(bounds[number + 1])))
        slots = [1] * (self.threads + 2 * self.count)
        names = [f"cpu {i}" for i in range(self.threads)]
        names += [f"accelerator {i}" for i in range(self.count)]
        names += [f"dma {i}" for i in range(self.count)]
        servers = Servers.of(len(slots), slots=slots, names=names)
        timeline = play(self.tasks.build(), servers, self.network.build())
        return SocResult(
            timeline, self.layers, np.array(self.layer_of), np.array(self.job_of), tuple(names)
        )

    def _mark(self, task: int, layer: int, job: int = -1) -> int:
        self.layer_of += [layer] * (task + 1 - len(self.layer_of))
        self.job_of += [job] * (task + 1 - len(self.job_of))
        return task

    def _cpu(
        self, core: int, seconds: float, after: Sequence[int | None], kind: str, name: str,
        layer: int, job: int = -1,
    ) -> int:  # fmt: skip
        task = self.tasks.work(
            core, round(seconds * _PS), [a for a in after if a is not None],
            category=CATEGORIES.index(kind), name=name,
        )  # fmt: skip
        return self._mark(task, layer, job)

    def _copies(self, size: float, kind: str, name: str, layer: int) -> None:
        """Tiles copied on all threads, which then wait for each other."""
        cpu = self.chip.cpu
        rate = min(cpu.copy_bytes_per_cycle * cpu.clock_hz, cpu.memory_bytes_per_s / self.threads)
        share = size / self.threads / rate
        done = [
            self._cpu(core, share, [self.last_cpu], kind, name, layer)
            for core in range(self.threads)
        ]
        self.last_cpu = self._mark(self.tasks.join(done, name=name), layer)

    def _layer(self, number: int, layer: Layer, jobs: range) -> None:
        cpu = self.chip.cpu
        setup = cpu.operator_cycles / cpu.clock_hz
        self.last_cpu = self._cpu(0, setup, [self.last_cpu], "prepare", layer.name, number)
        if layer.host_s:
            self.last_cpu = self._cpu(0, layer.host_s, [self.last_cpu], "host", layer.name, number)
        if layer.prepare_bytes:
            self._copies(layer.prepare_bytes, "prepare", f"{layer.name} tiles", number)
        group = -1
        for job in jobs:
            self._job(number, layer, job, group != int(self.jobs.group[job]))
            group = int(self.jobs.group[job])
        ends = [task for task in self.sent if task is not None]
        if jobs and ends:
            self.last_cpu = self._mark(
                self.tasks.join([*ends, *_known(self.last_cpu)], name=layer.name), number
            )
        if layer.finish_bytes:
            self._copies(layer.finish_bytes, "finish", f"{layer.name} together", number)

    def _job(self, number: int, layer: Layer, job: int, switched: bool) -> None:
        jobs, cpu = self.jobs, self.chip.cpu
        unit = int(jobs.accelerator[job])
        waited = self.sent[unit] if switched else None
        launch = self._cpu(
            0, cpu.launch_cycles / cpu.clock_hz, [self.last_cpu, waited], "launch",
            f"{layer.name} launch {job}", number, job,
        )  # fmt: skip
        self.last_cpu = launch
        server = mover = self.threads + unit
        free, last = self.sent[unit], self.computed[unit][1]
        if jobs.ahead:  # two buffers: it loads while the one before computes
            mover, free = server + self.count, self.computed[unit][0]
        begin = self._on(mover, jobs.begin_s[job], [launch, free], "flush", number, job)
        load, store = (jobs.load_bytes, jobs.load_s), (jobs.store_bytes, jobs.store_s)
        moved = self._move(mover, load, begin, "load", number, job)
        done = self._on(server, jobs.compute_s[job], [moved, last], "compute", number, job)
        self.computed[unit] = (last, done)
        self.sent[unit] = self._move(mover, store, done, "store", number, job)
        if jobs.waits[job]:
            self.last_cpu = self.sent[unit]

    def _on(
        self, server: int, seconds: float, after: Sequence[int | None], kind: str, layer: int,
        job: int,
    ) -> int:  # fmt: skip
        task = self.tasks.work(
            server, round(float(seconds) * _PS), [a for a in after if a is not None],
            category=CATEGORIES.index(kind), name=f"{self.layers[layer].name} {kind} {job}",
        )  # fmt: skip
        return self._mark(task, layer, job)

    def _move(
        self, server: int, what: tuple[np.ndarray, np.ndarray], after: int, kind: str, layer: int,
        job: int,
    ) -> int:  # fmt: skip
        """A transfer: alone as long as said, longer where others use the bus or DRAM."""
        size, alone_s = float(what[0][job]), float(what[1][job])
        if not size:
            return self._on(server, alone_s, [after], kind, layer, job)
        task = self.tasks.flow(
            self.network.path(self.links, cap=size / alone_s if alone_s else float("inf")), size,
            [after], resource=server, category=CATEGORIES.index(kind),
            name=f"{self.layers[layer].name} {kind} {job}",
        )  # fmt: skip
        return self._mark(task, layer, job)


def _known(task: int | None) -> list[int]:
    return [] if task is None else [task]
