"""Max-min fair rates, worked out again only where something changed.

Progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2): the link that offers its flows
least fixes their rates, and leaves the rest of the other links to the others. Flows over one path
have one rate, so that paths are what is filled, each with the number of its flows. Only the links
and paths that a change can reach, through links in common, are filled again. Links that offer
exactly the same are fixed together, so neither the order of links nor what else is in the network
changes a bit of the result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]


class Fair(NamedTuple):
    """Links, paths, and room to fill them.

    Attributes:
        bandwidth: float64[links]; path_start, path_links: as in `Network`; cap: float64[paths].
        link_start: int64[links + 1]; link l's hops stand in `hops[link_start[l]:]`, those of paths
            with flows first.
        hops: int32, indices into `path_links`; place: int32, where each hop stands in `hops`.
        hop_path: int32, the path of each hop.
        busy: int32[links], how many of a link's paths have flows.
        flows: int32[paths], at the last filling.
        rate: float64[paths], bytes/s of each flow on it.
        links, paths: int32, those being filled; found: int64[2], how many; ...
        in_links, in_paths: bool, whether they are among them.
        left, load: float64 and int32[links], bandwidth and flows still without a rate.
        key, item: heap of offers: float64 and int32[links + paths]; a path's item is -1 - path.
        equal: int32[links + paths], items whose offers are equal.
        fixed: bool[paths].
    """

    bandwidth: Array
    path_start: Array
    path_links: Array
    cap: Array
    link_start: Array
    hops: Array
    place: Array
    hop_path: Array
    busy: Array
    flows: Array
    rate: Array
    links: Array
    paths: Array
    found: Array
    in_links: Array
    in_paths: Array
    left: Array
    load: Array
    key: Array
    item: Array
    equal: Array
    fixed: Array


@njit(nogil=True, error_model="numpy")
def _swap(fair: Fair, hop: int, at: int) -> None:
    """Move a hop to position `at` of its link, and what was there to where it was."""
    here, other = fair.place[hop], fair.hops[at]
    fair.hops[at], fair.hops[here] = hop, other
    fair.place[hop], fair.place[other] = at, here


@njit(nogil=True, error_model="numpy")
def _reach(fair: Fair, link: int) -> None:
    if not fair.in_links[link]:
        fair.in_links[link] = True
        fair.links[fair.found[0]] = link
        fair.found[0] += 1


@njit(nogil=True, error_model="numpy")
def change(fair: Fair, path: int, flows: int) -> None:
    """Note that `path` has another number of flows; its links are filled by the next `fill`."""
    before = fair.flows[path]
    fair.flows[path] = flows
    for hop in range(fair.path_start[path], fair.path_start[path + 1]):
        link = fair.path_links[hop]
        if before == 0:
            _swap(fair, hop, fair.link_start[link] + fair.busy[link])
            fair.busy[link] += 1
        elif flows == 0:
            fair.busy[link] -= 1
            _swap(fair, hop, fair.link_start[link] + fair.busy[link])
        _reach(fair, link)
    if flows == 0:
        fair.rate[path] = 0.0


@njit(nogil=True, error_model="numpy")
def _spread(fair: Fair) -> int:
    """Find all links and paths that the changed links reach; how many of the paths are unfixed."""
    at = 0
    while at < fair.found[0]:
        link = fair.links[at]
        at += 1
        fair.left[link], fair.load[link] = fair.bandwidth[link], 0
        begin = fair.link_start[link]
        for i in range(begin, begin + fair.busy[link]):
            path = fair.hop_path[fair.hops[i]]
            fair.load[link] += fair.flows[path]
            if not fair.in_paths[path]:
                fair.in_paths[path] = True
                fair.fixed[path] = False
                fair.paths[fair.found[1]] = path
                fair.found[1] += 1
                for hop in range(fair.path_start[path], fair.path_start[path + 1]):
                    _reach(fair, fair.path_links[hop])
    return fair.found[1]


@njit(nogil=True, error_model="numpy")
def _sink(fair: Fair, at: int, size: int) -> None:
    key, item = fair.key[at], fair.item[at]
    below = 2 * at + 1
    while below < size:
        if below + 1 < size and fair.key[below + 1] < fair.key[below]:
            below += 1
        if fair.key[below] >= key:
            break
        fair.key[at], fair.item[at] = fair.key[below], fair.item[below]
        at = below
        below = 2 * at + 1
    fair.key[at], fair.item[at] = key, item


@njit(nogil=True, error_model="numpy")
def _offers(fair: Fair) -> int:
    """Heap what each link offers each of its flows, and the caps; the heap's size."""
    size = 0
    for i in range(fair.found[0]):
        link = fair.links[i]
        if fair.load[link] > 0:
            fair.key[size], fair.item[size] = fair.left[link] / fair.load[link], link
            size += 1
    for i in range(fair.found[1]):
        path = fair.paths[i]
        if fair.cap[path] < np.inf:
            fair.key[size], fair.item[size] = fair.cap[path], -1 - path
            size += 1
    for at in range((size >> 1) - 1, -1, -1):
        _sink(fair, at, size)
    return size


@njit(nogil=True, error_model="numpy")
def _least(fair: Fair, size: int) -> tuple[float, int, int]:
    """Take all items whose offers are least and equal: the offer, how many, the heap's size then.

    What a link offers only grows as flows are fixed, so an old offer is renewed when it comes up.
    """
    least, count = 0.0, 0
    while size > 0 and (count == 0 or fair.key[0] == least):
        item = fair.item[0]
        if item >= 0 and fair.load[item] > 0:
            offer = fair.left[item] / fair.load[item]
            if offer != fair.key[0]:
                fair.key[0] = offer
                _sink(fair, 0, size)
                continue
        if fair.load[item] > 0 if item >= 0 else not fair.fixed[-1 - item]:
            least = fair.key[0]
            fair.equal[count] = item
            count += 1
        size -= 1
        fair.key[0], fair.item[0] = fair.key[size], fair.item[size]
        _sink(fair, 0, size)
    return least, count, size


@njit(nogil=True, error_model="numpy")
def _fix(fair: Fair, path: int, rate: float) -> int:
    if fair.fixed[path]:
        return 0
    fair.fixed[path] = True
    fair.rate[path] = rate
    flows = fair.flows[path]
    for hop in range(fair.path_start[path], fair.path_start[path + 1]):
        link = fair.path_links[hop]
        fair.left[link] -= rate * flows
        fair.load[link] -= flows
    return 1


@njit(nogil=True, error_model="numpy")
def fill(fair: Fair) -> None:
    """Work out the rates of `fair.paths[:fair.found[1]]`, all that the changes can reach."""
    unfixed = _spread(fair)
    size = _offers(fair)
    while unfixed > 0:
        rate, count, size = _least(fair, size)
        for i in range(count):
            item = fair.equal[i]
            if item < 0:
                unfixed -= _fix(fair, -1 - item, rate)
                continue
            begin = fair.link_start[item]
            for at in range(begin, begin + fair.busy[item]):
                unfixed -= _fix(fair, fair.hop_path[fair.hops[at]], rate)


@njit(nogil=True, error_model="numpy")
def forget(fair: Fair) -> None:
    """Be done with the last filling."""
    for i in range(fair.found[0]):
        fair.in_links[fair.links[i]] = False
    for i in range(fair.found[1]):
        fair.in_paths[fair.paths[i]] = False
    fair.found[:] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def rates(fair: Fair, flows: Array) -> None:
    """Fill the whole network at once, with `flows` on each path; the answer is `fair.rate`."""
    for path in range(len(flows)):
        if flows[path] > 0:
            change(fair, path, flows[path])
    fill(fair)
