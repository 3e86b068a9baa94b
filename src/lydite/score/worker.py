"""The process of one model: it loads it, checks its answers, warms it up, and runs it in turns.

Requests and answers are lines of JSON (see `lydite.measure.worker.serve_lines`):

    {"do": "load", "task": {...}, "check": true}
    {"do": "warm", "most_s": 30}             until its time is steady
    {"do": "turn", "least_s": 5, "iterations": 20}
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import psutil

from lydite.errors import InputError, LyditeError
from lydite.measure.worker import Tell, serve_lines
from lydite.score.fidelity import Fidelity, fidelity
from lydite.score.idle import Contention
from lydite.score.pipeline import Pipeline, Task

SAMPLE_S = 0.005
"""Minimum duration of a sample; shorter iterations are timed several at once."""
_WINDOW_S = 0.5
_STEADY = 0.02
"""Largest difference of three windows' medians that counts as steady."""
_ALIVE_S = 5.0


class _Process:
    """The state between requests."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._grouped = 1
        self._said = 0.0

    def answer(self, line: str, tell: Tell) -> Any:
        request = json.loads(line)
        if request["do"] == "load":
            return self._load(Task.from_record(request["task"]), bool(request["check"]), tell)
        if self._pipeline is None:
            raise InputError("no model is loaded")
        if request["do"] == "warm":
            return self._warm(float(request["most_s"]), tell)
        return self._turn(float(request["least_s"]), int(request["iterations"]), tell)

    def _load(self, task: Task, check: bool, tell: Tell) -> dict[str, Any]:
        """Compare the answers with float32, then load what is timed."""
        begin_ns = time.monotonic_ns()
        tell({"at": f"{task.key}: compare"})
        quality = Fidelity(reason="not asked for")
        if check:
            try:
                quality = fidelity(task)
            except LyditeError as error:
                quality = Fidelity(reason=str(error))
        tell({"at": f"{task.key}: load"})
        before, start = psutil.Process().memory_info().rss, time.perf_counter()
        self._pipeline = Pipeline(task)
        loaded_s = time.perf_counter() - start
        self._pipeline.iterate()
        return {
            "begin_ns": begin_ns,
            "end_ns": time.monotonic_ns(),
            "load_s": loaded_s,
            "memory_bytes": max(0, psutil.Process().memory_info().rss - before),
            "fidelity": asdict(quality),
            "launch_share": self._pipeline.launch_share(),
        }

    def _warm(self, most_s: float, tell: Tell) -> dict[str, Any]:
        """Run until the medians of three windows agree, or the time is over."""
        assert self._pipeline is not None
        begin_ns, begin = time.monotonic_ns(), time.perf_counter()
        medians: list[float] = []
        iterations = 0
        while True:
            window: list[float] = []
            start = time.perf_counter()
            while not window or time.perf_counter() - start < _WINDOW_S:
                window.append(sum(self._pipeline.iterate()) * 1e-9)
                self._alive(tell)
            iterations += len(window)
            medians.append(float(np.median(window)))
            last = medians[-3:]
            steady = len(last) == 3 and max(last) <= (1 + _STEADY) * min(last)
            if steady or time.perf_counter() - begin > most_s:
                break
        self._grouped = max(1, round(SAMPLE_S / medians[-1]))
        return {
            "begin_ns": begin_ns,
            "end_ns": time.monotonic_ns(),
            "warm_s": time.perf_counter() - begin,
            "iterations": iterations,
            "steady": steady,
            "seconds": medians[-1],
        }

    def _turn(self, least_s: float, iterations: int, tell: Tell) -> dict[str, Any]:
        """Time iterations until there are enough of them and the time is over.

        The first iterations, which refill the caches after other models ran, are not counted.
        """
        assert self._pipeline is not None
        pipeline, grouped = self._pipeline, self._grouped
        for _ in range(3 if grouped > 1 else 1):
            pipeline.iterate()
        spent: list[list[int]] = []
        contention = Contention(pipeline.task.threads)
        begin, done = time.monotonic_ns(), 0
        while done < iterations or time.monotonic_ns() - begin < least_s * 1e9:
            sample = pipeline.iterate()
            for _ in range(grouped - 1):
                sample = [a + b for a, b in zip(sample, pipeline.iterate(), strict=True)]
            spent.append(sample)
            done += grouped
            self._alive(tell)
        on_cores = pipeline.task.device == "cpu"
        return {
            "begin_ns": begin,
            "end_ns": time.monotonic_ns(),
            "contended_cores": contention.cores() if on_cores else None,
            "stage_ns": [list(column) for column in zip(*spent, strict=True)],
            "grouped": grouped,
        }

    def _alive(self, tell: Tell) -> None:
        """Say now and then that something runs."""
        now = time.perf_counter()
        if now - self._said > _ALIVE_S:
            self._said = now
            tell({"at": self._pipeline.task.key if self._pipeline else ""})


def main() -> None:
    """Serve requests until standard input ends."""
    serve_lines(_Process().answer)


if __name__ == "__main__":
    main()
