"""Runs the models of a set: each in its own process, taking turns, with a journal to resume from.

Models that fit in memory together alternate: in each round every one of them runs for a share of
the minimum time, in an order drawn anew, so that a change of the machine meets all alike. Each turn
is written down when it ends; a run that was cut off goes on after the last one.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil

from lydite.errors import LyditeError
from lydite.measure.client import Worker, WorkerLost
from lydite.records import dataclass
from lydite.score.journal import Journal, Measured
from lydite.score.pipeline import Task, float_graph

MODULE = "lydite.score.worker"
_SILENCE_S = 900.0
"""Longest time without a word from a process, such as while a large model is loaded."""
_MEMORY_SHARE = 0.6
"""Share of the free memory that models which alternate may take together."""

_THERMAL_C = 1.0
"""Change of temperature over a warm-up, in degrees, below which the device counts as warm."""
_MOST_WARMUPS = 4

Thermometer = Callable[[], float | None]
"""Reads the device's temperature in degrees; None where no sensor has it."""
Progress = Callable[[int, int, str], None]
"""Called with (number done, total number, name of the next item)."""


def run(
    measured: Sequence[Measured],
    journal: Journal,
    *,
    progress: Progress,
    memory_bytes: int | None = None,
    seed: int = 0,
    thermometer: Thermometer = lambda: None,
) -> None:
    """Measure what is not done yet; fills in the items.

    Args:
        measured: Items; those that are done are left alone.
        journal: Journal that receives every turn.
        progress: Called before each step.
        memory_bytes: Memory that models may take together; None for 60 % of what is free.
        seed: Random seed of the order within a round.
        thermometer: Reads the device's temperature, to warm up until it is steady as well.
    """
    left = [item for item in measured if not item.is_done]
    total = sum(item.amount.rounds + 1 for item in measured)
    done = sum(len(item.turns) for item in measured)
    done += sum(item.amount.rounds + 1 for item in measured if item.is_done)
    counter = _Counter(total, min(done, total), progress)
    free = memory_bytes or int(psutil.virtual_memory().available * _MEMORY_SHARE)
    for group in groups(left, free):
        _run_group(group, journal, counter, random.Random(seed), thermometer)
    progress(total, total, "")


@dataclass
class _Counter:
    total: int
    done: int
    progress: Progress

    def step(self, name: str, count: int = 1) -> None:
        self.progress(min(self.done, self.total), self.total, name)
        self.done += count


def groups(items: Sequence[Measured], free_bytes: int) -> Iterator[list[Measured]]:
    """Items that fit in memory together, in order; one that fits nowhere is alone."""
    group: list[Measured] = []
    used = 0
    for item in items:
        need = needed_bytes(item.task)
        if group and used + need > free_bytes:
            yield group
            group, used = [], 0
        group.append(item)
        used += need
    if group:
        yield group


def needed_bytes(task: Task) -> int:
    """Memory that a task takes, roughly: its weights thrice in float32, and 256 MiB."""
    share = {"int4": 0.5, "int8": 0.5, "fp16": 0.5, "bf16": 0.5}.get(task.precision, 1.0)
    weights = 0.0
    for part in task.parts:
        with contextlib.suppress(LyditeError):
            weights += float_graph(part, task).parameter_bytes * share
    return int(3 * weights) + (256 << 20)


def _run_group(
    group: list[Measured],
    journal: Journal,
    counter: _Counter,
    shuffle: random.Random,
    thermometer: Thermometer,
) -> None:
    workers: dict[str, Worker] = {}
    try:
        for item in group:
            counter.step(f"{item.task.key}: load and warm up")
            workers[item.task.key] = Worker(timeout_s=_SILENCE_S, module=MODULE)
            _attempt(
                item,
                journal,
                lambda i=item: _start(i, workers[i.task.key], journal, thermometer),
            )
        most = max(item.amount.rounds for item in group)
        for number in range(most):
            for item in shuffle.sample(group, len(group)):
                if item.is_done or len(item.turns) > number:
                    continue
                counter.step(f"{item.task.key}: turn {number + 1} of {item.amount.rounds}")
                _attempt(item, journal, lambda i=item: _turn(i, workers[i.task.key], journal))
    finally:
        for worker in workers.values():
            worker.close()


def _attempt(item: Measured, journal: Journal, step: Callable[[], None]) -> None:
    """Do a step; what fails is the item's own result, and the others go on."""
    try:
        step()
    except WorkerLost as error:
        item.status, item.reason = error.status, str(error)
    except LyditeError as error:
        item.status, item.reason = "refused", str(error)
    else:
        return
    journal.write(item.task.key, "lost", {"status": item.status, "reason": item.reason})


def _start(item: Measured, worker: Worker, journal: Journal, thermometer: Thermometer) -> None:
    """Load and warm up; the answers were compared already where there are turns."""
    check = item.amount.check and not item.loaded
    loaded = _asked(worker, do="load", task=item.task.to_record(), check=check)
    if not item.loaded:
        item.loaded = loaded
        journal.write(item.task.key, "loaded", loaded)
    before = thermometer()
    for _ in range(_MOST_WARMUPS):
        item.warm = _asked(worker, do="warm", most_s=item.amount.warm_s)
        after = thermometer()
        item.warm["temperature_c"] = after
        if before is None or after is None or abs(after - before) < _THERMAL_C:
            break
        before = after
    journal.write(item.task.key, "warm", item.warm)


def _turn(item: Measured, worker: Worker, journal: Journal) -> None:
    """One of the turns."""
    amount = item.amount
    least_s = amount.minimum_time_s / amount.rounds
    iterations = -(-amount.iterations // amount.rounds)
    turn = _asked(worker, do="turn", least_s=least_s, iterations=iterations)
    item.turns.append(turn)
    journal.write(item.task.key, "turn", turn)
    if len(item.turns) >= amount.rounds:
        item.status = "ok"


def _asked(worker: Worker, **request: Any) -> dict[str, Any]:
    return worker.ask(json.dumps(request))
