"""Cluster files of other simulators, in one registry.

Packages add formats through the entry-point group "lydite.cluster_files": a `ClusterFile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lydite.errors import InputError
from lydite.hardware.cluster.topology import Cluster
from lydite.hardware.device import Device
from lydite.registry import Registry


class ClusterFile(Protocol):
    """Builds clusters from another simulator's YAML files.

    Attributes:
        title: Name of such files in messages, in the plural.
    """

    title: str

    def claims(self, document: Mapping[str, Any]) -> bool:
        """Whether a YAML document has this format."""
        ...

    def cluster(self, document: Mapping[str, Any], where: str, device: Device) -> Cluster:
        """The cluster of a document, with `device` at every rank.

        Raises:
            InputError: the document is invalid.
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
    """The cluster of another simulator's document; None if no format claims it.

    Args:
        document: Content of the YAML file.
        where: File name for messages.
        times: Number of hosts requested; refused, because these files fix it.
        device: Device of every rank, which these files do not name.

    Raises:
        InputError: the document is invalid, a number of hosts is given, or no device is.
    """
    if not isinstance(document, dict):
        return None
    formats = map(CLUSTER_FILES.find, CLUSTER_FILES)
    file_format = next(
        (file_format for file_format in formats if file_format.claims(document)), None
    )
    if file_format is None:
        return None
    if times is not None:
        raise InputError(f"{file_format.title} do not take a number of hosts", where=where)
    if device is None:
        raise InputError(
            f"{file_format.title} name no device", where=where, allowed="a device in addition"
        )
    return file_format.cluster(document, where, device)
