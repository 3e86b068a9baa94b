"""Tiling: cutting an operator's tensors into pieces that fit an accelerator's scratchpads.

    tiling = tile(convolution((1, 32, 32, 64), 128, (3, 3), pads=(1, 1, 1, 1)), SMV)
    tiling.input.strategy, tiling.input.tile, tiling.input.grid.shapes

`SMV` are the constraints of `lydite.chip.smv`; other dataflows define their own.
"""

from lydite.chip.tiling.best import best_tiling
from lydite.chip.tiling.constraints import (
    Constraints,
    Limits,
    Roles,
    Strategy,
    strategy_named,
)
from lydite.chip.tiling.problem import (
    Kind,
    Problem,
    batch_norm,
    convolution,
    flat,
    inner_product,
    pooling,
    rows,
    same_pads,
)
from lydite.chip.tiling.search import Candidates
from lydite.chip.tiling.tiler import tile, tiling_of
from lydite.chip.tiling.tiles import Grid, TileOperand, Tiling

__all__ = [
    "Candidates",
    "Constraints",
    "Grid",
    "Kind",
    "Limits",
    "Problem",
    "Roles",
    "Strategy",
    "TileOperand",
    "Tiling",
    "batch_norm",
    "best_tiling",
    "convolution",
    "flat",
    "inner_product",
    "pooling",
    "rows",
    "same_pads",
    "strategy_named",
    "tile",
    "tiling_of",
]
