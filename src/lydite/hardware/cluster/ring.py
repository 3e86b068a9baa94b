"""The best rings of a group of ranks, which give the bandwidth of its collectives.

Within a host without a switch, rings follow the direct links: the mesh is decomposed into as many
rings as it contains (the hybrid cube mesh of a DGX-1 holds three, each usable both ways). Across
hosts there is a ring for every network card that the group can use, and every second host is
traversed in the opposite direction, so that a ring leaves and enters by the same rail, as NCCL's
channels do. Parts of a host without a direct link between them (the hives of an MI100 box) are
treated like hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lydite.engine import distinct
from lydite.errors import InputError
from lydite.hardware.cluster.elements import Floats, Ints
from lydite.hardware.cluster.route import Paths
from lydite.hardware.cluster.topology import Cluster, path_cost, paths
from lydite.records import dataclass

_SEARCHED = 8  # limit on ranks of a host whose rings are searched; above it the order is kept
_TRIES = 50_000


@dataclass(frozen=True, eq=False)
class Ring:
    """Rings that share the data of one collective evenly.

    Attributes:
        orders: [rings, ranks] ranks in the order of each ring.
        paths: Path of each hop; hop h of ring r is path `r * ranks + h`.
        bandwidth_bytes_per_s: Data per second that all rings together pass from each rank to the
            next, with every hop busy (the bus bandwidth of nccl-tests).
        load: [links] share of that data that crosses each link. Equivalent cables between switches
            count together, as with adaptive routing.
        inside_latency_s: Longest latency of a hop within a host; None if there is none.
        across_latency_s: Longest latency of a hop between hosts; None if there is none.
        hosts: Number of hosts that the group spans.
        cards: Number of network cards that it uses per host.
    """

    orders: Ints
    paths: Paths
    bandwidth_bytes_per_s: float
    load: Floats
    inside_latency_s: float | None
    across_latency_s: float | None
    hosts: int
    cards: int


def best_ring(cluster: Cluster, ranks: npt.ArrayLike) -> Ring:
    """The rings of a group that has the cluster to itself.

    Raises:
        InputError: fewer than two ranks, a rank that does not exist or occurs twice, or two ranks
            without a path.
    """
    group = np.asarray(ranks, np.int32).ravel()
    if len(group) < 2 or len(distinct(group)) < len(group):
        raise InputError("a ring needs two different ranks or more", where=cluster.name)
    if group.min() < 0 or group.max() >= cluster.ranks:
        bad = int(group.max() if group.max() >= cluster.ranks else group.min())
        raise InputError(f"no rank {bad} in '{cluster.name}'", allowed=f"0 to {cluster.ranks - 1}")
    host = cluster.host_of_rank[group]
    order = np.argsort(host, kind="stable")
    members = np.split(group[order], np.flatnonzero(np.diff(host[order])) + 1)
    if len(members) == 1:
        islands = _islands(cluster, group)
        if len(islands) > 1:
            orders = _across(cluster, islands, [[[at] for at in range(len(i))] for i in islands])
        else:
            orders = _inside(cluster, group)
        return _ring(cluster, orders, 1, 0)
    orders = _across(cluster, members, [_cards(cluster, ranks) for ranks in members])
    return _ring(cluster, orders, len(members), len(orders) if _has_cards(cluster) else 0)


def shared_bandwidth(cluster: Cluster, rings: Sequence[Ring]) -> Floats:
    """[groups] bytes/s of each group's rings when all groups run at the same time.

    Every link is divided among the groups that cross it in proportion to their load on it.
    """
    total = np.sum([ring.load for ring in rings], axis=0)
    return np.array(
        [_bandwidth(cluster, ring.paths, ring.load, total, len(ring.orders)) for ring in rings]
    )


def _bandwidth(
    cluster: Cluster, group_paths: Paths, load: Floats, total: Floats, rings: int
) -> float:
    """Bytes/s of one group on links that carry `total`, with each message on one path."""
    bundle, count = cluster.router.bundle, len(total)
    used = np.bincount(bundle, load, count) > 0
    capacity = np.bincount(bundle, cluster.links.bandwidth_bytes_per_s, count)[used]
    narrowest = cluster.links.bandwidth_bytes_per_s[group_paths.links].min()
    return float(min((capacity / np.bincount(bundle, total, count)[used]).min(), rings * narrowest))


def _ring(cluster: Cluster, orders: Ints, hosts: int, cards: int) -> Ring:
    nodes = cluster.device_node[orders]
    onward = np.roll(nodes, -1, axis=1)
    channel = np.repeat(np.arange(len(orders)), orders.shape[1])
    hops = paths(cluster, nodes.ravel(), onward.ravel(), channel)
    load = np.bincount(hops.links, minlength=len(cluster.links)) / len(orders)
    _, latency = path_cost(cluster, hops)
    leaves = (cluster.nodes.host[nodes] != cluster.nodes.host[onward]).ravel()
    return Ring(
        orders=orders,
        paths=hops,
        bandwidth_bytes_per_s=_bandwidth(cluster, hops, load, load, len(orders)),
        load=load,
        inside_latency_s=float(latency[~leaves].max()) if not leaves.all() else None,
        across_latency_s=float(latency[leaves].max()) if leaves.any() else None,
        hosts=hosts,
        cards=cards,
    )


def _inside(cluster: Cluster, ranks: Ints) -> Ints:
    """[rings, ranks] rings within one host."""
    cycles = _cycles(cluster, ranks)
    if not cycles:
        return ranks[None, :]
    if len(ranks) > 2:
        cycles += [cycle[::-1] for cycle in cycles]
    return ranks[np.array(cycles)]


def _across(cluster: Cluster, members: list[Ints], exits: list[list[list[int]]]) -> Ints:
    """[rings, ranks] rings over several hosts (or islands), one for each exit that all have.

    Args:
        cluster: Cluster whose links the rings use.
        members: Ranks of each host.
        exits: Cards that each rank of each host has to itself.
    """
    layout, known = cluster.layout, dict[bytes, list[list[int]]]()
    orders: list[list[list[int]]] = []
    for ranks, cards in zip(members, exits, strict=True):
        nodes = cluster.device_node[ranks]
        key = (nodes if layout is None else nodes % len(layout.template)).tobytes()
        if key not in known:
            known[key] = _host_orders(cluster, ranks, cards)
        orders.append(known[key])
    count = min(len(rings) for rings in orders)
    pieces = [ranks[np.array(rings[:count])] for ranks, rings in zip(members, orders, strict=True)]
    return np.concatenate([p[:, ::-1] if at % 2 else p for at, p in enumerate(pieces)], axis=1)


def _host_orders(cluster: Cluster, ranks: Ints, cards: list[list[int]]) -> list[list[int]]:
    """Orders of the ranks of a host (as positions), one for each card that they can use.

    Each starts at a rank that has the card; the last ranks have different cards, and the cycles of
    the mesh are used as evenly as possible.
    """
    starts = {card: at for at, of_rank in reversed(list(enumerate(cards))) for card in of_rank}
    cycles = _cycles(cluster, ranks) or [list(range(len(ranks)))]
    both = [*cycles, *(cycle[::-1] for cycle in cycles)]
    wanted = [start for _, start in sorted(starts.items())]
    last = [[cards[cycle[cycle.index(start) - 1]][0] for cycle in both] for start in wanted]
    chosen = _spread(last, len(both))
    turned = []
    for start, at in zip(wanted, chosen, strict=True):
        first = both[at].index(start)
        turned.append([*both[at][first:], *both[at][:first]])
    return turned


def _spread(last: list[list[int]], cycles: int) -> list[int]:
    """Choose a cycle for each start so that no card is left by twice and cycles are used evenly.

    Args:
        last: For each start and cycle, the card by which that ring would leave.
        cycles: Number of cycles.
    """

    def extend(taken: list[int], most: int) -> list[int] | None:
        if len(taken) == len(last):
            return taken
        row, left = last[len(taken)], {last[at][c] for at, c in enumerate(taken)}
        for cycle in range(cycles):
            if row[cycle] not in left and taken.count(cycle) < most:
                rest = extend([*taken, cycle], most)
                if rest is not None:
                    return rest
        return None

    for most in range(-(-len(last) // cycles), len(last) + 1 if len(last) <= _SEARCHED * 2 else 0):
        choice = extend([], most)
        if choice is not None:
            return choice
    return [0] * len(last)


def _islands(cluster: Cluster, ranks: Ints) -> list[Ints]:
    """The ranks of a host, split where no direct link joins them (if it has direct links)."""
    linked = _direct(cluster, ranks) > 0
    islands: list[Ints] = []
    left = set(range(len(ranks)))
    while left and linked.any():
        island, todo = set[int](), [min(left)]
        while todo:
            at = todo.pop()
            if at not in island:
                island.add(at)
                todo += np.flatnonzero(linked[at]).tolist()
        islands.append(ranks[sorted(island)])
        left -= island
    return islands


def _has_cards(cluster: Cluster) -> bool:
    return cluster.layout is not None and cluster.layout.cards > 0


def _cards(cluster: Cluster, ranks: Ints) -> list[list[int]]:
    """Network cards that each rank of a host has to itself; card 0 where none is known."""
    layout = cluster.layout
    if layout is None or not _has_cards(cluster):
        return [[0]] * len(ranks)
    local = cluster.device_node[ranks] % len(layout.template)
    return [cluster.router.cards.of(int(node)) for node in local]


def _cycles(cluster: Cluster, ranks: Ints) -> list[list[int]]:
    """Rings over direct links only, as positions; empty with a switch or if no ring exists."""
    count = len(ranks)
    if not 2 <= count <= _SEARCHED:
        return []
    left = _direct(cluster, ranks)
    if count == 2:
        return [[0, 1]] * int(left[0, 1])
    return [list(cycle) for cycle in _mesh_cycles(left.tobytes(), count)]


@lru_cache(maxsize=256)
def _mesh_cycles(table: bytes, count: int) -> list[list[int]]:
    left = np.frombuffer(table, np.int64).reshape(count, count)
    cycles = [c for c in _hamiltonian(left > 0) if c[1] < c[-1]]
    return _packed(left, cycles, [], iter(range(_TRIES)))


def _direct(cluster: Cluster, ranks: Ints) -> npt.NDArray[np.int64]:
    """[ranks, ranks] number of direct links between devices, in units of the narrowest."""
    nodes, links = cluster.device_node[ranks], cluster.links
    at = np.full(len(cluster.nodes), -1)
    at[nodes] = np.arange(len(nodes))
    source, target = at[links.source], at[links.target]
    both = (source >= 0) & (target >= 0)
    table = np.zeros((len(nodes), len(nodes)))
    if both.any():
        # Nominal bandwidth: a degraded link must not make its neighbours count as several.
        nominal = cluster.router.links.bandwidth_bytes_per_s[both]
        np.add.at(table, (source[both], target[both]), nominal / nominal.min())
    return np.minimum(np.floor(table + 1e-9), _SEARCHED).astype(np.int64)


def _hamiltonian(linked: npt.NDArray[np.bool_]) -> list[list[int]]:
    """All Hamiltonian cycles, starting at node 0."""
    done: list[list[int]] = []
    todo = [[0]]
    while todo:
        path = todo.pop()
        if len(path) == len(linked):
            if linked[path[-1], 0]:
                done.append(path)
            continue
        todo += [[*path, n] for n in np.flatnonzero(linked[path[-1]]).tolist() if n not in path]
    return sorted(done)


def _packed(
    left: npt.NDArray[np.int64],
    cycles: list[list[int]],
    taken: list[list[int]],
    tries: Iterator[int],
) -> list[list[int]]:
    """As many edge-disjoint rings as the links hold, found within the given number of tries."""
    most = int(left.sum(1).min()) // 2
    best = taken
    for at, cycle in enumerate(cycles):
        if next(tries, None) is None:
            break
        onward_from, onward_to = np.array(cycle), np.roll(cycle, -1)
        if (left[onward_from, onward_to] > 0).all():
            rest = left.copy()
            rest[onward_from, onward_to] -= 1
            rest[onward_to, onward_from] -= 1
            packed = _packed(rest, cycles[at:], [*taken, cycle], tries)
            if len(packed) > len(best):
                best = packed
            if len(best) - len(taken) >= most:
                break
    return best
