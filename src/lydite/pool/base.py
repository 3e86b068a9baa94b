"""The protocol of pools: calls that do not depend on each other, with a bound on those in flight.

What all calls share (a graph, a chip) reaches a worker once; arguments reach it in chunks. A pool
says only where chunks run; how they are cut, bounded and answered is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Protocol, TypeVar

from lydite.errors import LyditeError
from lydite.records import dataclass

Shared = TypeVar("Shared")
Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

MOST_TRIES = 5
"""Times that a chunk is begun again after its worker was killed."""


@dataclass(frozen=True)
class Work:
    """A function of a module, and what all of its calls share.

    Attributes:
        call: Function of (shared, argument).
        shared: First argument of every call.
    """

    call: Callable[[Any, Any], Any]
    shared: Any

    def answers(self, arguments: Sequence[Any]) -> list[Any] | LyditeError:
        """What the calls return, or the first error that is the user's to see."""
        try:
            return [self.call(self.shared, argument) for argument in arguments]
        except LyditeError as error:
            return error


class Lane(Protocol):
    """Where the chunks of one piece of work run."""

    def room(self) -> int:
        """Number of chunks that may be in flight: 1 or more."""
        ...

    def send(self, place: int, arguments: Sequence[Any]) -> None:
        """Start the calls of a chunk, whose first argument has a place."""
        ...

    def receive(self) -> Iterable[tuple[int, list[Any] | LyditeError]]:
        """Wait until a chunk has ended; returns the place and the answers of those that have.

        Raises:
            LyditeError: the chunk's workers were killed `MOST_TRIES` times.
        """
        ...


class Pool(ABC):
    """Workers that call functions."""

    @abstractmethod
    def lane(self, work: Work, chunks: int | None) -> AbstractContextManager[Lane]:
        """Workers for one piece of work, until the block is left.

        Args:
            work: What they do.
            chunks: Number of full chunks to come; None if it is not known yet.
        """

    def stream(
        self,
        call: Callable[[Shared, Argument], Answer],
        shared: Shared,
        arguments: Iterable[Argument],
        *,
        chunk: int = 1,
    ) -> Iterator[tuple[int, Answer]]:
        """Place of each argument and the answer to it, in the order in which calls end.

        Arguments are taken only as there is room for them, so that a generator may make them.

        Args:
            call: Function of a module; it, its arguments and its answers can be pickled.
            shared: First argument of every call.
            arguments: Second argument of each call.
            chunk: Number of calls that are sent to a worker at once.

        Raises:
            LyditeError: a call raised it, or workers were killed again and again.
        """
        number = len(arguments) // chunk if isinstance(arguments, Sized) else None
        waiting = _chunks(arguments, chunk)
        flying, more = 0, True
        with self.lane(Work(call, shared), number) as lane:
            while True:
                while more and flying < lane.room():
                    place, taken = next(waiting)
                    more = bool(taken)
                    if more:
                        lane.send(place, taken)
                        flying += 1
                if not flying:
                    return
                for place, answers in lane.receive():
                    flying -= 1
                    if isinstance(answers, LyditeError):
                        raise answers
                    yield from enumerate(answers, place)

    def ordered(
        self,
        call: Callable[[Shared, Argument], Answer],
        shared: Shared,
        arguments: Iterable[Argument],
        *,
        chunk: int = 1,
    ) -> list[Answer]:
        """The answers in the order of the arguments; see `stream`."""
        found = sorted(self.stream(call, shared, arguments, chunk=chunk), key=lambda pair: pair[0])
        return [answer for _, answer in found]


def _chunks(arguments: Iterable[Argument], size: int) -> Iterator[tuple[int, list[Argument]]]:
    """Chunks with the place of their first argument; empty ones at the end."""
    left, place = iter(arguments), 0
    while True:
        taken = list(islice(left, size))
        yield place, taken
        place += len(taken)
