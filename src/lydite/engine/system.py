"""The simulated system: servers, links and paths, and interference between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lydite.engine.columns import LIMIT_PS, column, offsets, refuse
from lydite.errors import InputError
from lydite.records import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Servers:
    """Servers such as streams, channels or pools; each runs one task per slot at a time.

    Attributes:
        slots: int32[servers], number of slots of each server, at least 1.
        by_priority: bool[servers], whether a server takes tasks by (priority, arrival) instead of
            by arrival. Neither preempts.
        group: int32[servers], interference group of each server; -1 for none. Tasks on servers of
            one group slow each other by `Interference`.
        names: Name of each server, for reports; may be empty.
    """

    slots: np.ndarray[Any, Any]
    by_priority: np.ndarray[Any, Any]
    group: np.ndarray[Any, Any]
    names: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        count: int,
        *,
        slots: npt.ArrayLike = 1,
        by_priority: npt.ArrayLike = False,
        group: npt.ArrayLike = -1,
        names: Sequence[str] = (),
    ) -> Servers:
        """`count` servers; a single value holds for all of them.

        Raises:
            InputError: a column of another length or type, or a server without a slot.
        """
        made = cls(
            column(slots, np.int32, count, "slots"),
            column(by_priority, np.bool_, count, "by_priority"),
            column(group, np.int32, count, "group"),
            names,
        )
        refuse(made.slots < 1, "no slots", "server {}", "at least 1")
        refuse(made.group < -1, "negative group", "server {}", "-1 for none")
        if names and len(names) != count:
            raise InputError(f"has {len(names)} entries", where="names", allowed=f"0 or {count}")
        return made

    def __len__(self) -> int:
        return self.slots.size


@dataclass(frozen=True, slots=True, eq=False)
class LinkNetwork:
    """Directed links and the paths over them.

    A flow on a path of fair links waits for the sum of their latencies, then transfers its bytes at
    the max-min fair rate over all of them at once, at most `path_cap`. On a path of FIFO links,
    whole messages are stored and forwarded: on each link in turn a message waits for earlier ones,
    holds the link for bytes / bandwidth, and arrives after the link's latency.

    Attributes:
        bandwidth: float64[links], bandwidth in bytes/s.
        latency_ps: int64[links], latency in picoseconds.
        fifo: bool[links], whether a link sends one message at a time instead of sharing fairly.
        path_start: int64[paths + 1]: path p is `path_links[path_start[p]:path_start[p+1]]`.
        path_links: int32, link numbers in order.
        path_cap: float64[paths], highest rate of one flow on the path in bytes/s; inf for no cap.
        path_times: int32, parallel to `path_links`: number of identical flows that cross the link
            at the same time. One flow then represents several that begin, proceed and end together
            (such as the messages of a ring), and takes that many shares of the link.
    """

    bandwidth: np.ndarray[Any, Any]
    latency_ps: np.ndarray[Any, Any]
    fifo: np.ndarray[Any, Any]
    path_start: np.ndarray[Any, Any]
    path_links: np.ndarray[Any, Any]
    path_cap: np.ndarray[Any, Any]
    path_times: np.ndarray[Any, Any]

    @classmethod
    def of(
        cls,
        bandwidth: npt.ArrayLike,
        path_start: npt.ArrayLike,
        path_links: npt.ArrayLike,
        *,
        latency_ps: npt.ArrayLike = 0,
        fifo: npt.ArrayLike = False,
        path_cap: npt.ArrayLike = np.inf,
        path_times: npt.ArrayLike = 1,
    ) -> LinkNetwork:
        """Check and convert columns; a single value holds for all links or paths.

        Raises:
            InputError: a rate that is not above 0, a negative latency, a path that is empty, uses
                an unknown link, the same link twice, or both FIFO and fair links; a hop that
                stands for fewer than one flow, or for several over FIFO links.
        """
        rates = column(bandwidth, np.float64, None, "bandwidth")
        hops = column(path_links, np.int32, None, "path_links")
        starts = offsets(path_start, hops.size, None, "path_start")
        made = cls(
            rates,
            column(latency_ps, np.int64, rates.size, "latency_ps"),
            column(fifo, np.bool_, rates.size, "fifo"),
            starts,
            hops,
            column(path_cap, np.float64, starts.size - 1, "path_cap"),
            column(path_times, np.int32, hops.size, "path_times"),
        )
        made._check()
        return made

    def _check(self) -> None:
        above = "finite, above 0"
        refuse(~(np.isfinite(self.bandwidth) & (self.bandwidth > 0)), "bandwidth", "link {}", above)
        late = (self.latency_ps < 0) | (self.latency_ps > LIMIT_PS)
        refuse(late, "latency out of range", "link {}", f"0 to {LIMIT_PS} ps")
        refuse(~(self.path_cap > 0), "invalid rate cap", "path {}", "above 0; inf for none")
        refuse(np.diff(self.path_start) == 0, "has no links", "path {}")
        owner = self.hop_path()
        strange = (self.path_links < 0) | (self.path_links >= self.bandwidth.size)
        refuse(self._paths(owner, strange), "unknown link", "path {}", f"below {len(self)}")
        order = np.lexsort((self.path_links, owner))
        again = (np.diff(owner[order]) == 0) & (np.diff(self.path_links[order]) == 0)
        refuse(self._paths(owner[order][1:], again), "uses a link twice", "path {}")
        mixed = self.fifo[self.path_links] != self.stored()[owner]
        refuse(self._paths(owner, mixed), "mixes FIFO and fair links", "path {}")
        capped = self.stored() & np.isfinite(self.path_cap)
        refuse(capped, "has a rate cap over FIFO links", "path {}")
        refuse(
            self._paths(owner, self.path_times < 1), "represents no flow", "path {}", "at least 1"
        )
        several = self.stored()[owner] & (self.path_times > 1)
        refuse(self._paths(owner, several), "represents several flows over FIFO links", "path {}")

        late = np.add.reduceat(self.latency_ps.astype(float)[self.path_links], self.path_start[:-1])
        refuse(late > LIMIT_PS, "latency out of range", "path {}", f"0 to {LIMIT_PS} ps")

    def _paths(self, owner: np.ndarray[Any, Any], bad: np.ndarray[Any, Any]) -> np.ndarray:
        return np.bincount(owner[bad], minlength=self.path_cap.size) > 0

    def hop_path(self) -> np.ndarray[Any, Any]:
        """The path of each entry of `path_links`."""
        paths = np.arange(self.path_cap.size, dtype=np.int32)
        return np.repeat(paths, np.diff(self.path_start))

    def stored(self) -> np.ndarray[Any, Any]:
        """For each path whether it is store-and-forward."""
        return self.fifo[self.path_links[self.path_start[:-1]]]

    def __len__(self) -> int:
        return self.bandwidth.size


@dataclass(frozen=True, slots=True, eq=False)
class Interference:
    """Slowdown of work by other work on the same group of servers.

    Attributes:
        rates: float64[groups, categories, categories]: `rates[g, a, b]` multiplies the speed of
            running work of category a while at least one other task of category b holds a server
            of group g. Several such categories multiply. Flows slow others and are not slowed.
    """

    rates: np.ndarray[Any, Any]

    @classmethod
    def of(cls, rates: npt.ArrayLike, groups: int) -> Interference:
        """One table (categories x categories) for all groups, or one for each.

        Raises:
            InputError: of another shape, or a rate that is not above 0.
        """
        table = np.asarray(rates, np.float64)
        if table.ndim not in (2, 3) or table.shape[-1] != table.shape[-2]:
            raise InputError(
                "not a table", where="rates", allowed="[groups,] categories, categories"
            )
        if table.ndim == 3 and len(table) != groups:
            raise InputError(f"{len(table)} tables", where="rates", allowed=f"1 or {groups}")
        if not (np.isfinite(table) & (table > 0)).all():
            raise InputError("rate out of range", where="rates", allowed="finite, above 0")
        return cls(np.ascontiguousarray(np.broadcast_to(table, (groups, *table.shape[-2:]))))
