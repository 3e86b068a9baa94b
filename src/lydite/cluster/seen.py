"""How far a step lies from the steps that constants were fitted to, and what that adds to bounds.

Bounds widen with each doubling beyond the fitted steps, on a logarithmic scale: by a quarter of
their width for devices, hosts and stages, and by a share of its own for the ranks of tensor
parallelism, whose synchronisation no other step tells of (on vTrain's public steps the mean error
of constants from 2 GPUs grows by 2 to 3 % from one doubling of these ranks to the next).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from lydite.cluster.plan import Plan
from lydite.hardware.cluster import Cluster

Ranges = Mapping[str, tuple[float, float]]
"""Smallest and largest value of each feature among fitted steps."""

WIDER = 0.25
"""Growth of the bounds' width for each doubling beyond the fitted steps (assumed)."""

TENSOR = 0.08
"""Logarithmic width that each doubling of tensor-parallel ranks adds on either side."""


def features(cluster: Cluster, plan: Plan) -> dict[str, float]:
    """What tells steps apart: ranks, hosts, degrees of tensor and pipeline parallelism."""
    hosts = math.ceil(plan.ranks / cluster.devices_per_host)
    return {"ranks": plan.ranks, "hosts": hosts, "tp": plan.tp, "pp": plan.pp}


def ranges(steps: Iterable[tuple[Cluster, Plan]]) -> dict[str, tuple[float, float]]:
    """The range of each feature over steps."""
    rows = [features(cluster, plan) for cluster, plan in steps]
    return {name: (min(r[name] for r in rows), max(r[name] for r in rows)) for name in rows[0]}


def widened(
    spread: tuple[float, float], seen: Ranges, cluster: Cluster, plan: Plan
) -> tuple[float, float]:
    """Bounds relative to a step's time, as wide as its distance from the fitted steps asks for."""
    beyond = {
        name: max(0.0, math.log2(value / seen[name][1]), math.log2(seen[name][0] / value))
        for name, value in features(cluster, plan).items()
        if name in seen
    }
    tensor = TENSOR * beyond.pop("tp", 0.0)
    factor = 1 + WIDER * sum(beyond.values())
    low, high = (math.log(bound) * factor for bound in spread)
    return math.exp(low - tensor), math.exp(high + tensor)
