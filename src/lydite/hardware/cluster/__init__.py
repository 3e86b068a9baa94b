"""Clusters: hosts of devices, the links between them, and the paths that messages take."""

from lydite.hardware.cluster.aisim import read_resource_pool, write_resource_pool
from lydite.hardware.cluster.elements import LINK_KINDS, NODE_KINDS, Level, Links, Nodes
from lydite.hardware.cluster.ring import Ring, best_ring, shared_bandwidth
from lydite.hardware.cluster.route import Paths
from lydite.hardware.cluster.select import known_clusters, make_cluster, read_cluster
from lydite.hardware.cluster.topology import Cluster, Economics, degraded, path_cost, paths
from lydite.hardware.cluster.yaml_file import json_schema

__all__ = [
    "LINK_KINDS",
    "NODE_KINDS",
    "Cluster",
    "Economics",
    "Level",
    "Links",
    "Nodes",
    "Paths",
    "Ring",
    "best_ring",
    "degraded",
    "json_schema",
    "known_clusters",
    "make_cluster",
    "path_cost",
    "paths",
    "read_cluster",
    "read_resource_pool",
    "shared_bandwidth",
    "write_resource_pool",
]
