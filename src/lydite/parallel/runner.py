"""Stages executed for real: one session per segment, shared buffers, pinned threads.

The first worker is the calling thread. A session gives up the interpreter's lock while it runs, so
that Python threads run side by side. Locks serve as binary semaphores: a stage that runs side by
side releases the start of each other worker, runs its own segment, then waits for their ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lydite.backends import Prepared, Settings
from lydite.backends.onnxruntime import OnnxRuntimeBackend
from lydite.errors import InputError
from lydite.graph import Graph
from lydite.graph.dtypes import numpy_dtype
from lydite.parallel.stages import Stage
from lydite.parallel.units import Cut, segment
from lydite.records import dataclass

UNDISTURBED = 25
"""Percentile of times that counts as that of a machine without other programs."""


def cores_for(workers: int) -> list[int]:
    """Logical processors for so many workers, of different physical cores where these are known.

    Raises:
        InputError: there are fewer cores than workers, or fewer than two workers.
    """
    if workers < 2:
        raise InputError(f"{workers} workers", where="--workers", allowed="2 or more")
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    allowed = allowed or list(range(os.cpu_count() or 1))
    first: dict[str, int] = {}
    for cpu in allowed:
        first.setdefault(_siblings(cpu), cpu)
    if len(first) < workers:
        raise InputError(
            f"{workers} workers need as many cores, and {len(first)} are here",
            where="--workers",
            allowed=f"2 to {len(first)}" if len(first) > 1 else "none on this machine",
        )
    return list(first.values())[:workers]


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def pin(cores: Sequence[int]) -> bool:
    """Pin the calling thread; whether the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, set(cores))
    return True


class Pinned:
    """Within the block the calling thread runs on one core."""

    def __init__(self, core: int) -> None:
        self._core = core

    def __enter__(self) -> None:
        self._before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        pin([self._core])

    def __exit__(self, *_: object) -> None:
        if self._before:
            pin(sorted(self._before))


class Workers:
    """Threads on cores of their own that run a step each time they are told to.

    Args:
        cores: Logical processors; the first is that of the calling thread, which gets no thread.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self.cores = tuple(cores)
        self._starts = [threading.Lock() for _ in cores]
        self._ends = [threading.Lock() for _ in cores]
        self._steps: list[Callable[[], None] | None] = [None] * len(cores)
        self._errors: list[BaseException] = []
        self._threads = []
        for lock in (*self._starts, *self._ends):
            lock.acquire()
        for worker in range(1, len(cores)):
            thread = threading.Thread(target=self._serve, args=(worker,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, worker: int) -> None:
        pin([self.cores[worker]])
        start, end = self._starts[worker], self._ends[worker]
        while True:
            start.acquire()
            step = self._steps[worker]
            if step is None:
                return
            try:
                step()
            except BaseException as error:  # handed to the caller
                self._errors.append(error)
            end.release()

    def together(self, steps: Sequence[Callable[[], None]]) -> None:
        """Run one step per worker at the same time; returns when all have ended."""
        for worker in range(1, len(steps)):
            self._steps[worker] = steps[worker]
            self._starts[worker].release()
        steps[0]()
        for worker in range(1, len(steps)):
            self._ends[worker].acquire()
        if self._errors:
            raise self._errors.pop()

    def close(self) -> None:
        """End the threads."""
        for worker in range(1, len(self.cores)):
            self._steps[worker] = None
            self._starts[worker].release()
        for thread in self._threads:
            thread.join()


@dataclass(frozen=True)
class Segment:
    """Units that one worker runs in one stage.

    Attributes:
        stage: Index of the stage.
        lane: Worker.
        graph: Graph of the units.
    """

    stage: int
    lane: int
    graph: Graph


def segments_of(cut: Cut, stages: Sequence[Stage]) -> list[Segment]:
    """The segments of all stages, in order."""
    return [
        Segment(number, lane, segment(cut, units, f"{cut.graph.name}_{number}_{lane}"))
        for number, stage in enumerate(stages)
        for lane, units in enumerate(stage.lanes)
    ]


def buffers_for(
    graph: Graph, segments: Sequence[Segment], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """An array for every tensor that segments share; memory is reused after its last stage."""
    arrays = dict(inputs)
    last: dict[str, int] = {}
    for part in segments:
        for name in part.graph.inputs:
            last[name] = max(last.get(name, 0), part.stage)
    free: list[np.ndarray] = []
    held: list[tuple[int, np.ndarray]] = []
    for part in segments:
        free += [block for until, block in held if until < part.stage]
        held = [item for item in held if item[0] >= part.stage]
        for name in part.graph.outputs:
            type_ = graph.type_of(name)
            shape = [int(dim) for dim in type_.shape or ()]
            dtype = np.dtype(numpy_dtype(type_.dtype))
            size = max(64, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
            if name in graph.outputs:
                block = _block(size)
            else:
                block = _taken(free, size)
                held.append((last.get(name, part.stage), block))
            count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            arrays[name] = block[:count].view(dtype).reshape(shape)
    return arrays


def _taken(free: list[np.ndarray], size: int) -> np.ndarray:
    """The smallest free block that is large enough and at most twice as large; else a new one."""
    fits = [i for i, block in enumerate(free) if size <= block.nbytes <= 2 * size]
    if not fits:
        return _block(size)
    return free.pop(min(fits, key=lambda i: free[i].nbytes))


def _block(size: int) -> np.ndarray:
    """Bytes that begin at a multiple of 64."""
    raw = np.zeros(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size]


class StagedRun(Prepared):
    """A graph that runs stage by stage.

    Args:
        backend: ONNX Runtime.
        cut: Units of the lowered graph.
        stages: Stages to run.
        inputs: Input arrays by name.
        workers: Pinned workers.
    """

    def __init__(
        self,
        backend: OnnxRuntimeBackend,
        cut: Cut,
        stages: Sequence[Stage],
        inputs: Mapping[str, np.ndarray],
        workers: Workers,
    ) -> None:
        self.stages, self._workers = tuple(stages), workers
        parts = segments_of(cut, stages)
        self._arrays = buffers_for(cut.graph, parts, inputs)
        self._outputs = cut.graph.outputs
        count = len(workers.cores)
        self._sessions: list[list[Prepared]] = [[] for _ in stages]
        for part in parts:
            threads = count if stages[part.stage].way == "wide" else 1
            settings = Settings(threads=threads, optimise=False)
            cores = workers.cores[1:] if threads > 1 else ()
            session = backend.prepare_bound(part.graph, settings, self._arrays, cores)
            self._sessions[part.stage].append(session)
        self._steps = [[session.run for session in lanes] for lanes in self._sessions]

    def run(self) -> None:
        """Run all stages once."""
        for steps in self._steps:
            self._play(steps)

    def _play(self, steps: Sequence[Callable[[], None]]) -> None:
        if len(steps) == 1:
            steps[0]()
        else:
            self._workers.together(steps)

    def synchronize(self) -> None:
        """Nothing to wait for: all stages have ended when `run` returns."""

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name."""
        return {name: self._arrays[name] for name in self._outputs}

    def lane_seconds(self, rounds: int = 7) -> list[list[float]]:
        """Undisturbed seconds of each segment on the first worker, alone, stage by stage."""
        taken: list[list[list[float]]] = [[[] for _ in lanes] for lanes in self._steps]
        for _ in range(rounds):
            for stage, lanes in enumerate(self._steps):
                for lane, step in enumerate(lanes):
                    start = time.perf_counter()
                    step()
                    taken[stage][lane].append(time.perf_counter() - start)
        return [[float(np.percentile(t, UNDISTURBED)) for t in lanes] for lanes in taken]

    def stage_seconds(self, rounds: int = 7) -> list[float]:
        """Undisturbed seconds of each stage, run in order."""
        taken: list[list[float]] = [[] for _ in self._steps]
        for _ in range(rounds):
            for stage, steps in enumerate(self._steps):
                start = time.perf_counter()
                self._play(steps)
                taken[stage].append(time.perf_counter() - start)
        return [float(np.percentile(times, UNDISTURBED)) for times in taken]

    def close(self) -> None:
        """Release all sessions."""
        for lanes in self._sessions:
            for session in lanes:
                session.close()
