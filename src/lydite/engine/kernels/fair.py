"""Max-min fair rates, recomputed incrementally where the network's flows changed.

Progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2): the link with the smallest fair
share fixes the rates of its flows; the other links share what remains among their other flows.
Flows on one path have the same rate, so paths are filled, each with its number of flows. Only
links and paths that are connected to a change through shared links are filled again. Links with
exactly equal shares are fixed together, so that the result is the same to the bit whatever the
order of links and whatever else the network contains.
"""

from __future__ import annotations

import numpy as np

from lydite.engine.kernels.jit import inlined, kernel
from lydite.engine.kernels.layout import LINKS, PATHS, Array


@inlined
def _swap(hops: Array, hop: int, at: int) -> None:
    """Move a hop to position `at` of its link, and the hop at that position to where it was."""
    here, other = hops[hop].place, hops[at].at_link
    hops[at].at_link, hops[here].at_link = hop, other
    hops[hop].place, hops[other].place = at, here


@inlined
def reach(links: Array, count: Array, link: int) -> None:
    """Let the next `fill` update a link."""
    if not links[link].is_reached:
        links[link].is_reached = True
        links[count[LINKS]].list_reached = link
        count[LINKS] += 1


@inlined
def place_hops(links: Array, paths: Array, hops: Array, path: int, flows: int) -> None:
    """Set the number of flows of a path, and order the hops of its links: busy ones first."""
    before = paths[path].flows
    paths[path].flows = flows
    if (before == 0) == (flows == 0):
        return
    for hop in range(paths[path].begin, paths[path].end):
        link = hops[hop].link
        if before == 0:
            _swap(hops, hop, links[link].begin + links[link].busy)
            links[link].busy += 1
        else:
            links[link].busy -= 1
            _swap(hops, hop, links[link].begin + links[link].busy)


@inlined
def change(links: Array, paths: Array, hops: Array, count: Array, path: int, flows: int) -> None:
    """Record that `path` has another number of flows; the next `fill` updates its links."""
    place_hops(links, paths, hops, path, flows)
    for hop in range(paths[path].begin, paths[path].end):
        reach(links, count, hops[hop].link)


@inlined
def _spread(links: Array, paths: Array, hops: Array, count: Array) -> None:
    """Find all links and paths that the changed links reach."""
    i = 0
    while i < count[LINKS]:
        link = links[i].list_reached
        i += 1
        load, begin = 0, links[link].begin
        for at in range(begin, begin + links[link].busy):
            hop_here = hops[at].at_link
            path = hops[hop_here].path
            load += paths[path].flows * hops[hop_here].times
            if not paths[path].is_reached:
                paths[path].is_reached = True
                paths[path].is_fixed = False
                paths[count[PATHS]].list_reached = path
                count[PATHS] += 1
                for hop in range(paths[path].begin, paths[path].end):
                    reach(links, count, hops[hop].link)
        links[link].left, links[link].load = links[link].bandwidth, load


@inlined
def _sink(offers: Array, size: int, at: int, rate: float, item: int) -> None:
    below = 2 * at + 1
    while below < size:
        if below + 1 < size and offers[below + 1].rate < offers[below].rate:
            below += 1
        if offers[below].rate >= rate:
            break
        offers[at].rate, offers[at].item = offers[below].rate, offers[below].item
        at = below
        below = 2 * at + 1
    offers[at].rate, offers[at].item = rate, item


@inlined
def _offer(links: Array, paths: Array, offers: Array, count: Array) -> int:
    """Build a heap of each link's fair share and each path's cap, and return its size."""
    size = 0
    for i in range(count[LINKS]):
        link = links[i].list_reached
        if links[link].load > 0:
            # Most links of a large network carry one flow; a division costs more than a test.
            offers[size].rate = links[link].left
            if links[link].load > 1:
                offers[size].rate /= links[link].load
            offers[size].item = link
            size += 1
    for i in range(count[PATHS]):
        path = paths[i].list_reached
        if paths[path].cap < np.inf:
            offers[size].rate, offers[size].item = paths[path].cap, -1 - path
            size += 1
    for at in range((size >> 1) - 1, -1, -1):
        below, rate = 2 * at + 1, offers[at].rate
        if offers[below].rate < rate or (below + 1 < size and offers[below + 1].rate < rate):
            _sink(offers, size, at, rate, offers[at].item)
    return size


@inlined
def _least(links: Array, paths: Array, offers: Array, size: int) -> tuple[float, int, int]:
    """Remove all items with the smallest offer; return the offer, their number and the heap's size.

    A link's offer only grows as flows are fixed, so an outdated offer is renewed when it comes up.
    """
    least, equal = 0.0, 0
    while size > 0 and (equal == 0 or offers[0].rate == least):
        item, rate = offers[0].item, offers[0].rate
        if item < 0:
            counts = not paths[-1 - item].is_fixed
        else:
            counts = links[item].load > 0
            if counts:
                offer = links[item].left / links[item].load
                if offer != rate:
                    _sink(offers, size, 0, offer, item)
                    continue
        if counts:
            least = rate
            offers[equal].list_equal = item
            equal += 1
        size -= 1
        _sink(offers, size, 0, offers[size].rate, offers[size].item)
    return least, equal, size


@inlined
def _fix(links: Array, paths: Array, hops: Array, path: int, rate: float) -> int:
    if paths[path].is_fixed:
        return 0
    paths[path].is_fixed = True
    paths[path].rate = rate
    flows = paths[path].flows
    for hop in range(paths[path].begin, paths[path].end):
        link = hops[hop].link
        carried = flows * hops[hop].times
        links[link].left -= rate * carried
        links[link].load -= carried
    return 1


@inlined
def fill(links: Array, paths: Array, hops: Array, offers: Array, count: Array) -> None:
    """Compute the rates of all paths that the changes affect: the list of `count[PATHS]`."""
    _spread(links, paths, hops, count)
    size = _offer(links, paths, offers, count)
    unfixed = count[PATHS]
    while unfixed > 0:
        rate, equal, size = _least(links, paths, offers, size)
        for i in range(equal):
            item = offers[i].list_equal
            if item < 0:
                unfixed -= _fix(links, paths, hops, -1 - item, rate)
                continue
            begin = links[item].begin
            for at in range(begin, begin + links[item].busy):
                unfixed -= _fix(links, paths, hops, hops[hops[at].at_link].path, rate)


@inlined
def forget(links: Array, paths: Array, count: Array) -> None:
    """Clear the lists of affected links and paths after a filling."""
    for i in range(count[LINKS]):
        links[links[i].list_reached].is_reached = False
    for i in range(count[PATHS]):
        paths[paths[i].list_reached].is_reached = False
    count[LINKS] = count[PATHS] = 0


@kernel
def rates(
    links: Array, paths: Array, hops: Array, offers: Array, count: Array, flows: Array
) -> None:
    """Fill the whole network at once with `flows` on each path; sets each path's `rate`."""
    for path in range(len(flows)):
        if flows[path] > 0:
            change(links, paths, hops, count, path, flows[path])
    fill(links, paths, hops, offers, count)
