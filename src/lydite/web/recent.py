"""Pages made a moment ago: many readers of one page cost as much as one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import field
from threading import Lock
from typing import Any, Generic, TypeVar

from lydite.records import dataclass

KEPT_S = 1.0
"""Seconds for which a page is given to others who ask for the same address."""

_MOST = 64
T = TypeVar("T")


@dataclass
class _Page:
    lock: Lock = field(default_factory=Lock)
    made: tuple[float, Any] = (float("-inf"), None)


class Recent(Generic[T]):
    """Pages by address, each made by one thread while others wait for it.

    Args:
        kept_s: Seconds for which a page is given again, from when its making began; 0 for never.
        clock: Clock in seconds.
    """

    def __init__(self, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_s, self._clock = kept_s, clock
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._lock = Lock()

    @property
    def keeps(self) -> bool:
        """Whether any page is given again."""
        return self._kept_s > 0

    def fresh(self, address: str) -> T | None:
        """The page of an address if a recent one is there; never waits."""
        page = self._pages.get(address)
        if page is None:
            return None
        # One read, as another thread may replace the pair.
        made_at_s, made = page.made
        return made if self._clock() - made_at_s < self._kept_s else None

    def given(self, address: str, make: Callable[[], T]) -> T:
        """The page of an address: a recent one, else made now. What `make` raises is not kept."""
        if self._kept_s <= 0:
            return make()
        page = self._of(address)
        with page.lock:
            now = self._clock()
            if now - page.made[0] >= self._kept_s:
                page.made = (now, make())
            return page.made[1]

    def _of(self, address: str) -> _Page:
        with self._lock:
            page = self._pages.setdefault(address, _Page())
            self._pages.move_to_end(address)
            if len(self._pages) > _MOST:
                self._pages.popitem(last=False)
            return page
