"""`collective`: one collective by itself on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster.collectives import Choice
    from lydite.cluster.collectives.answer import Answer


class CollectiveWay(TypedDict):
    """A way to run the collective; the protocol is "" where no NCCL runs."""

    algorithm: str
    protocol: str
    seconds: float
    algorithm_bandwidth_bytes_per_s: float


class BindingLink(TypedDict):
    """The link that takes longest for what it carries."""

    name: str
    kind: str
    bandwidth_bytes_per_s: float


class CollectiveDocument(TypedDict):
    """A collective alone on a cluster; bandwidths as nccl-tests define them."""

    kind: str
    bytes: float
    cluster: str
    device: str
    ranks: int
    hosts: int
    network: str
    seconds: float
    source: str
    algorithm_bandwidth_bytes_per_s: float
    bus_bandwidth_bytes_per_s: float
    algorithm: str
    protocol: str
    reason: str
    binding_link: BindingLink
    alternatives: list[CollectiveWay]


@dataclass(frozen=True, eq=False, repr=False)
class CollectiveResult(Result):
    """A collective alone on a cluster.

    Attributes:
        answer: Time, choice, alternatives and the link that binds.
        network: "closed" or "links".
    """

    verb = "collective"

    answer: Answer
    network: str = "closed"

    @property
    def seconds(self) -> float:
        """Time of the collective."""
        return self.answer.choice.seconds

    def document(self) -> CollectiveDocument:
        """Time, bandwidths, choice and alternatives."""
        found = self.answer
        return {
            "kind": found.kind,
            "bytes": found.size_bytes,
            "cluster": found.cluster.name,
            "device": found.cluster.device.name,
            "ranks": found.group.ranks,
            "hosts": found.group.hosts,
            "network": self.network,
            "seconds": self.seconds,
            "source": found.source,
            "algorithm_bandwidth_bytes_per_s": found.algorithm_bandwidth_bytes_per_s,
            "bus_bandwidth_bytes_per_s": found.bus_bandwidth_bytes_per_s,
            "algorithm": found.choice.algorithm,
            "protocol": found.choice.protocol,
            "reason": found.reason,
            "binding_link": {
                "name": found.link,
                "kind": found.link_kind,
                "bandwidth_bytes_per_s": found.link_bytes_per_s,
            },
            "alternatives": [self._way(one) for one in found.alternatives],
        }

    def summary(self) -> str:
        """Time and bandwidths, the choice and its reason, alternatives."""
        from lydite.report.text.collective import collective_text

        return collective_text(self.answer)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row a way to run it, the one that was chosen first."""
        return [self._way(one) for one in (self.answer.choice, *self.answer.alternatives)]

    def _way(self, one: Choice) -> CollectiveWay:
        return {
            "algorithm": one.algorithm,
            "protocol": one.protocol,
            "seconds": one.seconds,
            "algorithm_bandwidth_bytes_per_s": self.answer.size_bytes / one.seconds,
        }


def collective(
    session: Session,
    kind: str,
    *,
    bytes: float | str,
    on: str = "dgx-a100",
    ranks: int | None = None,
    algorithm: str | None = None,
    protocol: str | None = None,
    network: str = "closed",
) -> CollectiveResult:
    """How long one collective takes alone on a cluster, and why.

    Args:
        session: its database holds what was measured of collectives.
        kind: "allreduce", "allgather", "reducescatter", "broadcast", "alltoall", or "send" from
            the first rank to the last.
        bytes: size of the whole tensor as nccl-tests count it, in bytes or such as "1 GiB".
        on: cluster, as in `simulate`.
        ranks: number of devices that take part, the first of the cluster; None for all.
        algorithm: name of the algorithm; None for what the cluster's file or NCCL chooses.
        protocol: "LL", "LL128" or "Simple"; None likewise.
        network: "closed" for its closed form, "links" for its messages one by one over the links.

    Raises:
        InputError: an unknown kind, cluster, algorithm or protocol, or one that does not go with
            the others.
    """
    from lydite.api.step_options import ClusterOptions, quantity
    from lydite.cluster.collectives.answer import answer
    from lydite.cluster.constants import ASSUMED, with_curves
    from lydite.cluster.simulate import NETWORKS
    from lydite.errors import unknown_name

    if network not in NETWORKS:
        raise unknown_name("network", network, NETWORKS)
    size = quantity(bytes, "B", "--bytes") if isinstance(bytes, str) else float(bytes)
    name = kind.lower().replace("-", "").replace("_", "")
    where = ClusterOptions(
        on=on,
        devices=ranks,
        algorithm=() if algorithm is None else (f"{name}={algorithm}",),
        protocol=() if protocol is None else (f"{name}={protocol}",),
    )
    cluster = where.cluster()
    with session.database() as database:
        curves = with_curves(ASSUMED, database, cluster).curves
    return CollectiveResult(answer(name, size, cluster, curves, played=network == "links"), network)
