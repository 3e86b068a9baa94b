"""Two documents of results, number by number."""

from __future__ import annotations

from collections.abc import Iterator
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
    if isinstance(value, bool) or depth > _DEEPEST:
        return
    if isinstance(value, int | float):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, f"{place}.{name}" if place else str(name), depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _numbers(item, f"{place}[{number}]", depth + 1)
