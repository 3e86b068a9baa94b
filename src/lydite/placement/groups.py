"""Grouping of units: chains, then neighbours in the order, until few enough are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise

import numpy as np

from lydite.placement.problem import Array


def grouped(
    seconds: Array,
    edges: Mapping[tuple[int, int], float],
    most: int,
    fixed: Sequence[int] = (),
) -> list[list[int]]:
    """Groups of units, in topological order, that a placement may treat as one.

    Args:
        seconds: float[units, devices], infinite where a unit cannot run.
        edges: Bytes between units, by pair; the producer comes first in the order.
        most: Largest number of groups besides the fixed units.
        fixed: Units that stay alone.
    """
    out: dict[int, set[int]] = {}
    into: dict[int, set[int]] = {}
    for first, second in edges:
        out.setdefault(first, set()).add(second)
        into.setdefault(second, set()).add(first)
    where = np.isfinite(seconds)
    group_of = list(range(len(seconds)))
    groups = {unit: [unit] for unit in range(len(seconds))}
    for unit in range(len(seconds)):
        before = into.get(unit, set())
        if len(before) != 1 or unit in fixed:
            continue
        (only,) = before
        alike = only not in fixed and (where[only] == where[unit]).all()
        if alike and out[only] == {unit}:
            group_of[unit] = group_of[only]
            groups[group_of[only]] += groups.pop(unit)
    loose = [group for group in groups.values() if group[0] not in fixed]
    order = _ordered(loose, into, group_of)
    longest = np.where(where, seconds, 0).max(axis=1)
    while len(order) > most:
        merged = [first + second for first, second in pairwise(order)]
        costs = [
            float(longest[group].sum()) if where[group].all(axis=0).any() else np.inf
            for group in merged
        ]
        at = int(np.argmin(costs))
        if not np.isfinite(costs[at]):
            break  # no device could run any two neighbours
        order[at : at + 2] = [merged[at]]
    return order


def _ordered(
    groups: list[list[int]], into: Mapping[int, set[int]], group_of: Sequence[int]
) -> list[list[int]]:
    """Groups in a topological order."""
    by_lead = {group_of[group[0]]: group for group in groups}
    waits = {
        lead: {group_of[b] for unit in group for b in into.get(unit, ())} - {lead}
        for lead, group in by_lead.items()
    }
    order = TopologicalSorter(waits).static_order()
    return [by_lead[lead] for lead in order if lead in by_lead]
