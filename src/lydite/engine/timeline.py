"""Result of a simulation: start and end of every task, and figures derived from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from lydite.engine.intervals import exposed, length, union
from lydite.engine.repeated import Repeated
from lydite.engine.system import LinkNetwork, Servers
from lydite.engine.tasks import Tasks
from lydite.results import OneLine
from lydite.units import format_seconds

Array = np.ndarray[Any, Any]


class Timeline(OneLine):
    """Start and end of each task.

    Attributes:
        tasks, servers, network: Tasks, servers and network that were simulated.
        start_ps: int64[tasks], time in picoseconds at which a task takes a slot of its server, or
            without a server at which its last dependency ends.
    """

    __slots__ = ("_end_ps", "network", "servers", "start_ps", "tasks")

    def __init__(
        self,
        tasks: Tasks | Repeated,
        servers: Servers,
        network: LinkNetwork | None,
        start_ps: Array,
        end_ps: Array,
    ) -> None:
        self.tasks, self.servers, self.network = tasks, servers, network
        self.start_ps, self._end_ps = start_ps, end_ps

    @property
    def end_ps(self) -> Array:
        """Time in picoseconds at which each task ends; int64[tasks]."""
        return self._end_ps

    @property
    def makespan_ps(self) -> int:
        """End of the last task in picoseconds; 0 without tasks."""
        return int(self.end_ps.max(initial=0))

    @property
    def span_ps(self) -> Array:
        """Time from start to end of each task in picoseconds; int64[tasks]."""
        return self.end_ps - self.start_ps

    def spans_of(self, tasks: Array) -> Array:
        """Time from start to end of some tasks in picoseconds; int64."""
        return self.end_ps[tasks] - self.start_ps[tasks]

    def categories_of(self, tasks: Array) -> Array:
        """Categories of some tasks; int16."""
        return self.tasks.category[tasks]

    def servers_of(self, tasks: Array) -> Array:
        """Servers of some tasks; int32, -1 for none."""
        return self.tasks.resource[tasks]

    def busy_ps(self) -> Array:
        """Busy time of each server in picoseconds, summed over its slots; int64[servers]."""
        return _sum(self.tasks.resource, self.span_ps, len(self.servers))

    def utilisation(self) -> Array:
        """Share of each server's slot time in use until the makespan; NaN if that is 0."""
        with np.errstate(invalid="ignore"):
            return self.busy_ps() / (self.servers.slots * float(self.makespan_ps))

    def link_bytes(self) -> Array:
        """Bytes sent over each link; float64[links]."""
        net = self.network
        if net is None or not isinstance(self.tasks, Tasks):
            return np.zeros(0)
        flows = self.tasks.path >= 0
        on_path = np.bincount(
            self.tasks.path[flows], self.tasks.bytes[flows], minlength=net.path_cap.size
        )
        return np.bincount(
            net.path_links, on_path[net.hop_path()] * net.path_times, minlength=len(net)
        )

    def link_utilisation(self) -> Array:
        """Share of each link's capacity used until the makespan; NaN if that is 0."""
        if self.network is None:
            return np.zeros(0)
        with np.errstate(invalid="ignore"):
            return self.link_bytes() / (self.network.bandwidth * (self.makespan_ps * 1e-12))

    def busy_by_category_ps(self) -> Array:
        """Time of all tasks of each category in picoseconds; int64[categories]."""
        return _sum(self.tasks.category, self.span_ps, int(self.tasks.category.max(initial=-1)) + 1)

    def covered_ps(
        self, categories: int | Sequence[int], resources: Sequence[int] | None = None
    ) -> int:
        """Time in picoseconds during which at least one task of the categories ran.

        Args:
            categories: One category, or several taken together.
            resources: Servers whose tasks count, such as those of one device; None for all.
        """
        return length(self._union(categories, resources))

    def exposed_ps(
        self,
        categories: int | Sequence[int],
        behind: int | Sequence[int],
        resources: Sequence[int] | None = None,
    ) -> int:
        """Time in picoseconds during which a task of the categories ran but none of `behind`.

        Args:
            categories: Categories to measure, such as communication.
            behind: Categories that hide them, such as computation.
            resources: As for `covered_ps`.
        """
        own = self._union(categories, resources)
        return exposed(own, self._union(behind, resources)) if own[0].size else 0

    def _union(
        self, categories: int | Sequence[int], resources: Sequence[int] | None
    ) -> tuple[Array, Array]:
        wanted = _among(self.tasks.category, categories)
        if resources is not None:
            wanted &= np.isin(self.tasks.resource, resources)
        return union(self.start_ps[wanted], self.end_ps[wanted])

    def critical_path(self) -> Array:
        """The chain of tasks that determines the makespan, first to last.

        Traced back from the last task to end: its predecessor is a dependency if it began as soon
        as it was ready, else the task that released its server. Ties go to the lowest number. The
        trace ends at a task that waited for no other.
        """
        if len(self.tasks) == 0:
            return np.zeros(0, np.int64)
        ended_on = self._ended_on()
        task, path = self._last(), list[int]()
        while task >= 0:
            path.append(task)
            task = self._waited_for(task, ended_on)
        return np.array(path[::-1], np.int64)

    def _last(self) -> int:
        """The first of the tasks that end last."""
        return int(self.end_ps.argmax())

    def ends_of(self, tasks: Array) -> Array:
        """Time in picoseconds at which some tasks end; int64."""
        return self.end_ps[tasks]

    def _released_ps(self, task: int) -> int:
        return int(self.tasks.release_ps[task]) if isinstance(self.tasks, Tasks) else 0

    def _ended_on(self) -> Callable[[int], tuple[Array, Array]]:
        """A function of a server that gives its tasks in order of their ends, and the ends."""
        resource = self.tasks.resource
        order = np.lexsort((self.end_ps, resource))
        ends = self.end_ps[order]
        begins = np.searchsorted(resource[order], np.arange(len(self.servers) + 1))

        def ended_on(server: int) -> tuple[Array, Array]:
            part = slice(begins[server], begins[server + 1])
            return order[part], ends[part]

        return ended_on

    def _waited_for(self, task: int, ended_on: Callable[[int], tuple[Array, Array]]) -> int:
        start, needs = int(self.start_ps[task]), self.tasks.needs(task)
        needed = self.ends_of(needs)
        ready = max(int(needed.max(initial=0)), self._released_ps(task))
        if ready == start:
            last = needs[needed == start]
            return int(last.min()) if last.size else -1
        order, ends = ended_on(int(self.servers_of(np.array([task]))[0]))
        before = order[np.searchsorted(ends, start) : np.searchsorted(ends, start, "right")]
        return int(before[self.start_ps[before] < start].min())

    def tasks_on(self, begin: int, end: int) -> Array:
        """The tasks of some adjacent servers, ascending; int64."""
        resource = self.tasks.resource
        return np.flatnonzero((resource >= begin) & (resource < end))

    def on_servers(self, begin: int, end: int) -> Timeline:
        """The tasks of some adjacent servers alone, numbered anew, without dependencies."""
        chosen = self.tasks_on(begin, end)
        category, ends = self.categories_of(chosen), self.ends_of(chosen)
        tasks = Tasks.of(self.spans_of(chosen), self.servers_of(chosen), category=category)
        return Timeline(tasks, self.servers, None, self.start_ps[chosen], ends)

    def columns(self) -> dict[str, Array]:
        """The tasks and their times as columns of equal length, for tables, traces and files."""
        return {
            "task": np.arange(len(self.tasks)),
            "resource": self.tasks.resource,
            "category": self.tasks.category,
            "start_ps": self.start_ps,
            "end_ps": self.end_ps,
        }

    def headline(self) -> str:
        """Makespan and number of tasks, in one line."""
        return f"{format_seconds(self.makespan_ps * 1e-12)}, {len(self.tasks)} tasks"


class RepeatedTimeline(Timeline):
    """Start and end of each task of ranks that repeat programs.

    Args:
        tasks, servers, start_ps: As for `Timeline`.
        makespan_ps: End of the last task in picoseconds.
    """

    __slots__ = ("_makespan_ps", "repeated")

    def __init__(
        self, tasks: Repeated, servers: Servers, start_ps: Array, makespan_ps: int
    ) -> None:
        super().__init__(tasks, servers, None, start_ps, start_ps)
        self.repeated, self._makespan_ps = tasks, makespan_ps

    @property
    def end_ps(self) -> Array:
        """Time in picoseconds at which each task ends; int64[tasks], made when it is asked for."""
        return self.start_ps + self.repeated.duration_ps

    @property
    def makespan_ps(self) -> int:
        """End of the last task in picoseconds; 0 without tasks."""
        return self._makespan_ps

    @property
    def span_ps(self) -> Array:
        """Time from start to end of each task in picoseconds; int64[tasks]."""
        return self.repeated.duration_ps

    def spans_of(self, tasks: Array) -> Array:
        """Time from start to end of some tasks in picoseconds; int64."""
        return self.repeated.durations_ps(tasks)

    def categories_of(self, tasks: Array) -> Array:
        """Categories of some tasks; int16."""
        return self.repeated.row_category[self.repeated.rows_of(tasks)]

    def servers_of(self, tasks: Array) -> Array:
        """Servers of some tasks; int32."""
        own = self.repeated.row_stream[self.repeated.rows_of(tasks)]
        return own + self.repeated.ranks_of(tasks) * self.repeated.streams

    def tasks_on(self, begin: int, end: int) -> Array:
        """The tasks of some adjacent servers, ascending; int64."""
        tasks, found = self.repeated, [np.zeros(0, np.int64)]
        for rank in range(begin // tasks.streams, -(-end // tasks.streams)):
            server = tasks.row_stream[tasks.rows(rank)] + rank * tasks.streams
            own = np.flatnonzero((server >= begin) & (server < end))
            found.append(own + tasks.base[rank])
        return np.concatenate(found)

    def _last(self) -> int:
        tasks = self.repeated
        for rank in range(len(tasks.program)):
            first, end = tasks.base[rank : rank + 2]
            ends = self.start_ps[first:end] + tasks.rank_durations_ps(rank)
            if ends.max(initial=0) == self._makespan_ps:
                return int(first + ends.argmax())
        return 0

    def ends_of(self, tasks: Array) -> Array:
        """Time in picoseconds at which some tasks end; int64."""
        return self.start_ps[tasks] + self.repeated.durations_ps(tasks)

    def _ended_on(self) -> Callable[[int], tuple[Array, Array]]:
        tasks = self.repeated

        @cache
        def ended_on(server: int) -> tuple[Array, Array]:
            rank, stream = divmod(server, tasks.streams)
            own = np.flatnonzero(tasks.row_stream[tasks.rows(rank)] == stream)
            found = own + tasks.base[rank]
            ends = self.start_ps[found] + tasks.rank_durations_ps(rank)[own]
            order = np.argsort(ends, kind="stable")
            return found[order], ends[order]

        return ended_on


def _among(column: Array, wanted: int | Sequence[int]) -> Array:
    """Which entries of a column are one of a few numbers."""
    found = np.zeros(column.size, bool)
    for number in np.atleast_1d(wanted).tolist():
        found |= column == number
    return found


def _sum(of: Array, amounts: Array, size: int) -> Array:
    """Exact sums of int64 amounts by index in `of`; negative indices are ignored."""
    total = np.zeros(size, np.int64)
    np.add.at(total, of[of >= 0], amounts[of >= 0])
    return total
