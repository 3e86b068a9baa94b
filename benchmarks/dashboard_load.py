"""The dashboard under load: many readers turn pages while a writer adds rows.

python benchmarks/dashboard_load.py [--readers 100] [--rows 50000] [--seconds 60] [--workers 2]
    [--held 100000] [--db postgresql://USER@HOST/NAME]

Each reader gets a page, waits a second and gets another, of all kinds of pages in turn. The writer
commits small batches, as `lydite profile` does, evenly over the time.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from _figures import Figure, publish
from dashboard import SAMPLES, SOFTWARE, Visitor, fill, operators, pages

from lydite.store import Conditions, Database, Measurement, Run

USUAL = {"readers": 100, "rows": 50_000, "seconds": 60.0, "workers": 2, "held": 100_000}
BATCH = 50
THINK_S = 1.0
PATIENCE_S = 30.0


@dataclass
class Seen:
    """What readers saw: seconds of each request by page, and faults by what they were."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def all(self) -> np.ndarray:
        """Seconds of every request."""
        return np.array([each for times in self.seconds.values() for each in times])


def write(target: str, rows: int, seconds: float, told: Any) -> None:
    """Write rows in batches, evenly over the time; tell the run and the seconds of each commit."""
    keys = operators(1000)
    samples = np.random.default_rng(1).lognormal(-8, 0.05, (1000, SAMPLES))
    commits: list[float] = []
    run = Run("profile", {"model": "written under load"}, status="done", result={})
    with Database.open(target) as database:
        database.load([run])
        begin = time.perf_counter()
        for first in range(0, rows, BATCH):
            made = [
                Measurement(
                    keys[number % len(keys)],
                    "device-written",
                    SOFTWARE,
                    Conditions(),
                    samples[number % len(samples)],
                    run=run.id,
                )
                for number in range(first, min(rows, first + BATCH))
            ]
            start = time.perf_counter()
            database.add(made)
            commits.append(time.perf_counter() - start)
            ahead = begin + seconds * (first + BATCH) / rows - time.perf_counter()
            time.sleep(max(0.0, ahead))
    told.send((run.id, commits))


async def read(address: str, shelf: Sequence[tuple[str, str]], seed: int, seen: Seen, end: float):
    """Turn pages until the end."""
    base = address.partition("/?")[0]
    chance = random.Random(seed)
    async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        await asyncio.sleep(chance.random() * THINK_S)
        await client.get(address, follow_redirects=True)
        place = seed
        while time.perf_counter() < end:
            name, path = shelf[place % len(shelf)]
            start = time.perf_counter()
            try:
                answer = await client.get(f"{base}{path}")
                if answer.status_code != 200:
                    seen.faults[f"{name}: {answer.status_code}"] += 1
            except httpx2.HTTPError as error:
                seen.faults[f"{name}: {type(error).__name__}"] += 1
            seen.seconds.setdefault(name, []).append(time.perf_counter() - start)
            place += 1
            await asyncio.sleep(THINK_S)


async def crowd(address: str, ids: dict[str, str], readers: int, seconds: float) -> Seen:
    """What all readers saw."""
    seen, shelf = Seen(), list(pages(ids).items())
    end = time.perf_counter() + seconds
    await asyncio.gather(*(read(address, shelf, number, seen, end) for number in range(readers)))
    return seen


def loaded(target: str, given: argparse.Namespace) -> list[Figure]:
    """Fill, serve, read while rows are written, and count them."""
    ids = fill(target, given.held)
    server = Visitor(target, given.workers)
    try:
        for path in pages(ids).values():
            server.first(path)
        before = server.cpu_s()
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        writer = context.Process(target=write, args=(target, given.rows, given.seconds, there))
        writer.start()
        seen = asyncio.run(crowd(server.address, ids, given.readers, given.seconds))
        run, commits = here.recv()
        writer.join()
        memory = server.memory()
        busy = server.cpu_s() - before
    finally:
        server.close()
    with Database.open(target, read_only=True) as database:
        kept = sum(row.run == run for row in database.query(device="device-written"))
    return figures(seen, commits, given.rows - kept, memory, busy, given)


def figures(
    seen: Seen,
    commits: Sequence[float],
    lost: int,
    memory: int,
    busy_s: float,
    given: argparse.Namespace,
) -> list[Figure]:
    """Goals of issue 16: 99 % of pages within 200 ms, no error, no row lost."""
    times = seen.all() * 1e3
    each = {name: float(np.quantile(found, 0.99)) * 1e3 for name, found in seen.seconds.items()}
    held = {name: getattr(given, name) for name in USUAL} | {"database": given.db or "SQLite"}
    told = {**held, "requests": len(times), "p50_ms": float(np.median(times)), "p99_by_page": each}
    return [
        Figure("page under load, p99", float(np.quantile(times, 0.99)), "ms", 200, "lower", told),
        Figure("page under load, p50", float(np.median(times)), "ms", None, "lower", held),
        Figure("requests", len(times) / given.seconds, "/s", None, "higher", held),
        Figure(
            "faults", seen.faults.total(), "", 0, "lower", {**held, "faults": dict(seen.faults)}
        ),
        Figure("rows lost", lost, "", 0, "lower", held),
        Figure(
            f"commit of {BATCH} rows, p99",
            float(np.quantile(commits, 0.99)) * 1e3,
            "ms",
            None,
            "lower",
            held,
        ),
        Figure("CPU time of a page", busy_s / len(times) * 1e3, "ms", None, "lower", held),
        Figure("memory of a server", memory / 1e6, "MB", None, "lower", held),
    ]


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, usual in USUAL.items():
        parser.add_argument(f"--{name}", type=type(usual), default=usual)
    parser.add_argument("--db", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lydite-load-") as folder:
        made = loaded(given.db or str(Path(folder) / "load.db"), given)
    usual = all(getattr(given, name) == value for name, value in USUAL.items()) and not given.db
    tried = f"dashboard_load-{given.readers}x{given.workers}-smoke"
    publish("dashboard_load" if usual else tried, made)
    return 0 if all(figure.reached is not False for figure in made) else 1


if __name__ == "__main__":
    sys.exit(main())
