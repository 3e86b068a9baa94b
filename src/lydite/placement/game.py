"""Jobs that share devices: best response, equilibria, and what anarchy costs.

Each job runs its groups of operators one after another, again and again, on the devices that its
strategy names. A device is shared: while other jobs keep it busy for a share u of the time, a
job's work there takes 1 + u times as long. u is the share of a job's own time, alone, that it
spends on the device:

    latency_j = moved_j + sum over d of busy_jd (1 + sum over k != j of slow_jk busy_kd / alone_k)

with slow_jk = 1 where the device's time is divided evenly. Jobs may slow each other unequally: one
that is bound by memory suffers from another more than the other does from it. Every job wants its
own latency to be short. A profile in which no job gains by moving alone is a Nash equilibrium. Best
responses need not lead to one: they may go round in circles.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-9
"""Gains of a smaller share of the latency are none."""
MOST_PROFILES = 4_000_000


@dataclass(frozen=True)
class Job:
    """A job and its strategies.

    Attributes:
        name: Name of the job.
        strategies: int[strategies, groups], device of each group.
        busy_s: float[strategies, devices], seconds alone on each device.
        moved_s: float[strategies], seconds of transfers.
    """

    name: str
    strategies: Array
    busy_s: Array
    moved_s: Array

    @property
    def alone_s(self) -> Array:
        """Latency of each strategy if nobody else is there."""
        return self.moved_s + self.busy_s.sum(axis=1)

    @property
    def share(self) -> Array:
        """Share of the time that each strategy keeps each device busy, alone."""
        return self.busy_s / np.maximum(self.alone_s, 1e-300)[:, None]

    @staticmethod
    def of(name: str, seconds: Array, transfer_s: Array, edges: Sequence[tuple[int, int]]) -> Job:
        """A job of groups in sequence, with all its strategies.

        Args:
            name: Name of the job.
            seconds: float[groups, devices], infinite where a group cannot run.
            transfer_s: float[edges, devices, devices], seconds that an edge takes.
            edges: Pairs of groups between which data move.

        Raises:
            InputError: a group can run nowhere.
        """
        places = [np.flatnonzero(np.isfinite(row)).tolist() for row in seconds]
        if not all(places):
            raise InputError("no device can run a group of operators", where=name)
        strategies = np.array(list(product(*places)), int)
        groups = np.arange(len(seconds))
        taken = seconds[groups, strategies]
        busy = np.zeros((len(strategies), seconds.shape[1]))
        for device in range(seconds.shape[1]):
            busy[:, device] = np.where(strategies == device, taken, 0.0).sum(axis=1)
        moved = np.zeros(len(strategies))
        for edge, (first, second) in enumerate(edges):
            moved += transfer_s[edge, strategies[:, first], strategies[:, second]]
        return Job(name, strategies, busy, moved)


@dataclass(frozen=True)
class Game:
    """Jobs that share devices.

    Attributes:
        jobs: Jobs.
        slowdown: float[jobs, jobs], how much longer a job's work takes while another keeps the
            device busy all the time, as a share; None for 1 each.
    """

    jobs: tuple[Job, ...]
    slowdown: Array | None = None

    def slow(self, job: int, other: int) -> float:
        """How much longer a job takes beside another, as a share."""
        return 1.0 if self.slowdown is None else float(self.slowdown[job, other])

    def latencies(self, profile: Sequence[int]) -> Array:
        """Latency of each job in seconds, for one strategy of each."""
        return np.array([self.responses(j, profile)[profile[j]] for j in range(len(self.jobs))])

    def responses(self, job: int, profile: Sequence[int]) -> Array:
        """Latency of each strategy of a job, while the others keep theirs."""
        mine = self.jobs[job]
        others = sum(
            (
                self.slow(job, k) * self.jobs[k].share[profile[k]]
                for k in range(len(self.jobs))
                if k != job
            ),
            np.zeros(mine.busy_s.shape[1]),
        )
        return mine.moved_s + mine.busy_s @ (1 + others)

    def best_response(self, job: int, profile: Sequence[int]) -> int:
        """The strategy of least latency; the present one unless another is really shorter."""
        latencies = self.responses(job, profile)
        best = int(latencies.argmin())
        stays = latencies[profile[job]] <= latencies[best] * (1 + TOLERANCE)
        return profile[job] if stays else best

    def is_equilibrium(self, profile: Sequence[int]) -> bool:
        """Whether no job gains by moving alone; every strategy of every job is tried."""
        return all(self.best_response(j, profile) == profile[j] for j in range(len(self.jobs)))

    @property
    def profiles(self) -> int:
        """Number of profiles."""
        return int(np.prod([float(len(job.strategies)) for job in self.jobs]))


@dataclass(frozen=True)
class Outcome:
    """Where best responses led.

    Attributes:
        profile: Strategy of each job.
        path: All profiles on the way, the first included.
        cycle: Profiles that come back again and again; empty if an equilibrium was reached.
        equilibrium: Whether the profile is a Nash equilibrium, verified.
    """

    profile: tuple[int, ...]
    path: tuple[tuple[int, ...], ...]
    cycle: tuple[tuple[int, ...], ...]
    equilibrium: bool


def best_responses(
    game: Game, start: Sequence[int] | None = None, *, most: int = 10_000
) -> Outcome:
    """Let the jobs answer in turn until none moves or a profile comes back.

    Args:
        game: Jobs.
        start: First profile; None for each job's best strategy alone.
        most: Largest number of rounds.
    """
    profile = tuple(start or (int(job.alone_s.argmin()) for job in game.jobs))
    path, seen = [profile], {profile: 0}
    for _ in range(most):
        before = profile
        for job in range(len(game.jobs)):
            answer = game.best_response(job, profile)
            if answer != profile[job]:
                profile = (*profile[:job], answer, *profile[job + 1 :])
                path.append(profile)
        if profile == before:
            return Outcome(profile, tuple(path), (), game.is_equilibrium(profile))
        if profile in seen:
            return Outcome(profile, tuple(path), tuple(path[seen[profile] :]), False)
        seen[profile] = len(path) - 1
    return Outcome(profile, tuple(path), (), game.is_equilibrium(profile))


def pure_equilibria(game: Game) -> list[tuple[int, ...]]:
    """All profiles that are equilibria, by trying every one.

    Raises:
        InputError: there are more than `MOST_PROFILES` profiles.
    """
    latencies = _all_latencies(game)
    stable = np.ones(latencies[0].shape, bool)
    for job, values in enumerate(latencies):
        stable &= values <= values.min(axis=job, keepdims=True) * (1 + TOLERANCE)
    return [tuple(int(i) for i in spot) for spot in np.argwhere(stable)]


def optimum(game: Game) -> tuple[tuple[int, ...], float]:
    """The profile of least summed latency, and that sum in seconds; every profile is tried.

    Raises:
        InputError: there are more than `MOST_PROFILES` profiles.
    """
    total = np.sum(_all_latencies(game), axis=0)
    spot = np.unravel_index(int(total.argmin()), total.shape)
    return tuple(int(i) for i in spot), float(total.min())


def _all_latencies(game: Game) -> list[Array]:
    """Latency of each job in every profile; one axis per job."""
    if game.profiles > MOST_PROFILES:
        raise InputError(
            f"{game.profiles:.3g} profiles",
            where="game",
            allowed=f"{MOST_PROFILES}",
            hint="fewer groups (--groups)",
        )
    count = len(game.jobs)

    def along(values: Array, job: int) -> Array:
        return values.reshape([-1 if axis == job else 1 for axis in range(count)])

    found = []
    for j, job in enumerate(game.jobs):
        total = along(job.alone_s, j)
        for k, other in enumerate(game.jobs):
            if k == j:
                continue
            for device in range(job.busy_s.shape[1]):
                busy, share = along(job.busy_s[:, device], j), along(other.share[:, device], k)
                total = total + busy * share * game.slow(j, k)
        shape = [len(each.strategies) for each in game.jobs]
        found.append(np.broadcast_to(total, shape))
    return found
