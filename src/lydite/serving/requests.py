"""Requests: arrivals, lengths, and what prompts have in common; checked once, as arrays."""

from __future__ import annotations

from dataclasses import field, replace

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass

BLOCK = 16
"""Tokens of a block of the KV cache, whose content has a key."""


@dataclass(frozen=True, eq=False)
class Requests:
    """A workload.

    Attributes:
        arrival_s: Arrival of each, in seconds after the first, ascending: float64 [requests].
        prompt: Prompt tokens: int32.
        output: Output tokens: int32.
        key_start: Where the keys of each begin, with the end: int64 [requests + 1].
        keys: Keys of the content of the first blocks of 16 tokens of each; equal keys are equal
            tokens behind equal prefixes: positive int64.
        successor: The next turn of each, which arrives `think_s` after this one is done, or -1.
        think_s: Time from the end of the turn before to the arrival: float64.
        priority: The less, the sooner each is served, by a scheduler with priorities: int32.
        concurrency: Requests in flight of a closed loop; 0 where they arrive by themselves.
        name: What they are called in reports.
        origin: Where they come from, in one line.
        ids: Names of the requests in the file that they come from.
        notes: What a reader must know of that file, such as requests that were left out.
    """

    arrival_s: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    key_start: np.ndarray
    keys: np.ndarray
    successor: np.ndarray
    think_s: np.ndarray
    priority: np.ndarray
    concurrency: int = 0
    name: str = "requests"
    origin: str = ""
    ids: tuple[str, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def rate(self) -> float:
        """Requests per second over the span of the arrivals; infinite where all come at once."""
        span = float(self.arrival_s[-1] - self.arrival_s[0])
        return (len(self) - 1) / span if span else np.inf

    def taken(self, number: int) -> Requests:
        """The first `number` requests."""
        number = min(number, len(self))
        end = self.key_start[number]
        after = self.successor[:number]
        return replace(
            self,
            arrival_s=self.arrival_s[:number],
            prompt=self.prompt[:number],
            output=self.output[:number],
            key_start=self.key_start[: number + 1],
            keys=self.keys[:end],
            successor=np.where(after < number, after, -1).astype(np.int32),
            think_s=self.think_s[:number],
            ids=self.ids[:number],
            priority=self.priority[:number],
        )

    def at_rate(self, rate: float) -> Requests:
        """The same requests with arrivals scaled to a rate in requests per second.

        Raises:
            InputError: the rate is not positive, or all arrive at once.
        """
        if not rate > 0 or not np.isfinite(rate):
            raise InputError(f"a rate of {rate:g} requests/s", allowed="more than 0")
        if not np.isfinite(self.rate):
            raise InputError("all requests arrive at once, so they have no rate to change")
        return replace(self, arrival_s=self.arrival_s * (self.rate / rate))


def made(
    arrival_s: np.ndarray,
    prompt: np.ndarray,
    output: np.ndarray,
    *,
    keys: list[np.ndarray] | None = None,
    name: str = "requests",
    origin: str = "",
    ids: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    concurrency: int = 0,
    successor: np.ndarray | None = None,
    think_s: np.ndarray | None = None,
    priority: np.ndarray | None = None,
) -> Requests:
    """Requests from arrays, checked.

    Raises:
        InputError: there are none, or a time or length is negative, not finite, or out of order;
            says of which request.
    """
    count = len(prompt)
    if not count:
        raise InputError("there are no requests", where=name)
    arrival_s = np.asarray(arrival_s, float)
    _refuse(~np.isfinite(arrival_s), arrival_s, "arrives at", "a number of seconds", name)
    late = np.zeros(count, bool)
    late[1:] = np.diff(arrival_s) < 0
    if successor is None:
        _refuse(late, arrival_s, "arrives before the one above it, at", "ascending times", name)
    arrival_s = arrival_s - arrival_s.min()
    for column, what in ((prompt, "prompt"), (output, "output")):
        wrong = (np.asarray(column) < 1) | (np.asarray(column) > 1 << 24)
        _refuse(wrong, column, f"tokens of {what}:", "1 to 16,777,216", name)
    lists = keys or []
    lengths = [len(each) for each in lists] if lists else [0] * count
    return Requests(
        arrival_s,
        np.asarray(prompt, np.int32),
        np.asarray(output, np.int32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate(lists).astype(np.int64) if lists else np.zeros(0, np.int64),
        np.full(count, -1, np.int32) if successor is None else successor.astype(np.int32),
        np.zeros(count) if think_s is None else np.asarray(think_s, float),
        np.zeros(count, np.int32) if priority is None else np.asarray(priority, np.int32),
        concurrency,
        name,
        origin,
        ids,
        notes,
    )


def _refuse(wrong: np.ndarray, values: np.ndarray, what: str, allowed: str, name: str) -> None:
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise InputError(f"request {first + 1} {what} {values[first]}", where=name, allowed=allowed)
