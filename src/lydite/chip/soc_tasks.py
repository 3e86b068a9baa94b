"""Tasks of a network on a system: those of layers one by one, then those of jobs as columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lydite.chip.memory import in_flight_bytes, request_bytes, round_trip_s
from lydite.chip.noc import NocLinks, way
from lydite.chip.soc_jobs import CATEGORIES, Jobs, Layer, SocResult
from lydite.engine import NOWHERE, LinkNetwork, Servers, Tasks, distinct
from lydite.engine import simulate as play
from lydite.hardware.chip import Chip
from lydite.records import dataclass

PS = 1e12
"""Picoseconds in a second."""


@dataclass(frozen=True)
class _Names(Sequence[str]):
    """Names of all tasks: `own` of the processor's; those of jobs are made of their layers'."""

    own: Sequence[str]
    layers: Sequence[str]
    jobs: np.ndarray

    def __len__(self) -> int:
        return len(self.own) + len(_STEPS) * len(self.jobs)

    def __getitem__(self, task: int) -> str:  # type: ignore[override]
        if task < len(self.own):
            return self.own[task]
        job, step = divmod(task - len(self.own), len(_STEPS))
        return f"{self.layers[self.jobs[job]]} {_STEPS[step]} {job}"


_STEPS = ("launch", "flush", "load", "compute", "store")
"""Tasks of a job, in this order."""


@dataclass
class _Task:
    """A task of the processor for a whole layer."""

    server: int
    seconds: float
    after: list[int]
    kind: str
    name: str
    layer: int


class SocTasks:
    """Writes the tasks of layers one by one, then those of jobs as columns."""

    def __init__(self, chip: Chip, jobs: Jobs, layers: Sequence[Layer], threads: int) -> None:
        self.chip, self.jobs, self.layers, self.threads = chip, jobs, layers, threads
        bounds = np.searchsorted(jobs.layer, np.arange(len(layers) + 1))
        self.bounds = list(pairwise(bounds.tolist()))
        self.count = max(chip.accelerators, int(jobs.accelerator.max(initial=0)) + 1)
        self.last_jobs = _last_jobs(jobs, len(layers), self.count)
        self.tasks: list[_Task] = []
        self.ends = bool(layers and chip.cpu.end_cycles)
        self.first_job = self.ends + sum(
            self._tasks_of(layer, b > a) for layer, (a, b) in zip(layers, self.bounds, strict=True)
        )
        self.last: list[int] = []
        self.ready = np.full(len(jobs), -1, np.int64)

    def _tasks_of(self, layer: Layer, works: bool) -> int:
        copies = sum(self.threads + 1 for size in (layer.prepare_bytes, layer.finish_bytes) if size)
        return 1 + bool(layer.host_s) + works + copies

    def play(self) -> SocResult:
        """Write all tasks, and simulate them."""
        for number, (layer, bounds) in enumerate(zip(self.layers, self.bounds, strict=True)):
            self._layer(number, layer, *bounds)
        if self.ends:
            seconds = self.chip.cpu.end_cycles / self.chip.cpu.clock_hz
            self._cpu(seconds, "finish", "end of the network", len(self.layers) - 1)
        assert len(self.tasks) == self.first_job
        tasks, network = self._columns()
        names = [f"cpu {i}" for i in range(self.threads)]
        names += [f"accelerator {i}" for i in range(self.count)]
        names += [f"dma {i}" for i in range(self.count)]
        names += [f"dma {i} out" for i in range(self.count)]
        timeline = play(tasks, Servers.of(len(names), names=names), network)
        own = np.repeat(np.arange(len(self.jobs)), len(_STEPS))
        nobody = np.full(self.first_job, -1)
        layer_of = np.concatenate([[task.layer for task in self.tasks], self.jobs.layer[own]])
        return SocResult(
            timeline,
            self.layers,
            layer_of.astype(np.int64),
            np.concatenate([nobody, own]),
            tuple(names),
        )

    def _layer(self, number: int, layer: Layer, first: int, end: int) -> None:
        cpu = self.chip.cpu
        setup = cpu.operator_cycles + (cpu.begin_cycles if number == 0 else 0)
        self._cpu(setup / cpu.clock_hz, "prepare", layer.name, number)
        if layer.host_s:
            self._cpu(layer.host_s, "host", layer.name, number)
        if layer.prepare_bytes:
            copied = layer.prepare_bytes, layer.prepare_runs
            self._copies(*copied, "prepare", f"{layer.name} tiles", number)
        if end > first:
            self.ready[first] = self.last[0]
            ends = [self._job(job, "store") for job in self.last_jobs[number] if job >= 0]
            ends.append(self._job(end - 1, "launch"))
            self._add(NOWHERE, 0.0, ends, "prepare", layer.name, number)
        if layer.finish_bytes:
            copied = layer.finish_bytes, layer.finish_runs
            self._copies(*copied, "finish", f"{layer.name} together", number)

    def _job(self, job: int, step: str) -> int:
        return self.first_job + len(_STEPS) * job + _STEPS.index(step)

    def _cpu(self, seconds: float, kind: str, name: str, layer: int) -> None:
        self._add(0, seconds, self.last, kind, name, layer)

    def _add(
        self, server: int, seconds: float, after: list[int], kind: str, name: str, layer: int
    ) -> None:
        self.tasks.append(_Task(server, seconds, after, kind, name, layer))
        self.last = [len(self.tasks) - 1]

    def _copies(self, size: float, runs: float, category: str, name: str, layer: int) -> None:
        """Copy tiles on all threads, which then synchronise.

        Memory reads what is copied, reads the lines that are written, and takes them back.
        """
        cpu, threads = self.chip.cpu, self.threads
        rate = min(cpu.copy_bytes_per_cycle * cpu.clock_hz, cpu.memory_bytes_per_s / 3 / threads)
        seconds = size / rate + runs * cpu.copy_run_cycles / cpu.clock_hz
        before, place = self.last, len(self.tasks)
        for core in range(threads):
            self._add(core, seconds / threads, before, category, name, layer)
        self._add(NOWHERE, 0.0, list(range(place, place + self.threads)), category, name, layer)

    def _columns(self) -> tuple[Tasks, LinkNetwork]:
        own, jobs = self.tasks, self.jobs
        n, width = len(jobs), len(_STEPS)
        launch = np.full(n, self.chip.cpu.launch_cycles / self.chip.cpu.clock_hz)
        alone = [jobs.load_s, jobs.store_s]
        sizes = [jobs.load_bytes, jobs.store_bytes]
        network, paths = self._network(sizes, alone)
        still = [
            np.where(path < 0, seconds, 0.0) for path, seconds in zip(paths, alone, strict=True)
        ]
        seconds = np.stack([launch, jobs.begin_s, still[0], jobs.compute_s, still[1]], axis=1)
        unit = self.threads + jobs.accelerator
        mover = unit + (self.count if jobs.ahead else 0)
        out = mover + (self.count if jobs.ahead and self.chip.dma.channels > 1 else 0)
        server = np.stack([np.zeros(n, np.int64), mover, mover, unit, out], axis=1)
        path, size = np.full((n, width), NOWHERE), np.zeros((n, width))
        for step, which in ((2, 0), (4, 1)):
            path[:, step] = paths[which]
            size[:, step] = np.where(paths[which] >= 0, sizes[which], 0.0)
        needs = self._needs()
        known = needs >= 0
        kinds = np.array([CATEGORIES.index(step) for step in _STEPS])
        counts = np.concatenate([[len(t.after) for t in own], known.sum(axis=1)]).astype(np.int64)
        tasks = Tasks.of(
            np.concatenate(
                [[round(t.seconds * PS) for t in own], np.rint(seconds.ravel() * PS)]
            ).astype(np.int64),
            np.concatenate([[t.server for t in own], server.ravel()]).astype(np.int32),
            dep_start=np.concatenate(([0], np.cumsum(counts))),
            deps=np.concatenate([[d for t in own for d in t.after], needs[known]]).astype(np.int32),
            category=np.concatenate(
                [[CATEGORIES.index(t.kind) for t in own], np.tile(kinds, n)]
            ).astype(np.int16),
            path=np.concatenate([np.full(len(own), NOWHERE), path.ravel()]).astype(np.int32),
            bytes=np.concatenate([np.zeros(len(own)), size.ravel()]),
            names=_Names([t.name for t in own], [one.name for one in self.layers], jobs.layer),
        )
        return tasks, network

    def _network(
        self, sizes: Sequence[np.ndarray], alone: Sequence[np.ndarray]
    ) -> tuple[LinkNetwork, list[np.ndarray]]:
        """DRAM, bus and network on chip, and the path of each transfer.

        There is one path for every rate that a transfer has alone, way and direction. DRAM is one
        link for every number of accelerators that a layer uses: layers run one after the other, and
        what others leave idle opens no rows.
        """
        chip, noc, jobs = self.chip, self.chip.noc, self.jobs
        used, of_layer = _used_by_layer(jobs)
        streams = used * (2 if jobs.ahead else 1)
        rates = [chip.dram.stream_bytes_per_s(request_bytes(chip), int(each)) for each in streams]
        bus = [len(rates)] if np.isfinite(chip.bus_bytes_per_s) else []
        rates += [chip.bus_bytes_per_s] * len(bus)
        with np.errstate(divide="ignore", invalid="ignore"):
            caps = [np.where(s > 0, s / t, 0.0) for s, t in zip(sizes, alone, strict=True)]
        ways: list[list[int]] = [[]]
        place = [np.zeros(len(jobs), np.int64)] * 2
        if noc is not None:
            links, ends = NocLinks(len(rates)), [way(noc, a, self.count) for a in range(self.count)]
            ways = [links.along(nodes) for nodes in ends]
            ways += [links.along(nodes[::-1]) for nodes in ends]
            rates += [noc.link_bytes_per_s] * len(links.by_ends)
            hops = 2 * noc.hop_cycles / chip.clock_hz * np.array([len(n) - 1 for n in ends])
            most = in_flight_bytes(chip) / (round_trip_s(chip) + hops)
            caps = [np.minimum(cap, most[jobs.accelerator]) for cap in caps]
            place = [jobs.accelerator, self.count + jobs.accelerator]
        place = [at * len(used) + of_layer for at in place]
        keys = [np.where(cap > 0, cap, 0.0) + 1j * at for cap, at in zip(caps, place, strict=True)]
        known = distinct(np.concatenate(keys))
        known = known[known.real > 0]
        paths = [np.where(k.real > 0, np.searchsorted(known, k), NOWHERE) for k in keys]
        places = [divmod(int(at), max(1, len(used))) for at in known.imag]
        routes = [[dram, *bus, *ways[at]] for at, dram in places]
        starts = np.concatenate(([0], np.cumsum([len(route) for route in routes], dtype=np.int64)))
        hop = np.array([link for route in routes for link in route], np.int64)
        return LinkNetwork.of(rates or [1.0], starts, hop, path_cap=known.real), paths

    def _needs(self) -> np.ndarray:
        """Predecessors of each task of each job, at most three each, -1 for none; [tasks, 3]."""
        jobs, n, width = self.jobs, len(self.jobs), len(_STEPS)
        base = self.first_job + width * np.arange(n)
        launch, flush, load, compute, store = (base + i for i in range(width))
        before, earlier = _before(jobs.accelerator), np.full(n, -1)
        known = before >= 0
        earlier[known] = before[before[known]]
        needs = np.full((n, width, 3), -1, np.int64)
        follows = np.arange(n) - 1
        same = (follows >= 0) & (self.ready < 0)
        waited = same & np.concatenate([[False], jobs.waits[:-1]])
        needs[:, 0, 0] = np.where(same, launch[follows], self.ready)
        needs[:, 0, 1] = np.where(waited, store[follows], -1)
        switched = np.concatenate([[True], np.diff(jobs.group) != 0]) | ~same
        needs[:, 0, 2] = np.where(switched & known, store[before], -1)
        free = (
            np.where(earlier >= 0, compute[earlier], -1)
            if jobs.ahead
            else np.where(known, store[before], -1)
        )
        needs[:, 1, 0], needs[:, 1, 1] = launch, free
        needs[:, 2, 0], needs[:, 4, 0] = flush, compute
        needs[:, 3, 0] = load
        needs[:, 3, 1] = np.where(known, compute[before], -1)
        return needs.reshape(n * width, 3)


def _last_jobs(jobs: Jobs, layers: int, accelerators: int) -> list[list[int]]:
    """The last job of each layer on each accelerator, -1 where there is none."""
    last = np.full((layers, accelerators), -1)
    last[jobs.layer, jobs.accelerator] = np.arange(len(jobs))  # of several, the last one stays
    return last.tolist()


def _used_by_layer(jobs: Jobs) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of accelerators that layers use, and which of these the layer of each job has."""
    width = int(jobs.accelerator.max(initial=0)) + 1
    pairs = np.flatnonzero(np.bincount(jobs.layer * width + jobs.accelerator))
    each = np.bincount(pairs // width, minlength=int(jobs.layer.max(initial=0)) + 1)
    each = np.maximum(each, 1)
    is_used = np.bincount(each) > 0
    return np.flatnonzero(is_used), (np.cumsum(is_used) - 1)[each[jobs.layer]]


def _before(accelerator: np.ndarray) -> np.ndarray:
    """The previous job on the same accelerator for each job; -1 for the first."""
    before = np.full(len(accelerator), -1)
    for unit in np.flatnonzero(np.bincount(accelerator)):
        mine = np.flatnonzero(accelerator == unit)
        before[mine[1:]] = mine[:-1]
    return before
