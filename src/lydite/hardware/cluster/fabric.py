"""The network between hosts: one switch, leaves and spines, or rails; more levels if needed.

Each cable between switches is its own link, so that flows hashed onto one cable share it as they do
in a real fabric. Leaves, spines and cores have `radix` ports. Up to `radix` leaves, every leaf goes
to every spine; beyond, leaves form pods with their own spines, and spine k of each pod goes to the
cores of group k, in a fourth level where there are more pods than ports (a folded Clos network;
Al-Fares et al., SIGCOMM 2008).
"""

from __future__ import annotations

import math

import numpy as np

from lydite.errors import InputError
from lydite.hardware.cluster.columns import Columns
from lydite.hardware.cluster.design import Fabric, Host
from lydite.hardware.cluster.elements import CORE, LEAF, SPINE, SWITCH, Ints, Level


def build_fabric(
    fabric: Fabric | None, host: Host, hosts: int, where: str
) -> tuple[Columns, Ints, tuple[Level, ...]]:
    """Build the fabric: its columns, each card's switch [hosts, cards], and the levels above hosts.

    Raises:
        InputError: a switch has too few ports.
    """
    columns = Columns()
    cards = len(host.cards.under) if host.cards is not None and fabric is not None else 0
    if fabric is None or not cards:
        return columns, np.zeros((hosts, 0), np.int32), ()
    if fabric.kind == "switch":
        columns.add(SWITCH, 1)
        return columns, np.zeros((hosts, cards), np.int32), ()
    rails = cards if fabric.kind == "rail-optimised" else 1
    down = fabric.hosts_per_leaf * cards // rails
    up = max(1, round(down / fabric.oversubscription))
    if down + up > fabric.radix:
        raise InputError(
            f"a leaf needs {down} ports down and {up} up, and has {fabric.radix}",
            where=f"{where}: fabric",
            allowed="a larger radix, fewer hosts_per_leaf or more oversubscription",
        )
    groups = math.ceil(hosts / fabric.hosts_per_leaf)
    group = np.arange(hosts, dtype=np.int32)[:, None] // fabric.hosts_per_leaf
    rail = np.arange(cards, dtype=np.int32)[None, :] * rails // cards
    leaves = columns.add(LEAF, groups * rails)
    if len(leaves) > 1:
        _spines(columns, fabric, np.array(leaves), up, rails, where)
    out = up * rails * fabric.wire.bandwidth_bytes_per_s
    ranks = fabric.hosts_per_leaf * host.devices
    levels = (Level("leaf", groups, ranks, out, fabric.wire.latency_s),) if groups > 1 else ()
    return columns, (group * rails + rail).astype(np.int32), levels


def _spines(
    columns: Columns,
    fabric: Fabric,
    leaves: np.ndarray,
    up: int,
    rails: int,
    where: str,
    kind: int = SPINE,
) -> None:
    """Connect switches to those above them, in as many levels as their number needs.

    Args:
        columns: Columns to add to.
        fabric: The fabric.
        leaves: Switches to connect.
        up: Cables up from each of them.
        rails: Number of neighbouring leaves that stay in one pod.
        where: Place for errors.
        kind: Kind of the switches above: spines, or cores above spines and cores.
    """
    if len(leaves) <= fabric.radix:
        above = np.array(columns.add(kind, math.ceil(len(leaves) * up / fabric.radix)))
        _cables(columns, leaves, above, up, fabric)
        return
    per_pod = fabric.radix // 2 // rails * rails
    if per_pod == 0:
        raise InputError(
            f"{rails} rails do not fit in half of {fabric.radix} ports", where=f"{where}: fabric"
        )
    pods = math.ceil(len(leaves) / per_pod)
    spines = np.array(columns.add(kind, pods * up)).reshape(pods, up)
    for pod in range(pods):
        _cables(columns, leaves[pod * per_pod : (pod + 1) * per_pod], spines[pod], up, fabric)
    for at in range(up):
        _spines(columns, fabric, spines[:, at], per_pod, 1, where, CORE)


def _cables(columns: Columns, low: np.ndarray, high: np.ndarray, each: int, fabric: Fabric) -> None:
    """Connect `each` cables from every node of `low`, distributed over `high` in turn."""
    bottom = np.repeat(low, each)
    columns.connect(bottom, high[np.arange(len(bottom)) % len(high)], fabric.wire)
