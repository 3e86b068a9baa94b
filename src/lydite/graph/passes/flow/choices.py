"""Branches that no constant decides: the dearest is taken, and what follows from it is held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lydite.errors import LyditeError
from lydite.graph.graph import Graph
from lydite.graph.passes.flow.made import InLine

Price = Callable[[Graph], float]
"""What a branch costs that stands alone; raises an error if that is not known."""


class Choices:
    """The branches that are taken of each If that nothing decides, and what comes of them.

    Args:
        node: Tree of the choices that were made before: in each node the branches to choose from
            under "branches" and the node behind each of them under its number, or the result
            under "made".
        price: Price of a branch.
    """

    def __init__(self, node: dict[Any, Any], price: Price) -> None:
        self.node, self._root, self._price = node, node, price
        self._chosen: dict[int, tuple[int, str]] = {}

    def follow(self) -> InLine | None:
        """The result, if what the choices lead to is known."""
        while "branches" in self.node:
            self.take(self.node["branches"])
        found: InLine | None = self.node.get("made")
        if found is None:
            self.node = self._root
        return found

    def take(self, branches: Sequence[Graph]) -> tuple[int, str]:
        """Number of the dearest branch, and why another may be dearer; "" if none may."""
        branches = self.node.setdefault("branches", branches)
        key = id(branches)
        if key not in self._chosen:
            self._chosen[key] = self._dearest(branches)
        self.node = self.node.setdefault(self._chosen[key][0], {})
        return self._chosen[key]

    def _dearest(self, branches: Sequence[Graph]) -> tuple[int, str]:
        prices: dict[int, float] = {}
        unknown: LyditeError | None = None
        for number, branch in enumerate(branches):
            try:
                prices[number] = self._price(branch) if branch.ops else 0.0
            except LyditeError as error:
                unknown = error
        if not prices and unknown is not None:
            raise unknown
        why = f"another branch is not known: {unknown.what}" if unknown is not None else ""
        return max(prices, key=prices.__getitem__), why
