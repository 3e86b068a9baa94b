"""What a run measures, and the journal that holds each turn as it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from lydite.files import write_atomic
from lydite.records import dataclass
from lydite.score.pipeline import Task

ROUNDS = 8
"""Number of turns of each model."""


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
