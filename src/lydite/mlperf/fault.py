"""One fault of a submission."""

from __future__ import annotations

from pathlib import Path

from lydite.records import dataclass


@dataclass(frozen=True)
class Fault:
    """What is wrong, where, and what to do.

    Attributes:
        path: File or folder.
        found: What is there.
        expected: What is asked for.
        next_step: What to do.
    """

    path: Path
    found: str
    expected: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.path}: {self.found}; asked for: {self.expected}; {self.next_step}"
