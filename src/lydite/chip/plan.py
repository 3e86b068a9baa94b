"""A network mapped to a chip: its layers, what each takes, and the invocations to play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lydite.chip.soc import Jobs, Layer
from lydite.graph import Graph, Op, work_of
from lydite.hardware.chip import Chip
from lydite.results import OneLine

ARRAY, VECTOR, CPU, VIEW = "array", "vector", "cpu", "view"
"""Where an operator runs; a view moves nothing."""


@dataclass(frozen=True)
class LayerCost:
    """What one operator takes on the chip with nothing else to do.

    Attributes:
        name: Name of the operator; of fused operators, of the first.
        op_type: Type of that operator.
        kernel: What the accelerator runs; "" where none does.
        on: Where the layer runs: `ARRAY`, `VECTOR`, `CPU` or `VIEW`.
        invocations: Number of invocations of accelerators.
        cycles: Cycles of the accelerators by what they go to; the sum is `total_cycles`.
        macs: Multiply-accumulates that the operator needs.
        load_bytes: Bytes from memory to scratchpads.
        store_bytes: Bytes from scratchpads to memory.
        sram_bytes: Bytes in and out of scratchpads, transfers included.
        vector_ops: Operations of the vector unit.
        host_s: Seconds on the processor, where the operator runs there.
        fallback_reason: Reason why the operator runs on the processor; "" where it does not.
        hit_bytes: Bytes of the loads that the last-level cache gives.
        local_bytes: Bytes in and out of memories inside the processing elements.
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
    is_unknown: bool = False

    @property
    def why(self) -> str:
        """Former name of `fallback_reason`, kept for one release."""
        return self.fallback_reason

    @property
    def total_cycles(self) -> float:
        """Cycles of the accelerators."""
        return sum(self.cycles.values())


@dataclass(frozen=True, eq=False, repr=False)
class ChipPlan(OneLine):
    """A whole network as it is mapped to a chip.

    Attributes:
        costs: Costs of the layers, in order.
        jobs: Invocations that the system plays.
        layers: Layers as the processor sees them, one for each cost.
        invocations: Invocations of an SMV as `lydite.chip.smv.Invocations`, one row for each job;
            None for other arrays.
        invocation_cycles: Cycles of each of these invocations.
    """

    costs: Sequence[LayerCost]
    jobs: Jobs
    layers: Sequence[Layer]
    invocations: object = None
    invocation_cycles: np.ndarray | None = None

    @property
    def cycles(self) -> float:
        """Cycles of the accelerators, one invocation after the other."""
        return sum(cost.total_cycles for cost in self.costs)

    @property
    def host(self) -> list[LayerCost]:
        """Operators that the processor runs."""
        return [cost for cost in self.costs if cost.on == CPU]

    def headline(self) -> str:
        """Numbers of layers and invocations."""
        return f"{len(self.costs)} layers, {len(self.jobs)} invocations"


def host_seconds(op: Op, graph: Graph, chip: Chip) -> float:
    """An operator on one core: its arithmetic or its traffic, whichever is longer.

    Unknown work counts as one pass over all operands: never nothing.
    """
    cpu, work = chip.cpu, work_of(op, graph)
    types = [t for t in (*graph.input_types(op), *graph.output_types(op)) if t is not None]
    moved = float(sum(t.nbytes or 0 for t in types))
    flops = 0.0
    if work is not None:
        moved, flops = work.bytes_moved, work.flops
    return max(flops / (cpu.flops_per_cycle * cpu.clock_hz), moved / cpu.memory_bytes_per_s)
