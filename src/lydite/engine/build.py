"""Builders that assemble tasks and networks one item at a time, without columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from lydite.engine.system import LinkNetwork
from lydite.engine.tasks import NOWHERE, Tasks


class TaskBuilder:
    """Collects tasks one at a time; each method returns the new task's number."""

    def __init__(self) -> None:
        self._duration, self._release = array("q"), array("q")
        self._resource, self._priority = array("i"), array("i")
        self._category, self._path = array("h"), array("i")
        self._bytes, self._deps = array("d"), array("i")
        self._dep_start = array("q", [0])
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._duration)

    def work(
        self,
        resource: int,
        duration_ps: int,
        after: Iterable[int] = (),
        *,
        priority: int = 0,
        category: int = 0,
        release_ps: int = 0,
        name: str = "",
    ) -> int:
        """Add work of `duration_ps` picoseconds on the server `resource`."""
        return self._add(
            resource, duration_ps, after, priority, category, release_ps, NOWHERE, 0.0, name
        )

    def delay(
        self,
        duration_ps: int,
        after: Iterable[int] = (),
        *,
        category: int = 0,
        release_ps: int = 0,
        name: str = "",
    ) -> int:
        """Add a delay of `duration_ps` picoseconds that occupies no server."""
        return self.work(
            NOWHERE, duration_ps, after, category=category, release_ps=release_ps, name=name
        )

    def join(self, after: Iterable[int], *, name: str = "") -> int:
        """Add a task of no duration that ends when all tasks in `after` have ended."""
        return self.delay(0, after, name=name)

    def flow(
        self,
        path: int,
        bytes: float,
        after: Iterable[int] = (),
        *,
        resource: int = NOWHERE,
        overhead_ps: int = 0,
        priority: int = 0,
        category: int = 0,
        release_ps: int = 0,
        name: str = "",
    ) -> int:
        """Add a message over a path; it holds a slot of `resource`, such as a channel, if given."""
        return self._add(
            resource, overhead_ps, after, priority, category, release_ps, path, bytes, name
        )

    def _add(
        self,
        resource: int,
        duration_ps: int,
        after: Iterable[int],
        priority: int,
        category: int,
        release_ps: int,
        path: int,
        bytes: float,
        name: str,
    ) -> int:
        self._deps.extend(after)
        self._dep_start.append(len(self._deps))
        self._resource.append(resource)
        self._duration.append(duration_ps)
        self._priority.append(priority)
        self._category.append(category)
        self._release.append(release_ps)
        self._path.append(path)
        self._bytes.append(bytes)
        self._names.append(name)
        return len(self) - 1

    def build(self) -> Tasks:
        """The tasks as columns.

        Raises:
            InputError: as for `Tasks.of`.
        """
        return Tasks.of(
            np.array(self._duration, np.int64),
            np.array(self._resource, np.int32),
            dep_start=np.array(self._dep_start, np.int64),
            deps=np.array(self._deps, np.int32),
            priority=np.array(self._priority, np.int32),
            category=np.array(self._category, np.int16),
            release_ps=np.array(self._release, np.int64),
            path=np.array(self._path, np.int32),
            bytes=np.array(self._bytes, np.float64),
            names=tuple(self._names) if any(self._names) else (),
        )


class NetworkBuilder:
    """Collects links and paths."""

    def __init__(self) -> None:
        self._bandwidth: list[float] = []
        self._latency_ps: list[int] = []
        self._fifo: list[bool] = []
        self._paths: dict[tuple[tuple[int, ...], float], int] = {}

    def link(self, bandwidth: float, latency_ps: int = 0, *, fifo: bool = False) -> int:
        """Add a directed link (bandwidth in bytes/s, latency in ps), and return its number."""
        self._bandwidth.append(bandwidth)
        self._latency_ps.append(latency_ps)
        self._fifo.append(fifo)
        return len(self._bandwidth) - 1

    def path(self, links: Iterable[int], *, cap: float = float("inf")) -> int:
        """The number of the path over `links`; the same links and cap give the same number."""
        return self._paths.setdefault((tuple(links), cap), len(self._paths))

    def build(self) -> LinkNetwork:
        """The network as columns.

        Raises:
            InputError: as for `Network.of`.
        """
        hops = [links for links, _ in self._paths]
        return LinkNetwork.of(
            self._bandwidth,
            np.cumsum([0, *map(len, hops)]),
            [link for links in hops for link in links],
            latency_ps=self._latency_ps,
            fifo=self._fifo,
            path_cap=[cap for _, cap in self._paths],
        )
