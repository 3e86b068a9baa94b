"""Clusters: hosts with devices, the links between them, and the paths that messages take."""

from typing import TYPE_CHECKING

from lydite.hardware.cluster.build import check_reachable
from lydite.hardware.cluster.design import WORLD_GRID_KG_PER_KWH, WORLD_GRID_SOURCE
from lydite.hardware.cluster.elements import (
    CPU,
    DEVICE,
    LINK_KINDS,
    NODE_KINDS,
    SWITCH,
    Level,
    Links,
    Nodes,
)
from lydite.hardware.cluster.files import CLUSTER_FILES, ClusterFile
from lydite.hardware.cluster.ring import Ring, best_ring, shared_bandwidth
from lydite.hardware.cluster.route import Paths, Router
from lydite.hardware.cluster.select import known_clusters, make_cluster, read_cluster
from lydite.hardware.cluster.topology import Cluster, Economics, degraded, path_cost, paths
from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.hardware.cluster.yaml_file import json_schema

__all__ = [
    "CLUSTER_FILES",
    "CPU",
    "DEVICE",
    "LINK_KINDS",
    "NODE_KINDS",
    "SWITCH",
    "WORLD_GRID_KG_PER_KWH",
    "WORLD_GRID_SOURCE",
    "Cluster",
    "ClusterFile",
    "Economics",
    "Level",
    "Links",
    "Nodes",
    "Paths",
    "Ring",
    "Router",
    "best_ring",
    "check_reachable",
    "degraded",
    "json_schema",
    "known_clusters",
    "make_cluster",
    "path_cost",
    "paths",
    "read_cluster",
    "shared_bandwidth",
]

__getattr__ = lazily(__name__, {"json_schema": "yaml_file"})
