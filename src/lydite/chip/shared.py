"""Figures that designs share: what two designs have in common is computed once.

A `View` is a chip with the figures that a computation does not use taken away, so that it cannot
use them; designs that differ only in these have equal views. A computation takes a view in place
of a chip, and `functools.lru_cache` then holds its results for all such designs:

    @lru_cache(maxsize=1024)
    def folds(view: View, product: Product) -> float: ...

All figures count unless they are taken away by name, so that a new one is never forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, replace
from functools import lru_cache
from typing import Generic, TypeVar

from lydite.hardware.chip import Chip
from lydite.hardware.chip.dram import Dram

_LABELS = ("name", "title", "sources")
"""Fields of a chip that are no figures."""
_NAMES = tuple(each.name for each in fields(Chip) if each.name not in _LABELS)

_NAN = math.nan
_NO_DRAM = Dram(
    "", _NAN, _NAN, 0, 0, 0, _NAN, _NAN, _NAN, _NAN, _NAN, (_NAN, _NAN, _NAN), "", "", _NAN
)
"""A memory without figures: what uses them nevertheless is not a number."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Known(Generic[Key, Value]):
    """Results by key, the ones used last; for results that are computed many at a time.

    Args:
        most: Number of results that are held.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Key) -> Value | None:
        """The result of a key; None if it is not held."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: Key, value: Value) -> Value:
        """Hold a result, in place of the one used least recently if there are too many."""
        self._held[key] = value
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return value


class View:
    """A chip as a computation sees it; equal to another one if all its figures are.

    Attributes:
        chip: The chip, without a name.
    """

    __slots__ = ("_figures", "_hash", "chip")

    def __init__(self, chip: Chip) -> None:
        self.chip = replace(chip, name="", title="", sources={})
        self._figures = tuple(getattr(chip, name) for name in _NAMES)
        self._hash = hash(self._figures)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, View) and self._figures == other._figures)


@lru_cache(maxsize=256)
def _one_of(view: View) -> View:
    """The same object for equal views, which are then quick to compare."""
    return view


_OF_CHIPS: Known[tuple[str, int], tuple[Chip, View]] = Known(64)
"""Views of the chips used last, by name of the view and identity of the chip, which it holds."""


def _view(name: str, chip: Chip, changed: Callable[[Chip], Chip]) -> View:
    held = _OF_CHIPS.get((name, id(chip)))
    if held is None or held[0] is not chip:
        held = _OF_CHIPS.put((name, id(chip)), (chip, _one_of(View(changed(chip)))))
    return held[1]


def whole_view(chip: Chip) -> View:
    """A view of all figures."""
    return _view("whole", chip, lambda whole: whole)


def without_sizes(chip: Chip) -> View:
    """A view without the sizes of the scratchpads; their ports and banks are kept."""
    return _view("without sizes", chip, _sizeless)


def array_only(chip: Chip) -> View:
    """A view of array, data type, ports and banks of the scratchpads, number of accelerators.

    In cycles and bytes, nothing else counts: clock and memory are not there to be used.
    """
    return _view("array only", chip, _timeless)


def _sizeless(chip: Chip) -> Chip:
    return replace(chip, scratchpads=tuple(replace(pad, bytes=0) for pad in chip.scratchpads))


def _timeless(chip: Chip) -> Chip:
    blind = Chip("", "", _NAN, chip.dtype, chip.array, _sizeless(chip).scratchpads, _NO_DRAM)
    return replace(blind, accelerators=chip.accelerators)
