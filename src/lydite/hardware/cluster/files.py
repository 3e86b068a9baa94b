"""Files of clusters that are not Lydite's own: one registry.

A package adds a kind by an entry point of the group "lydite.cluster_files": a `ClusterFile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lydite.errors import InputError
from lydite.hardware.cluster.topology import Cluster
from lydite.hardware.device import Device
from lydite.registry import Registry


class ClusterFile(Protocol):
    """Makes clusters of another simulator's YAML files.

    Attributes:
        title: what such files are called in messages, in the plural.
    """

    title: str

    def claims(self, document: Mapping[str, Any]) -> bool:
        """Whether a YAML document is of this kind."""
        ...

    def cluster(self, document: Mapping[str, Any], where: str, device: Device) -> Cluster:
        """The cluster of a document, made of one device.

        Raises:
            InputError: a bad document.
        """
        ...


CLUSTER_FILES: Registry[ClusterFile] = Registry(
    "lydite.cluster_files",
    "kind of cluster file",
    {"aisim": "lydite.compat.aisim.resource_pool:AISIM"},
)


def foreign_cluster(
    document: Any, where: str, times: int | None, device: Device | None
) -> Cluster | None:
    """The cluster of another simulator's document; None if it is none of theirs.

    Args:
        document: as the YAML file has it.
        where: the file.
        times: number of hosts that was asked for, which these files do not take.
        device: what the cluster is made of, which these files do not say.

    Raises:
        InputError: a bad document, a number of hosts, or no device.
    """
    if not isinstance(document, dict):
        return None
    kinds = map(CLUSTER_FILES.find, CLUSTER_FILES)
    kind = next((kind for kind in kinds if kind.claims(document)), None)
    if kind is None:
        return None
    if times is not None:
        raise InputError(f"{kind.title} cannot be multiplied", where=where)
    if device is None:
        raise InputError(f"{kind.title} name no device", where=where, allowed="a device beside it")
    return kind.cluster(document, where, device)
