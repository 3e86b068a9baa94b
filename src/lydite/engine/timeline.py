"""Result of a simulation: start and end of every task, and figures derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lydite.engine.intervals import exposed, length, union
from lydite.engine.system import LinkNetwork, Servers
from lydite.engine.tasks import Tasks
from lydite.results import OneLine
from lydite.units import format_seconds

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Timeline(OneLine):
    """Start and end of each task.

    Attributes:
        tasks, servers, network: Tasks, servers and network that were simulated.
        start_ps: int64[tasks], time in picoseconds at which a task takes a slot of its server, or
            without a server at which its last dependency ends.
        end_ps: int64[tasks], time in picoseconds at which a task ends.
    """

    tasks: Tasks
    servers: Servers
    network: LinkNetwork | None
    start_ps: Array
    end_ps: Array

    @property
    def makespan_ps(self) -> int:
        """End of the last task in picoseconds; 0 without tasks."""
        return int(self.end_ps.max(initial=0))

    @property
    def span_ps(self) -> Array:
        """Time from start to end of each task in picoseconds; int64[tasks]."""
        return self.end_ps - self.start_ps

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
        if net is None:
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
        return exposed(self._union(categories, resources), self._union(behind, resources))

    def _union(
        self, categories: int | Sequence[int], resources: Sequence[int] | None
    ) -> tuple[Array, Array]:
        wanted = np.isin(self.tasks.category, categories)
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
        order = np.lexsort((self.end_ps, self.tasks.resource))
        ends = self.end_ps[order]
        begins = np.searchsorted(self.tasks.resource[order], np.arange(len(self.servers) + 1))
        task, path = int(self.end_ps.argmax()), []
        while task >= 0:
            path.append(task)
            task = self._waited_for(task, order, ends, begins)
        return np.array(path[::-1], np.int64)

    def _waited_for(self, task: int, order: Array, ends: Array, begins: Array) -> int:
        start, needs = self.start_ps[task], self.tasks.needs(task)
        ready = max(int(self.end_ps[needs].max(initial=0)), int(self.tasks.release_ps[task]))
        if ready == start:
            last = needs[self.end_ps[needs] == start]
            return int(last.min()) if last.size else -1
        server = self.tasks.resource[task]
        begin, end = begins[server : server + 2]
        first, last = (
            begin + np.searchsorted(ends[begin:end], start, side) for side in ("left", "right")
        )
        before = order[first:last]
        return int(before[self.start_ps[before] < start].min())

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


def _sum(of: Array, amounts: Array, size: int) -> Array:
    """Exact sums of int64 amounts by index in `of`; negative indices are ignored."""
    total = np.zeros(size, np.int64)
    np.add.at(total, of[of >= 0], amounts[of >= 0])
    return total
