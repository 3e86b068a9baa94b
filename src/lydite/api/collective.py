"""`collective`: simulate a single collective on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster.collectives import Choice
    from lydite.cluster.collectives.answer import Answer


class CollectiveWay(TypedDict):
    """A way to run the collective; the protocol is "" without NCCL."""

    algorithm: str
    protocol: str
    seconds: float
    algorithm_bandwidth_bytes_per_s: float


class BindingLink(TypedDict):
    """The limiting link: the one that takes longest for the data it carries."""

    name: str
    kind: str
    bandwidth_bytes_per_s: float


class CollectiveDocument(TypedDict):
    """A collective that has the cluster to itself; bandwidths as defined by nccl-tests."""

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
    """A collective that has the cluster to itself.

    Attributes:
        answer: Time, choice, alternatives and the limiting link.
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
        answer = self.answer
        return {
            "kind": answer.kind,
            "bytes": answer.size_bytes,
            "cluster": answer.cluster.name,
            "device": answer.cluster.device.name,
            "ranks": answer.group.ranks,
            "hosts": answer.group.hosts,
            "network": self.network,
            "seconds": self.seconds,
            "source": answer.source,
            "algorithm_bandwidth_bytes_per_s": answer.algorithm_bandwidth_bytes_per_s,
            "bus_bandwidth_bytes_per_s": answer.bus_bandwidth_bytes_per_s,
            "algorithm": answer.choice.algorithm,
            "protocol": answer.choice.protocol,
            "reason": answer.reason,
            "binding_link": {
                "name": answer.link,
                "kind": answer.link_kind,
                "bandwidth_bytes_per_s": answer.link_bytes_per_s,
            },
            "alternatives": [self._way(choice) for choice in answer.alternatives],
        }

    def summary(self) -> str:
        """Time and bandwidths, the choice and its reason, alternatives."""
        from lydite.report.text.collective import collective_text

        return collective_text(self.answer)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per way to run it, the chosen one first."""
        return [self._way(choice) for choice in (self.answer.choice, *self.answer.alternatives)]

    def _way(self, choice: Choice) -> CollectiveWay:
        return {
            "algorithm": choice.algorithm,
            "protocol": choice.protocol,
            "seconds": choice.seconds,
            "algorithm_bandwidth_bytes_per_s": self.answer.size_bytes / choice.seconds,
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
    """Estimate the time of a collective that has a cluster to itself, and explain it.

    Args:
        session: Session whose database holds measurements of collectives.
        kind: Collective: "allreduce", "allgather", "reducescatter", "broadcast", "alltoall", or
            "send" from the first rank to the last.
        bytes: Size of the whole tensor as in nccl-tests, in bytes or such as "1 GiB".
        on: Cluster, as for `simulate`.
        ranks: Number of participating devices, the first of the cluster; None for all.
        algorithm: Name of the algorithm; None for the choice of the cluster file or NCCL.
        protocol: Protocol: "LL", "LL128" or "Simple"; None as for `algorithm`.
        network: "closed" for the closed form, "links" to simulate its messages over the links.

    Raises:
        InputError: a collective, cluster, algorithm or protocol is unknown, or they do not go
            together.
    """
    from lydite.api.plan_options import quantity
    from lydite.api.step_options import ClusterOptions
    from lydite.cluster.collectives.answer import answer
    from lydite.cluster.constants import ASSUMED, with_curves
    from lydite.cluster.step_result import NETWORKS
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
    with session.readings() as database:
        curves = with_curves(ASSUMED, database, cluster).curves
    return CollectiveResult(answer(name, size, cluster, curves, played=network == "links"), network)
