"""Mapping of a network to a chip: its layers with their costs, and the invocations to play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lydite.chip.soc import Jobs, Layer
from lydite.graph import Graph, Op, work_of
from lydite.hardware.chip import Chip
from lydite.results import OneLine

ARRAY, VECTOR, CPU, VIEW = "array", "vector", "cpu", "view"
"""Units that run operators; a view moves no data."""


@dataclass(frozen=True)
class LayerCost:
    """Cost of one operator alone on the chip.

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

    @property
    def why(self) -> str:
        """Former name of `fallback_reason`, kept for one release."""
        return self.fallback_reason

    @property
    def total_cycles(self) -> float:
        """Accelerator cycles of the layer."""
        return sum(self.cycles.values())


@dataclass(frozen=True, eq=False, repr=False)
class ChipPlan(OneLine):
    """A network as mapped to a chip.

    Attributes:
        costs: Costs of the layers, in order.
        jobs: Invocations that the system plays.
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
