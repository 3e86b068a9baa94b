"""The result of a simulated step: time, memory, energy and cost, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from lydite.cluster.assembled import Played
from lydite.cluster.collectives import Group
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.offload import Host
from lydite.cluster.plan import Plan
from lydite.cluster.program import CATEGORIES
from lydite.cluster.stages import Unit
from lydite.engine import Timeline, distinct
from lydite.errors import InputError
from lydite.hardware.cluster import Cluster
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.units import format_seconds

NETWORKS = ("closed", "links")
"""How long collectives take: closed forms, or messages that share the cluster's links."""


@dataclass(frozen=True, repr=False)
class StepResult(OneLine):
    """Result of simulating one step.

    Attributes:
        model: Name of the model.
        cluster: Cluster that was simulated.
        plan: Parallel plan of the step.
        seconds: Time of the step in seconds.
        low, high: Bounds on that time in seconds, from the bounds of the operators' estimates.
        timeline, played: Start and end of every simulated task, and the tasks themselves.
        breakdown_s: Seconds of the step by category, averaged over the stages: compute by phase,
            exposed communication, pipeline bubble, launches.
        hidden_s: Communication in seconds that overlaps with computation, averaged over the stages.
        memory: Bytes by kind on one rank of each stage.
        capacity_bytes: Memory of one device in bytes.
        flops: Model FLOPs of a step over all ranks, without recomputation.
        by_source: Share of the operators' time by source of the estimate.
        samples: Number of samples in a step.
        dtype: Data type of the weights.
        constants: Host, framework and device constants used.
        stages: Units of each virtual stage.
        groups: Communication groups by name.
        arithmetic: Data type of most of the arithmetic; MFU refers to the device's peak for it.
        computed_whole: Number of operators by type that every tensor-parallel rank computes in
            full, because no rule says how to split them along the axis that divides their inputs.
        runtime: Name of the runtime that launched and fused.
        host: Share of its host that each rank had; None where nothing was offloaded.
    """

    model: str
    cluster: Cluster
    plan: Plan
    seconds: float
    low: float
    high: float
    timeline: Timeline
    played: Played
    breakdown_s: Mapping[str, float]
    hidden_s: float
    memory: Sequence[Mapping[str, float]]
    capacity_bytes: float
    flops: float
    by_source: Mapping[str, float]
    samples: int
    dtype: str = "float32"
    constants: Constants = ASSUMED
    stages: Sequence[Sequence[Unit]] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    arithmetic: str = "float32"
    computed_whole: Mapping[str, int] = field(default_factory=dict)
    runtime: str = ""
    host: Host | None = None

    @property
    def host_memory_bytes(self) -> float:
        """Memory in bytes that offloading takes in the fullest host; 0 without."""
        if self.host is None:
            return 0.0
        return self.host.ranks * self.host.kept_bytes(self.plan, self.stages)

    @property
    def network(self) -> str:
        """How collectives were timed, one of `NETWORKS`."""
        return "closed" if self.played.network is None else "links"

    @property
    def folded(self) -> bool:
        """Whether one simulated rank of each stage represented all ranks of the stage."""
        return self.played.ranks < self.plan.ranks

    @property
    def critical_s(self) -> dict[str, float]:
        """Seconds by category along the critical path."""
        path = self.timeline.critical_path()
        category, spans = self.timeline.categories_of(path), self.timeline.spans_of(path)
        seconds = np.bincount(category, spans * 1e-12, len(CATEGORIES))
        by_category = {CATEGORIES[at]: float(seconds[at]) for at in distinct(category).tolist()}
        return dict(sorted(by_category.items(), key=lambda item: -item[1]))

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation: model FLOPs over the devices' peak in the same time, a share.

        Definition: PaLM, arXiv:2204.02311, appendix B.
        """
        peak = self.cluster.device.peak(self.arithmetic) * self.plan.ranks
        return self.flops / (self.seconds * peak) if self.seconds else 0.0

    @property
    def peak_memory_bytes(self) -> float:
        """Peak memory in bytes of the rank that needs most."""
        return max(sum(stage.values()) for stage in self.memory)

    @property
    def computation_s(self) -> float:
        """Seconds of all operators of the busiest stage, without launches and messages."""
        passes, stages = self.plan.micro_batches, self.plan.pp
        return max(
            sum(
                passes * sum(phase.work_ps * 1e-12 - phase.launch_s for phase in unit.phases)
                + unit.optimizer.work_ps * 1e-12
                for virtual in self.stages[stage::stages]
                for unit in virtual
            )
            for stage in range(stages)
        )

    @property
    def fits(self) -> bool:
        """Whether every rank fits into the memory of its device."""
        return self.peak_memory_bytes <= self.capacity_bytes

    @property
    def energy_j(self) -> float | None:
        """Energy of the step in joules at rated power; None where the power is unknown.

        Includes host and data-centre overhead where they are given. Modelled, not measured.
        """
        economics, device = self.cluster.economics, self.cluster.device
        if economics.host_power_w is not None:
            watts = economics.host_power_w / self.cluster.devices_per_host
        elif device.power_w is not None:
            watts = device.power_w
        else:
            return None
        return watts * (economics.pue or 1.0) * self.plan.ranks * self.seconds

    @property
    def cost_usd(self) -> float | None:
        """Cost of the step in US dollars; None without a price per device hour."""
        price = self.cluster.economics.price_per_device_hour_usd
        return None if price is None else price * self.plan.ranks * self.seconds / 3600

    @property
    def co2_kg(self) -> float | None:
        """CO2 emissions of the step in kilograms; None without a carbon intensity of the grid."""
        grid, energy = self.cluster.economics.grid_kg_per_kwh, self.energy_j
        return None if grid is None or energy is None else grid * energy / 3.6e6

    def headline(self) -> str:
        """Time of the step with its bounds, in one line."""
        low, high = format_seconds(self.low), format_seconds(self.high)
        where = f"{self.model} on {self.cluster.name}"
        if not self.fits:
            seconds = format_seconds(self.seconds)
            return f"{where}: does not fit, {fitting(self)} (with room {seconds} a step)"
        return f"{where}: {format_seconds(self.seconds)} a step ({low} to {high}), modelled"


def fitting(result: StepResult) -> str:
    """By how much a plan exceeds the device's memory, and remedies; "" where it fits."""
    if result.fits:
        return ""
    over = result.peak_memory_bytes - result.capacity_bytes
    worst = max(result.memory, key=lambda stage: sum(stage.values()))
    largest = max(worst, key=lambda kind: worst[kind])
    advice = {
        "activations": "--recompute full, a smaller --micro-batch or more --tp",
        "optimizer": "--zero 1, --offload optimizer, or more --tp or --pp",
        "gradients": "--zero 2, or more --tp or --pp",
        "weights": "--zero 3, or more --tp or --pp",
        "buffers": "more --tp or --pp",
        "cache": "a shorter --context, a smaller --batch or more --tp",
    }[largest]
    what = "optimiser states" if largest == "optimizer" else largest
    return f"needs {over / 2**30:.1f} GiB more than a device has, mostly for {what}; try {advice}"


def require_fit(result: StepResult) -> StepResult:
    """The result, if every rank fits into its device's memory.

    Raises:
        InputError: a rank does not fit; the error says by how much, and what would help.
    """
    missing = fitting(result)
    if missing:
        raise InputError(f"does not fit: {missing}", where=result.model)
    return result
