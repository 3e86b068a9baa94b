"""Invocations and layers that a system plays, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.engine import Timeline
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.units import format_seconds

CATEGORIES = ("prepare", "launch", "flush", "load", "compute", "store", "finish", "host")
"""Categories of tasks; the first two and the last two run on the processor."""


@dataclass(frozen=True, eq=False)
class Jobs:
    """Invocations as columns, in the order in which they are issued.

    Attributes:
        layer: Number of the layer of each invocation, ascending.
        accelerator: Number of the accelerator that runs it.
        group: Number that increases where an accelerator must first be waited for.
        waits: Whether the processor waits for the invocation before it continues.
        begin_s: Seconds before data moves: head, flushes and cache hits.
        load_bytes: Bytes from DRAM.
        load_s: Seconds that the load takes alone.
        compute_s: Seconds of everything between load and store.
        store_bytes: Bytes to DRAM.
        store_s: Seconds that the store takes alone.
        ahead: Whether a load may overlap the previous invocation's computation (double buffers);
            with two DMA channels stores also overlap loads.
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
        name: Name of the operator.
        prepare_bytes: Bytes scattered into tiles before the layer.
        finish_bytes: Bytes gathered from tiles after the layer.
        prepare_runs: Number of contiguous runs in which `prepare_bytes` are copied.
        finish_runs: Number of contiguous runs in which `finish_bytes` are copied.
        host_s: Seconds on the processor alone, if no accelerator runs the operator.
    """

    name: str
    prepare_bytes: float = 0.0
    finish_bytes: float = 0.0
    host_s: float = 0.0
    prepare_runs: float = 0.0
    finish_runs: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class SocResult(OneLine):
    """The simulated run of a network.

    Attributes:
        timeline: All tasks with their times.
        layers: Layers in order.
        layer_of_task: Layer number of each task; -1 for tasks without one.
        job_of_task: Invocation number of each task; -1 for tasks without one.
        server_names: Names of cores, accelerators and DMA engines.
    """

    timeline: Timeline
    layers: Sequence[Layer]
    layer_of_task: np.ndarray
    job_of_task: np.ndarray
    server_names: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Time at which the last task ends."""
        return self.timeline.makespan_ps * 1e-12

    def layer_spans_s(self) -> np.ndarray:
        """Start of the first and end of the last task of each layer; float64[layers, 2]."""
        spans = np.zeros((len(self.layers), 2))
        for number in range(len(self.layers)):
            mine = self.layer_of_task == number
            if mine.any():
                spans[number] = (
                    self.timeline.start_ps[mine].min() * 1e-12,
                    self.timeline.end_ps[mine].max() * 1e-12,
                )
        return spans

    def seconds_by_category(self) -> dict[str, float]:
        """Seconds during which at least one task of each category runs."""
        return {
            name: self.timeline.covered_ps(number) * 1e-12 for number, name in enumerate(CATEGORIES)
        }

    def headline(self) -> str:
        """Time and number of tasks."""
        return f"{format_seconds(self.seconds)}, {len(self.layers)} layers"
