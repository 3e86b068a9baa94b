"""Offload to the host's memory: optimiser states and their update, and parameters.

As in ZeRO-Offload (arXiv:2101.06840): gradients go to the host once they are summed, the host's
processors run the optimiser, and updated weights come back. Each rank moves and updates its own
shard. The update is limited by the host's memory bandwidth, which the ranks of a host share: it
reads the gradient and the states, and writes the states and the weight. With parameters offloaded
(ZeRO-Infinity, arXiv:2104.07857) a rank also fetches its shard of each layer's weights before that
is gathered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lydite.cluster.collectives import EFFICIENCY
from lydite.cluster.costs import Weights
from lydite.cluster.plan import Plan
from lydite.cluster.stages import Unit
from lydite.errors import InputError
from lydite.hardware.cluster import CPU, Cluster, paths
from lydite.records import dataclass

HOST_MEMORY_BYTES_PER_S = 300e9
"""Memory bandwidth of a host that its processors reach (assumed): about three quarters of two
sockets with eight channels of DDR4-3200 each, 410 GB/s."""


@dataclass(frozen=True)
class HostStates:
    """Bytes per parameter that the update on a host keeps and moves.

    Attributes:
        kept: Bytes of states and the float32 copy of the weight, per parameter.
        moved: Bytes read and written by the update, per parameter, without the gradient.
        saved: Bytes of a checkpoint, per parameter, besides the weight.
    """

    kept: float
    moved: float
    saved: float

    @classmethod
    def of(cls, dtype: str, states: float) -> HostStates:
        """For weights of a data type, and states in bytes over those of a float32.

        Adam on half-precision weights: keeps 12 bytes, and moves 4 (gradient) + 2 x 12 + 2.
        """
        kept = 4.0 * states + 4.0
        half = dtype in ("float16", "bfloat16")
        return cls(kept, 2 * kept + (2.0 if half else 0.0), kept if half else kept - 4.0)


@dataclass(frozen=True)
class Host:
    """A rank's share of its host.

    Attributes:
        link_bytes_per_s: Rate between device and host in each direction, with all ranks at work.
        memory_bytes_per_s: The rank's share of the host's memory bandwidth.
        states: Bytes per parameter of the update.
        ranks: Number of ranks of the plan in a host.
    """

    link_bytes_per_s: float
    memory_bytes_per_s: float
    states: HostStates
    ranks: int

    def move_s(self, size: float) -> float:
        """Seconds in which `size` bytes cross the link between device and host."""
        return size / self.link_bytes_per_s

    def update_s(self, plan: Plan, units: Iterable[Unit]) -> float:
        """Seconds in which the host updates a rank's shard of the units' weights."""
        moved = sum(
            (held.parameters * self.states.moved + held.gradient_bytes) / plan.shard_count(group)
            for group, held in _held(units)
        )
        return moved / self.memory_bytes_per_s

    def kept_bytes(self, plan: Plan, stages: Sequence[Sequence[Unit]]) -> float:
        """Memory in bytes that the fullest rank keeps in its host, gradients included."""
        return self._most(plan, stages, self.states.kept, gradients=True)

    def checkpoint_bytes(self, plan: Plan, stages: Sequence[Sequence[Unit]]) -> float:
        """Bytes that a checkpoint writes of what the fullest rank keeps in its host."""
        return self._most(plan, stages, self.states.saved, gradients=False)

    def _most(
        self, plan: Plan, stages: Sequence[Sequence[Unit]], states: float, *, gradients: bool
    ) -> float:
        found = [0.0] * plan.pp
        for at, units in enumerate(stages):
            for group, held in _held(units):
                size = held.parameters * states + gradients * held.gradient_bytes
                size += held.bytes if plan.offload == "parameters" else 0.0
                found[at % plan.pp] += size / plan.shard_count(group)
        return max(found)


def host_of(
    cluster: Cluster,
    plan: Plan,
    states: HostStates,
    memory_bytes_per_s: float = HOST_MEMORY_BYTES_PER_S,
) -> Host:
    """A rank's share of its host, on the paths that the cluster has between devices and CPUs.

    Args:
        cluster: Cluster whose first host stands for all.
        plan: Plan, for the number of ranks in a host.
        states: Bytes per parameter of the update.
        memory_bytes_per_s: Memory bandwidth of a whole host.

    Raises:
        InputError: the cluster states no way from its devices to a processor.
    """
    ranks = min(plan.ranks, cluster.devices_per_host)
    devices = cluster.device_node[:ranks]
    here = cluster.nodes.host == cluster.nodes.host[devices[0]]
    cpus = np.flatnonzero((cluster.nodes.kind == CPU) & here)
    if not len(cpus):
        raise InputError(
            f"--offload {plan.offload}: the cluster states no link from devices to a host",
            where=cluster.name,
            hint="give 'pcie' in the cluster's file, or leave --offload out",
        )
    crossed: list[np.ndarray] = []
    for device in devices:
        routes = paths(cluster, np.full(len(cpus), device), cpus)
        crossed.append(routes[int(np.argmin(routes.hops))])
    load = np.bincount(np.concatenate(crossed), minlength=len(cluster.links))
    rate = cluster.links.bandwidth_bytes_per_s / np.maximum(1, load)
    link = min(float(rate[links].min()) for links in crossed)
    return Host(EFFICIENCY * link, memory_bytes_per_s / ranks, states, ranks)


def _held(units: Iterable[Unit]) -> Iterable[tuple[str, Weights]]:
    return ((group, held) for unit in units for group, held in unit.held.items())
