"""A single collective: its time, the alternatives to run it, and its bottleneck link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.cluster.collectives.algorithm import KINDS, algorithms
from lydite.cluster.collectives.curve import Curve
from lydite.cluster.collectives.expand import expand, traffic
from lydite.cluster.collectives.group import (
    Choice,
    Group,
    Setting,
    group_of,
    link_between,
    settings_of,
    with_measured,
)
from lydite.engine import simulate
from lydite.errors import InputError, unknown_name
from lydite.hardware.cluster import LINK_KINDS, Cluster, paths
from lydite.records import dataclass

NAMES = {kind.lower(): kind for kind in KINDS}
"""Kinds of collectives by the name that users type."""

MOST_PLAYED = 512
"""Largest number of ranks whose messages are simulated one by one; more take minutes."""


@dataclass(frozen=True)
class Answer:
    """Time of a collective that runs alone on a cluster.

    Attributes:
        kind: Kind of the collective, such as "AllReduce".
        cluster: Cluster that it runs on.
        group: Ranks that take part, and their share of the links.
        size_bytes: Size of the whole tensor, as nccl-tests count it.
        choice: Algorithm, protocol and time.
        source: "modelled", "measured" or, message by message, "simulated".
        reason: Why this algorithm and protocol are used.
        alternatives: Other algorithms and protocols with their times, the fastest first.
        link: Name of the bottleneck link.
        link_kind: Kind of that link, such as "nvswitch".
        link_bytes_per_s: Bandwidth of that link; parallel cables between switches are added up.
    """

    kind: str
    cluster: Cluster
    group: Group
    size_bytes: float
    choice: Choice
    source: str
    reason: str
    alternatives: tuple[Choice, ...]
    link: str
    link_kind: str
    link_bytes_per_s: float

    @property
    def algorithm_bandwidth_bytes_per_s(self) -> float:
        """Bytes of the tensor over time (nccl-tests' algbw)."""
        return self.size_bytes / self.choice.seconds

    @property
    def bus_bandwidth_bytes_per_s(self) -> float:
        """Bus bandwidth (nccl-tests' busbw): algbw times 2 (n - 1) / n for an all-reduce,
        (n - 1) / n for all-gather, reduce-scatter and all-to-all, 1 for others."""
        share = (self.group.ranks - 1) / self.group.ranks
        by_kind = {"AllReduce": 2 * share, "Broadcast": 1.0, "Send": 1.0}
        return self.algorithm_bandwidth_bytes_per_s * by_kind.get(self.kind, share)


def answer(
    name: str,
    size_bytes: float,
    cluster: Cluster,
    curves: Mapping[str, Mapping[int, Curve]] | None = None,
    *,
    played: bool = False,
) -> Answer:
    """Time a collective over all ranks of a cluster.

    Args:
        name: Name of the kind, one of `NAMES`; a "send" goes from the first rank to the last.
        size_bytes: Size of the whole tensor.
        cluster: Cluster to run on, with the algorithms and protocols chosen for it.
        curves: Measured times inside a host, by kind and number of ranks.
        played: Whether to simulate the messages over the links one by one.

    Raises:
        InputError: an unknown kind, a size that is not above 0, fewer than two ranks, or an
            algorithm or protocol that these ranks do not support.
    """
    kind = NAMES.get(name.lower().replace("-", "").replace("_", ""))
    if kind is None:
        raise unknown_name("collective", name, list(NAMES))
    if not 0 < size_bytes < float("inf"):
        raise InputError(f"a collective of {size_bytes:g} bytes", allowed="more than 0")
    if cluster.ranks < 2:
        raise InputError("a collective of one rank", where=cluster.name, hint="use more devices")
    members = [0, cluster.ranks - 1] if kind == "Send" else list(range(cluster.ranks))
    if kind == "Send":
        group = link_between(cluster, members[:1], members[1:])
    else:
        group = group_of(cluster, [members])
    curve = (curves or {}).get(kind, {}).get(group.ranks)
    if curve is not None and group.hosts == 1:
        group = with_measured(group, curve, kind)
    choice, source = group.choice(kind, size_bytes), group.source(kind, size_bytes)
    if played:
        choice = _played(cluster, members, kind, size_bytes, group, choice)
        source = "simulated"
    link, link_kind, rate = _binding(cluster, members, kind, choice.algorithm)
    others = [other for other in _every(group, kind, size_bytes) if other[:2] != choice[:2]]
    setting = settings_of(cluster).get(kind)
    reason = _reason(group, setting, len(others) + 1, kind)
    return Answer(
        kind,
        cluster,
        group,
        size_bytes,
        choice,
        source,
        reason,
        tuple(others),
        link,
        link_kind,
        rate,
    )


def _every(group: Group, kind: str, size_bytes: float) -> list[Choice]:
    """All algorithms and protocols that these ranks support for a kind, the fastest first."""
    choices: dict[tuple[str, str], Choice] = {}
    for name in algorithms(kind):
        try:
            made = group.choices(kind, size_bytes, name)
        except InputError:
            continue  # such as halving of ranks that are not a power of two
        choices |= {(way.algorithm, way.protocol): way for way in made}
    return sorted(choices.values(), key=lambda way: way.seconds)


def _reason(group: Group, setting: Setting | None, ways: int, kind: str) -> str:
    if setting is not None:
        told = [text for text in setting if text is not None]
        rest = "" if len(told) == 2 else ", the rest as NCCL chooses"
        return f"{' and '.join(told)} as requested{rest}"
    if group.model == "plain":
        return "the default algorithm for this collective: these devices do not run NCCL"
    known = len(group.choices(kind, 1.0))
    return f"the fastest of the {known} that NCCL chooses from, of {ways} known"


def _played(
    cluster: Cluster, members: list[int], kind: str, size: float, group: Group, choice: Choice
) -> Choice:
    """The choice with its link time from simulated messages and its latency as modelled."""
    if len(members) > MOST_PLAYED:
        raise InputError(
            f"{len(members)} ranks are too many to simulate message by message",
            where="--network links",
            allowed=f"up to {MOST_PLAYED} ranks",
            hint="leave out --network links, or take fewer --ranks",
        )
    at_once = replace(cluster, links=replace(cluster.links, latency_s=0 * cluster.links.latency_s))
    made = expand(at_once, [members], kind, size, choice.algorithm)
    span_s = simulate(made.tasks, made.servers, made.network).makespan_ps * 1e-12
    wire_s = span_s / group.wire_share(choice.algorithm, choice.protocol)
    return choice._replace(seconds=choice.seconds - choice.wire_s + wire_s, wire_s=wire_s)


def _binding(
    cluster: Cluster, members: list[int], kind: str, algorithm: str
) -> tuple[str, str, float]:
    """The bottleneck link: name, kind and bandwidth in bytes/s."""
    source, target, channel, share = traffic(cluster, np.array(members), kind, algorithm)
    nodes = cluster.device_node
    routes = paths(cluster, nodes[source], nodes[target], channel)
    bundle, count = cluster.router.bundle, len(cluster.links)
    load = np.bincount(bundle[routes.links], np.repeat(share, routes.hops), count)
    rate = np.bincount(bundle, cluster.links.bandwidth_bytes_per_s, count)
    busy = np.divide(load, rate, out=np.zeros(count), where=load > 0)
    link = int(busy.argmax())
    return cluster.link_name(link), LINK_KINDS[cluster.links.kind[link]], float(rate[link])
