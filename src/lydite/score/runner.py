"""Runs the models of a set: each in its own process, taking turns, with a journal to resume from.

Models that fit in memory together alternate: in each round every one of them runs for a share of
the minimum time, in an order drawn anew, so that a change of the machine meets all alike. Each turn
is written down when it ends; a run that was cut off goes on after the last one.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lydite.errors import InputError, LyditeError
from lydite.files import write_atomic
from lydite.measure.client import Worker, WorkerLost
from lydite.score.pipeline import Task, float_graph

MODULE = "lydite.score.worker"
ROUNDS = 8
"""Number of turns of each model."""
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


@dataclass(frozen=True)
class Amount:
    """How much to measure.

    Attributes:
        minimum_time_s: Minimum seconds of measuring a model.
        iterations: Minimum number of its iterations.
        rounds: Number of turns that both are spread over.
        warm_s: Most seconds of warming up.
        check: Whether answers are compared with float32.
    """

    minimum_time_s: float
    iterations: int
    rounds: int = ROUNDS
    warm_s: float = 30.0
    check: bool = True


@dataclass
class Measured:
    """What was measured of a task.

    Attributes:
        task: Model, precision and batch.
        amount: How much was to be measured.
        status: "ok", "partial" (cut off), or why there is nothing: "refused", "crash", "timeout",
            "out_of_memory".
        reason: What was refused, or how the process ended.
        loaded: Answer of loading: seconds, memory, fidelity.
        warm: Answer of warming up.
        turns: Answers of the turns.
    """

    task: Task
    amount: Amount
    status: str = "partial"
    reason: str = ""
    loaded: dict[str, Any] = field(default_factory=dict)
    warm: dict[str, Any] = field(default_factory=dict)
    turns: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.status not in ("partial",)


class Journal:
    """Turns as they end, one line of JSON each.

    Args:
        path: File of the journal.
        digest: Digest of what is measured; a journal of something else is begun anew.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self._digest = path, digest
        self.records = self._known()
        lines = [{"digest": digest}, *self.records]
        write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))

    def _known(self) -> list[dict[str, Any]]:
        """Records of an earlier run of the same; a last line that was cut off is dropped."""
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        records: list[dict[str, Any]] = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        first = records[0] if records and isinstance(records[0], dict) else {}
        return records[1:] if first.get("digest") == self._digest else []

    def write(self, key: str, what: str, record: Mapping[str, Any]) -> None:
        """Add a record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, what: record}) + "\n")
            file.flush()

    def restore(self, measured: Mapping[str, Measured]) -> int:
        """Fill in what is known; number of turns."""
        turns = 0
        for record in self.records:
            item = measured.get(record.get("key", ""))
            if item is None:
                continue
            if "loaded" in record:
                item.loaded = record["loaded"]
            elif "warm" in record:
                item.warm = record["warm"]
            elif "turn" in record:
                item.turns.append(record["turn"])
                turns += 1
            elif "lost" in record:
                item.status, item.reason = record["lost"]["status"], record["lost"]["reason"]
        for item in measured.values():
            if len(item.turns) >= item.amount.rounds:
                item.status = "ok"
        return turns

    def remove(self) -> None:
        """Delete the file, as all of it is in the result."""
        self.path.unlink(missing_ok=True)


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


def others_at_work(seconds: float = 1.0, share: float = 0.25) -> list[str]:
    """Processes that take more than a share of a core, but this one and its children.

    Args:
        seconds: How long to look.
        share: Share of a core from which a process counts.

    Returns:
        Name, number and share of each, the busiest first.
    """
    me = psutil.Process()
    own = {me.pid, *(parent.pid for parent in me.parents())}
    own |= {child.pid for child in me.children(recursive=True)}
    before: dict[int, tuple[psutil.Process, float]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own:
                times = process.cpu_times()
                before[process.pid] = process, times.user + times.system
    start = time.perf_counter()
    time.sleep(seconds)
    spent = time.perf_counter() - start
    busy: list[tuple[float, str]] = []
    for process, earlier in before.values():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            taken = (times.user + times.system - earlier) / spent
            if taken > share:
                name = process.name()[:40]
                busy.append((taken, f"{name} (process {process.pid}, {taken:.0%} of a core)"))
    return [text for _, text in sorted(busy, reverse=True)]


def check_idle(policy: str, wait_s: float = 60.0) -> list[str]:
    """See that nobody else uses the machine.

    Args:
        policy: "wait" until it is idle, at most `wait_s`, then refuse; "refuse" at once; or "warn".
        wait_s: Longest wait in seconds.

    Returns:
        Who is at work, under the policy "warn".

    Raises:
        InputError: somebody is; says who.
    """
    deadline = time.monotonic() + wait_s
    while busy := others_at_work():
        if policy == "warn":
            return busy
        if policy == "refuse" or time.monotonic() > deadline:
            raise InputError(
                f"the device is busy: {'; '.join(busy[:3])}",
                hint="wait until it is idle, or measure anyway with --if-busy warn",
            )
    return []
