"""Pages made a moment ago: many readers of one page cost as much as one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import field
from threading import Lock

from lydite.records import dataclass

KEPT_S = 1.0
"""Seconds for which a page is given to others who ask for the same address."""

_MOST = 64


@dataclass
class _Page:
    lock: Lock = field(default_factory=Lock)
    made_at_s: float = float("-inf")
    text: str = ""


class Recent:
    """Texts by address, each made by one thread while others wait for it.

    Args:
        kept_s: Seconds for which a text is given again, from when its making began; 0 for never.
        clock: Clock in seconds.
    """

    def __init__(self, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_s, self._clock = kept_s, clock
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._lock = Lock()

    def text(self, address: str, make: Callable[[], str]) -> str:
        """The text of an address: a recent one, else made now. What `make` raises is not kept."""
        if self._kept_s <= 0:
            return make()
        page = self._of(address)
        with page.lock:
            now = self._clock()
            if now - page.made_at_s >= self._kept_s:
                page.text = make()
                page.made_at_s = now
            return page.text

    def _of(self, address: str) -> _Page:
        with self._lock:
            page = self._pages.setdefault(address, _Page())
            self._pages.move_to_end(address)
            if len(self._pages) > _MOST:
                self._pages.popitem(last=False)
            return page
