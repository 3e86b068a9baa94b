"""How a system under test gathers queries into batches, on a real clock or a virtual one."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Batching:
    """The rule by which a free worker takes waiting samples, first come first served.

    Attributes:
        batch: Most samples in a batch.
        delay_ns: How long the oldest sample may wait for others, in nanoseconds.
        workers: Number of batches that run at once.
    """

    batch: int = 1
    delay_ns: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is impossible", allowed="1 or more")
        if self.delay_ns < 0:
            raise InputError(f"a delay of {self.delay_ns} ns is impossible", allowed="0 or more")

    def ready(self, waiting: int, oldest_ns: int, now_ns: int, flushed: bool) -> int:
        """Number of samples to take now; 0 to wait.

        Args:
            waiting: Number of samples that wait.
            oldest_ns: When the oldest of them came.
            now_ns: The time.
            flushed: Whether no more samples will come.
        """
        if not waiting:
            return 0
        if waiting >= self.batch or flushed or now_ns >= oldest_ns + self.delay_ns:
            return min(waiting, self.batch)
        return 0

    def wake_ns(self, oldest_ns: int) -> int:
        """When to look again although nothing came."""
        return oldest_ns + self.delay_ns
