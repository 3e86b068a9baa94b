"""The engine again, in plain Python: one object a task, everything worked out anew at every step.

It follows the rules in docs/reference/engine.md and shares no code with what it is compared to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lydite.engine import Interference, LinkNetwork, Servers, Tasks


@dataclass(eq=False)
class Task:
    number: int
    duration: int
    server: int
    priority: int
    category: int
    release: int
    path: int
    bytes: float
    needs: set[int]
    start: int | None = None
    end: int | None = None
    arrival: int = -1
    hop: int = 0
    event: int | None = None
    moving: bool = False
    left: float = 0.0
    rate: float = 0.0
    since: int = 0


@dataclass
class Queue:
    slots: int
    by_priority: bool
    waiting: list[Task] = field(default_factory=list)
    held: int = 0

    def take(self) -> Task | None:
        if self.held == self.slots or not self.waiting:
            return None
        first = min(self.waiting, key=lambda t: (t.priority if self.by_priority else 0, t.arrival))
        self.waiting.remove(first)
        self.held += 1
        return first


class Reference:
    def __init__(
        self,
        tasks: Tasks,
        servers: Servers,
        network: LinkNetwork | None = None,
        interference: Interference | None = None,
    ) -> None:
        self.tasks = [
            Task(
                i,
                int(tasks.duration_ps[i]),
                int(tasks.resource[i]),
                int(tasks.priority[i]),
                int(tasks.category[i]),
                int(tasks.release_ps[i]),
                int(tasks.path[i]),
                float(tasks.bytes[i]),
                {int(d) for d in tasks.needs(i)},
            )
            for i in range(len(tasks))
        ]
        self.groups = [int(g) for g in servers.group]
        self.slow = None if interference is None else interference.rates
        self.network = network
        self.queues = {
            ("server", i): Queue(int(servers.slots[i]), bool(servers.by_priority[i]))
            for i in range(len(servers))
        }
        if network is not None:
            self.queues |= {("link", i): Queue(1, False) for i in range(len(network))}
        self.paths = [] if network is None else self._paths(network)
        self.arrivals = 0

    @staticmethod
    def _paths(network: LinkNetwork) -> list[list[int]]:
        at = network.path_start
        return [[int(x) for x in network.path_links[at[p] : at[p + 1]]] for p in range(len(at) - 1)]

    def run(self) -> tuple[list[int], list[int]]:
        now: int | None = 0
        while now is not None:
            self._wave(now)
            now = min(self._coming(now), default=None)
        return [t.start for t in self.tasks], [t.end for t in self.tasks]  # type: ignore[misc]

    def _coming(self, now: int) -> list[int]:
        events = [t.event for t in self.tasks if t.event is not None]
        return events + [t.release for t in self.tasks if t.start is None and t.release > now]

    def _wave(self, now: int) -> None:
        queued: list[tuple[Task, tuple[str, int]]] = []
        due = [t for t in self.tasks if t.event == now]
        for task in due:
            task.event = None
            self._happen(task, now, queued)
        again = True
        while again:
            again = False
            for task in self.tasks:
                if task.start is None and self._is_ready(task, now) and not self._is_queued(task):
                    if task.server >= 0:
                        if all(task is not other for other, _ in queued):
                            queued.append((task, ("server", task.server)))
                    else:
                        task.start = now
                        self._begin(task, now, queued)
                        again = True
        for task, where in sorted(queued, key=lambda entry: entry[0].number):
            task.arrival = self.arrivals
            self.arrivals += 1
            self.queues[where].waiting.append(task)
        for where, queue in self.queues.items():
            while (task := queue.take()) is not None:
                if where[0] == "server":
                    task.start = now
                    self._begin(task, now, None)
                else:
                    task.hop += 1
                    seconds = task.bytes / (float(self.network.bandwidth[where[1]]) * 1e-12)
                    task.event = now + round(seconds)
        self._set_rates(now)

    def _is_ready(self, task: Task, now: int) -> bool:
        return task.release <= now and all(self.tasks[d].end is not None for d in task.needs)

    def _is_queued(self, task: Task) -> bool:
        return any(task is other for queue in self.queues.values() for other in queue.waiting)

    def _is_stored(self, path: int) -> bool:
        return bool(self.network.fifo[self.paths[path][0]])

    def _begin(self, task: Task, now: int, queued: list | None) -> None:
        """`queued` is None for what starts on a server: even no time ends in the next wave."""
        if task.path < 0:
            slowed = task.server >= 0 and self.groups[task.server] >= 0 and self.slow is not None
            if slowed and task.duration > 0:
                task.moving, task.left, task.rate = True, float(task.duration), 0.0
            elif task.duration > 0 or queued is None:
                task.event = now + task.duration
            else:
                self._finish(task, now)
            return
        span = task.duration
        if not self._is_stored(task.path):
            span += sum(int(self.network.latency_ps[link]) for link in self.paths[task.path])
        if span > 0 or queued is None:
            task.event = now + span
        else:
            self._arrive(task, now, queued)

    def _arrive(self, task: Task, now: int, queued: list) -> None:
        hops = self.paths[task.path]
        if self._is_stored(task.path):
            if task.hop // 2 < len(hops):
                queued.append((task, ("link", hops[task.hop // 2])))
            else:
                self._finish(task, now)
        elif task.bytes > 0:
            task.moving, task.left, task.rate = True, task.bytes, 0.0
        else:
            self._finish(task, now)

    def _happen(self, task: Task, now: int, queued: list) -> None:
        if task.moving or task.path < 0:
            task.moving = False
            self._finish(task, now)
        elif task.hop % 2:
            link = self.paths[task.path][task.hop // 2]
            self.queues["link", link].held -= 1
            task.hop += 1
            if self.network.latency_ps[link]:
                task.event = now + int(self.network.latency_ps[link])
            else:
                self._arrive(task, now, queued)
        else:
            self._arrive(task, now, queued)

    def _finish(self, task: Task, now: int) -> None:
        task.end = now
        if task.server >= 0:
            self.queues["server", task.server].held -= 1

    def _set_rates(self, now: int) -> None:
        moving = [t for t in self.tasks if t.moving]
        flows = self._max_min([t.path for t in moving if t.path >= 0])
        for task in moving:
            rate = flows[task.path] * 1e-12 if task.path >= 0 else self._speed(task)
            if rate == task.rate:
                continue
            task.left = max(0.0, task.left - (now - task.since) * task.rate)
            task.rate, task.since = rate, now
            task.event = now + round(task.left / rate)

    def _speed(self, task: Task) -> float:
        group = self.groups[task.server]
        beside = [
            t
            for t in self.tasks
            if t is not task
            and t.start is not None
            and t.end is None
            and t.server >= 0
            and self.groups[t.server] == group
        ]
        return math.prod(
            float(self.slow[group, task.category, b]) for b in sorted({t.category for t in beside})
        )

    def _max_min(self, flows: list[int]) -> dict[int, float]:
        """Progressive filling of all links at once, level by level."""
        count = {path: flows.count(path) for path in flows}
        left = [] if self.network is None else [float(b) for b in self.network.bandwidth]
        rate: dict[int, float] = {}
        while len(rate) < len(count):
            open_ = [p for p in count if p not in rate]
            load = {link: 0 for p in open_ for link in self.paths[p]}
            for p in open_:
                for link in self.paths[p]:
                    load[link] += count[p]
            offer = {link: left[link] / load[link] for link in load}
            caps = {p: float(self.network.path_cap[p]) for p in open_}
            least = min(*offer.values(), *caps.values())
            for p in open_:
                if caps[p] == least or any(offer[link] == least for link in self.paths[p]):
                    rate[p] = least
                    for link in self.paths[p]:
                        left[link] -= least * count[p]
        return rate
