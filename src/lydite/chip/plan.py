"""A network laid out on a chip: its layers, what each takes, and the invocations to play."""

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
        name, op_type: of the operator (of what was fused, the first).
        kernel: what the accelerator runs; "" elsewhere.
        on: `ARRAY`, `VECTOR`, `CPU` or `VIEW`.
        invocations: of accelerators.
        cycles: of the accelerator, by what they go to; they add up.
        macs: multiply-accumulates that it needs.
        load_bytes, store_bytes: between memory and scratchpads.
        hit_bytes: of the loads, that the last-level cache gives.
        sram_bytes: between scratchpads and units, transfers included.
        vector_ops: operations of the vector unit.
        host_s: of the processor, where it runs there.
        why: the reason for that.
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

    @property
    def why(self) -> str:
        """Former name of `fallback_reason`, kept for one release."""
        return self.fallback_reason

    @property
    def total_cycles(self) -> float:
        """Of the accelerator."""
        return sum(self.cycles.values())


@dataclass(frozen=True, eq=False, repr=False)
class ChipPlan(OneLine):
    """All of a network.

    Attributes:
        costs: of its layers, in order.
        jobs, layers: what the system plays; `layers` has an entry for each cost.
        invocations: of SMV, as `lydite.chip.smv.Invocations`, a row for each job.
        invocation_cycles: of each of them.
    """

    costs: Sequence[LayerCost]
    jobs: Jobs
    layers: Sequence[Layer]
    invocations: object = None
    invocation_cycles: np.ndarray | None = None

    @property
    def cycles(self) -> float:
        """Of the accelerator, one invocation after the other."""
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
