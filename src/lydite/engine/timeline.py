"""What came out: who ran when, and what that says."""

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
    """When each task started and ended.

    Attributes:
        tasks, servers, network: what was played, on what.
        start_ps: int64[tasks]: a slot taken, or, without a server, all that it waits for ended.
        end_ps: int64[tasks].
    """

    tasks: Tasks
    servers: Servers
    network: LinkNetwork | None
    start_ps: Array
    end_ps: Array

    @property
    def makespan_ps(self) -> int:
        """When the last task ended; 0 without tasks."""
        return int(self.end_ps.max(initial=0))

    @property
    def span_ps(self) -> Array:
        """How long each task took; int64[tasks]."""
        return self.end_ps - self.start_ps

    def busy_ps(self) -> Array:
        """For each server the time of all its slots in use; int64[servers]."""
        return _sum(self.tasks.resource, self.span_ps, len(self.servers))

    def utilisation(self) -> Array:
        """For each server the share of its slots in use until the makespan; NaN if that is 0."""
        with np.errstate(invalid="ignore"):
            return self.busy_ps() / (self.servers.slots * float(self.makespan_ps))

    def link_bytes(self) -> Array:
        """For each link the bytes that went over it; float64[links]."""
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
        """For each link the share of what it could carry until the makespan; NaN if that is 0."""
        if self.network is None:
            return np.zeros(0)
        with np.errstate(invalid="ignore"):
            return self.link_bytes() / (self.network.bandwidth * (self.makespan_ps * 1e-12))

    def busy_by_category_ps(self) -> Array:
        """For each category the time of all its tasks; int64[categories]."""
        return _sum(self.tasks.category, self.span_ps, int(self.tasks.category.max(initial=-1)) + 1)

    def covered_ps(
        self, categories: int | Sequence[int], resources: Sequence[int] | None = None
    ) -> int:
        """How long at least one task of the categories ran.

        Args:
            categories: one, or several taken together.
            resources: look only at tasks on these servers (one device's, say); None at all tasks.
        """
        return length(self._union(categories, resources))

    def exposed_ps(
        self,
        categories: int | Sequence[int],
        behind: int | Sequence[int],
        resources: Sequence[int] | None = None,
    ) -> int:
        """How long some task of the categories ran and none of those in `behind`.

        Args:
            categories: communication, say.
            behind: what hides it: computation, say.
            resources: as `covered_ps`.
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
        """The tasks that the makespan waited for, first to last.

        From the last task to end back to the one it began after: a dependency if it began as soon
        as it was ready, the task that left it its server otherwise. Where several ended at that
        instant, the one with the lowest number. It ends at a task that waited for none.
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
        """All of it as columns of one length, for tables, traces and files."""
        return {
            "task": np.arange(len(self.tasks)),
            "resource": self.tasks.resource,
            "category": self.tasks.category,
            "start_ps": self.start_ps,
            "end_ps": self.end_ps,
        }

    def headline(self) -> str:
        """Length and number of tasks."""
        return f"{format_seconds(self.makespan_ps * 1e-12)}, {len(self.tasks)} tasks"


def _sum(of: Array, amounts: Array, size: int) -> Array:
    """The sums of int64 amounts by number, exactly; negative numbers count nowhere."""
    total = np.zeros(size, np.int64)
    np.add.at(total, of[of >= 0], amounts[of >= 0])
    return total
