"""The block of each operator and weight of a rank."""

from __future__ import annotations

from lydite.cluster.blocks import Blocks
from lydite.graph import Graph, Op


class Homes:
    """Maps operators of a step to blocks by the forward operator that their names begin with.

    Args:
        blocks: Blocks of the model before it is partitioned.
        graph: Graph of one rank, or of its training step.
    """

    def __init__(self, blocks: Blocks, graph: Graph) -> None:
        self._of = {
            name: number for number, block in enumerate(blocks.blocks) for name in block.ops
        }
        for op in blocks.graph.ops:
            for name in op.outputs:
                self._of.setdefault(name, self._of[op.name])
        self._last = len(blocks.blocks) - 1
        for op in graph.ops:
            for name in op.inputs:
                if name in graph.initializers and self._stem(op.name) in self._of:
                    self._of.setdefault(name, self._of[self._stem(op.name)])

    def of(self, op: Op) -> int:
        """Number of an operator's block; loss operators belong to the last block."""
        return self.of_name(op.name)

    def of_weight(self, name: str) -> int:
        """Number of the first block that reads a weight."""
        return self._of.get(name, self._last)

    def of_name(self, name: str) -> int:
        """Number of the block that an operator or tensor name belongs to."""
        return self._of.get(self._stem(name), self._last)

    def _stem(self, name: str) -> str:
        while name not in self._of and "/" in name:
            name = name.rpartition("/")[0]
        return name
