"""Placements and games played on the discrete-event engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.engine import NetworkBuilder, Servers, TaskBuilder, Timeline, simulate
from lydite.placement.game import Game
from lydite.placement.problem import Placement, Problem

PS = 1e12
_REPEATS = 20


def play(problem: Problem, placement: Placement) -> Timeline:
    """Run a placement: devices in its order, transfers over links that they share.

    Each direction between two devices is one link, on which simultaneous transfers share the rate.
    """
    tasks, network = TaskBuilder(), NetworkBuilder()
    count = problem.seconds.shape[1]
    links = {
        (a, b): network.link(float(problem.bandwidth[a, b]))
        for a in range(count)
        for b in range(count)
        if a != b
    }
    number: dict[int, int] = {}
    last: dict[int, int] = {}
    for unit in (int(u) for u in placement.order):
        here = int(placement.device[unit])
        after = [last[here]] if here in last else []
        for edge, first in problem.into[unit]:
            there = int(placement.device[first])
            if there == here:
                after.append(number[first])
                continue
            after.append(
                tasks.flow(
                    network.path([links[there, here]]),
                    max(1.0, float(problem.edge_bytes[edge])),
                    [number[first]],
                    overhead_ps=round(float(problem.latency_s[there, here]) * PS),
                )
            )
        seconds = float(problem.seconds[unit, here])
        number[unit] = last[here] = tasks.work(here, round(seconds * PS), after)
    servers = Servers.of(count, names=tuple(problem.devices))
    return simulate(tasks.build(), servers, network.build() if links else None)


def play_jobs(game: Game, profile: Sequence[int]) -> np.ndarray:
    """Latency of each job in seconds when all run again and again and share the devices' rates.

    A device is a link of rate 1 on which a group's seconds of work are bytes: those present share
    it evenly. A job's devices come in the order of their numbers, then its transfers. Every job
    repeats until each has run many times; the mean of the middle half counts.
    """
    tasks, network = TaskBuilder(), NetworkBuilder()
    count = game.jobs[0].busy_s.shape[1]
    paths = [network.path([network.link(1.0)]) for _ in range(count)]
    alone = [float(job.alone_s[s]) for job, s in zip(game.jobs, profile, strict=True)]
    ends: list[list[int]] = []
    for job, strategy, mine in zip(game.jobs, profile, alone, strict=True):
        before: list[int] = []
        done: list[int] = []
        for _ in range(max(_REPEATS, min(400, round(_REPEATS * max(alone) / mine)))):
            for device in range(count):
                seconds = float(job.busy_s[strategy, device])
                if seconds > 0:
                    before = [tasks.flow(paths[device], seconds, before)]
            before = [tasks.delay(round(float(job.moved_s[strategy]) * PS), before)]
            done.append(before[0])
        ends.append(done)
    timeline = simulate(tasks.build(), Servers.of(1), network.build())
    found = []
    until = min(int(timeline.end_ps[done[-1]]) for done in ends)
    for done in ends:
        times = timeline.end_ps[done] / PS
        times = times[times <= until / PS]
        first = len(times) // 4
        span = times[-1] - times[first] if len(times) - 1 > first else times[-1]
        found.append(span / max(1, len(times) - 1 - first))
    return np.array(found)
