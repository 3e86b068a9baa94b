"""Two documents of results, number by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MOST_PAIRS = 500
_DEEPEST = 12


def number_pairs(first: Any, second: Any) -> list[tuple[str, float, float]]:
    """Numbers that stand at the same place of both documents and differ, as (place, first, second).

    Rows of lists are paired by their position. At most 500, in the order of the first document.
    """
    other = dict(_numbers(second, "", 0))
    pairs: list[tuple[str, float, float]] = []
    for place, value in _numbers(first, "", 0):
        if place in other and other[place] != value:
            pairs.append((place, value, other[place]))
            if len(pairs) == MOST_PAIRS:
                break
    return pairs


def _numbers(value: Any, place: str, depth: int) -> Iterator[tuple[str, float]]:
    if isinstance(value, int | float):
        if not isinstance(value, bool) and depth <= _DEEPEST:
            yield place, value
        return
    if depth >= _DEEPEST:
        return
    for where, item in _parts(value, place):
        # Numbers are most of a document, and a generator for each takes long.
        if type(item) is float or type(item) is int:
            yield where, item
        elif not isinstance(item, str):
            yield from _numbers(item, where, depth + 1)


def _parts(value: Any, place: str) -> Iterable[tuple[str, Any]]:
    """What a mapping or a list holds, with its place."""
    if isinstance(value, dict):
        begin = f"{place}." if place else ""
        return ((f"{begin}{name}", item) for name, item in value.items())
    if isinstance(value, list):
        return ((f"{place}[{number}]", item) for number, item in enumerate(value))
    return ()
