"""Mapping of a network to a chip: its layers with their costs, and the invocations to play."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property

import numpy as np

from lydite.chip.soc_jobs import Jobs, Layer
from lydite.graph import Graph, Op, work_of
from lydite.hardware.chip import Chip
from lydite.records import dataclass
from lydite.results import OneLine

ARRAY, VECTOR, CPU, VIEW = "array", "vector", "cpu", "view"
"""Units that run operators; a view moves no data."""


@dataclass(frozen=True)
class LayerCost:
    """Cost of one operator alone on the chip, of all its runs together.

    Attributes:
        name: Name of the operator, or of the first of fused operators.
        op_type: Type of that operator.
        kernel: Kernel that the accelerator runs; "" if it runs none.
        on: Where the layer runs: `ARRAY`, `VECTOR`, `CPU` or `VIEW`.
        invocations: Number of invocations of accelerators.
        cycles: Accelerator cycles by part; the sum is `total_cycles`.
        macs: Multiply-accumulates that the operator needs.
        load_bytes: Bytes from memory to scratchpads.
        store_bytes: Bytes from scratchpads to memory.
        sram_bytes: Bytes in and out of scratchpads, transfers included.
        vector_ops: Operations of the vector unit.
        host_s: Seconds on the processor, for operators that run there.
        fallback_reason: Reason why the operator runs on the processor; "" if it does not.
        hit_bytes: Bytes of the loads that hit the last-level cache.
        local_bytes: Bytes in and out of memories inside the processing elements.
        host_flops: FLOPs of an operator on the processor.
        is_unknown: Whether the operator's work is unknown, so that it counts as one pass over its
            operands.
        runs: Number of runs, one after the other: of an operator in the body of a loop, the
            iterations that it stands for.
    """

    name: str
    op_type: str
    kernel: str
    on: str
    invocations: int = 0
    cycles: Mapping[str, float] = field(default_factory=dict)
    macs: float = 0.0
    load_bytes: float = 0.0
    store_bytes: float = 0.0
    sram_bytes: float = 0.0
    vector_ops: float = 0.0
    host_s: float = 0.0
    fallback_reason: str = ""
    hit_bytes: float = 0.0
    local_bytes: float = 0.0
    host_flops: float = 0.0
    is_unknown: bool = False
    runs: int = 1

    @property
    def why(self) -> str:
        """Former name of `fallback_reason`, kept for one release."""
        return self.fallback_reason

    @property
    def total_cycles(self) -> float:
        """Accelerator cycles of the layer."""
        return sum(self.cycles.values())

    def times(self, runs: int) -> LayerCost:
        """The cost of so many runs."""
        if runs == 1:
            return self
        scaled = {name: runs * getattr(self, name) for name in _OF_A_RUN}
        cycles = {name: runs * each for name, each in self.cycles.items()}
        return replace(self, cycles=cycles, runs=runs * self.runs, **scaled)


_OF_A_RUN = (
    "invocations",
    "macs",
    "load_bytes",
    "store_bytes",
    "sram_bytes",
    "vector_ops",
    "host_s",
    "hit_bytes",
    "local_bytes",
    "host_flops",
)
"""Attributes of `LayerCost` that add up over runs."""


@dataclass(frozen=True, eq=False, repr=False)
class ChipPlan(OneLine):
    """A network as mapped to a chip.

    Attributes:
        costs: Costs of the layers, in order.
        jobs: Invocations that the system plays, those of one run of each layer.
        layers: Layers as the processor sees them, one per cost.
        invocations: Invocations of an SMV as `lydite.chip.smv.Invocations`, one row per job; None
            for other arrays.
        invocation_cycles: Cycles of each of these invocations.
    """

    costs: Sequence[LayerCost]
    jobs: Jobs
    layers: Sequence[Layer]
    invocations: object = None
    invocation_cycles: np.ndarray | None = None

    @cached_property
    def runs(self) -> np.ndarray:
        """Number of runs of each layer; int64[layers]."""
        return np.array([cost.runs for cost in self.costs], np.int64)

    def repeated(self, runs: Callable[[str], int]) -> ChipPlan:
        """The plan with layers that run several times, one after the other.

        Args:
            runs: Number of runs of a layer, by its name.
        """
        return replace(self, costs=[cost.times(runs(cost.name)) for cost in self.costs])

    @property
    def cycles(self) -> float:
        """Accelerator cycles of all invocations in sequence."""
        return sum(cost.total_cycles for cost in self.costs)

    @property
    def host(self) -> list[LayerCost]:
        """Operators that the processor runs."""
        return [cost for cost in self.costs if cost.on == CPU]

    @property
    def unknown(self) -> list[LayerCost]:
        """Operators whose work is unknown."""
        return [cost for cost in self.costs if cost.is_unknown]

    def headline(self) -> str:
        """Numbers of layers and invocations."""
        return f"{len(self.costs)} layers, {len(self.jobs)} invocations"


def host_seconds(op: Op, graph: Graph, chip: Chip) -> float:
    """Seconds of an operator on one core: the longer of its arithmetic and its memory traffic.

    Unknown work counts as one pass over all operands, never as nothing.
    """
    cpu, work = chip.cpu, work_of(op, graph)
    types = [t for t in (*graph.input_types(op), *graph.output_types(op)) if t is not None]
    moved = float(sum(t.nbytes or 0 for t in types))
    flops = 0.0
    if work is not None:
        moved, flops = work.bytes_moved, work.flops
    return max(flops / (cpu.flops_per_cycle * cpu.clock_hz), moved / cpu.memory_bytes_per_s)
