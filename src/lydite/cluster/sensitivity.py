"""Sensitivity of a step to each resource: the step again with one resource ten per cent better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.plan import Plan
from lydite.cluster.rank import launching, rank_costs, rank_step
from lydite.cluster.simulate import played_step
from lydite.estimate.base import Estimator
from lydite.graph import Graph
from lydite.hardware.cluster import LINK_KINDS, Cluster

MORE = 1.1
_INSIDE = ("nvlink", "nvswitch", "xgmi", "pcie", "cpu")


def _compute(cluster: Cluster) -> Cluster:
    peaks = {dtype: rate * MORE for dtype, rate in cluster.device.peak_flops.items()}
    return replace(cluster, device=replace(cluster.device, peak_flops=peaks))


def _memory(cluster: Cluster) -> Cluster:
    rate = cluster.device.memory_bandwidth * MORE
    return replace(cluster, device=replace(cluster.device, memory_bandwidth=rate))


def _links(inside: bool) -> Callable[[Cluster], Cluster]:
    def better(cluster: Cluster) -> Cluster:
        inside_kinds = [LINK_KINDS.index(kind) for kind in _INSIDE]
        chosen = np.isin(cluster.links.kind, inside_kinds) == inside
        rate = np.where(chosen, MORE, 1.0) * cluster.links.bandwidth_bytes_per_s
        return replace(cluster, links=replace(cluster.links, bandwidth_bytes_per_s=rate))

    return better


def _latency(cluster: Cluster) -> Cluster:
    shorter = cluster.links.latency_s / MORE
    return replace(cluster, links=replace(cluster.links, latency_s=shorter))


_BETTER: Mapping[str, Callable[[Cluster], Cluster]] = {
    "compute": _compute,
    "memory bandwidth": _memory,
    "links within a host": _links(inside=True),
    "links between hosts": _links(inside=False),
    "link latency": _latency,
}


def sensitivity(
    graph: Graph,
    cluster: Cluster,
    plan: Plan,
    estimator: Estimator,
    *,
    loss: str | None = None,
    optimizer: str | None = "adam",
    constants: Constants = ASSUMED,
    network: str = "closed",
) -> dict[str, float]:
    """Share of the step's time that ten per cent more of each resource saves, by resource.

    Arguments as for `simulate_step`. Between GPUs NCCL's own latencies apply, so that lower link
    latency saves little. Measured operator times do not depend on the device's specification, so
    that with them more compute or memory bandwidth saves nothing here.
    """

    rank = rank_step(graph, plan, loss=loss, optimizer=optimizer)

    def seconds(changed: Cluster, host: Constants = constants) -> float:
        costs = rank_costs(rank, estimator, changed.device)
        return played_step(rank, costs, changed, plan, host, network=network).seconds

    before = seconds(cluster)
    saved = {name: 1 - seconds(better(cluster)) / before for name, better in _BETTER.items()}
    launch_s = launching(constants, rank).dispatch_s or 0.0
    faster = replace(constants, dispatch_s=launch_s / MORE)
    return saved | {"launch": 1 - seconds(cluster, faster) / before}
