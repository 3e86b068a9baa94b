"""Networks on chip: the links between the memory's port and each accelerator.

The port is node 0, accelerators are the nodes after it. A mesh routes along the row first, then
along the column; a ring takes the shorter way; a crossbar has a link for each accelerator. Links
are directed: loads and stores do not share a link.
"""

from __future__ import annotations

import math
from dataclasses import field
from itertools import pairwise

from lydite.hardware.chip import Noc
from lydite.records import dataclass


@dataclass
class NocLinks:
    """Links by the pair of nodes that they join, numbered on first use.

    Attributes:
        first: Number of the first link.
        by_ends: Link numbers by pair of nodes.
    """

    first: int = 0
    by_ends: dict[tuple[int, int], int] = field(default_factory=dict)

    def along(self, nodes: list[int]) -> list[int]:
        """Links of a route, given as nodes."""
        return [
            self.by_ends.setdefault(ends, self.first + len(self.by_ends))
            for ends in pairwise(nodes)
        ]


def way(noc: Noc, accelerator: int, accelerators: int) -> list[int]:
    """Route from the memory's port to an accelerator, as nodes."""
    goal, count = accelerator + 1, accelerators + 1
    if noc.topology == "crossbar":
        return [0, goal]
    if noc.topology == "ring":
        if goal <= count - goal:
            return list(range(goal + 1))
        return [0, *range(count - 1, goal - 1, -1)]
    columns = noc.columns or math.ceil(math.sqrt(count))
    row, column = divmod(goal, columns)
    return [*range(column + 1), *(column + columns * down for down in range(1, row + 1))]
