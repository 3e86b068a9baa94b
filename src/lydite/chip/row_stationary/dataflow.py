"""Row-stationary arrays as a dataflow: the mapping of each layer, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.chip.dataflow import ArrayDescription
from lydite.chip.invocations import Invocation
from lydite.chip.mapped import MappedLayer
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operands import Shares
from lydite.chip.operators import operands_of
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.product import Product, ProductCost
from lydite.chip.product_dataflow import ProductDataflow
from lydite.chip.row_stationary.array import RowStationaryArray, array_of
from lydite.chip.row_stationary.closed_forms import (
    LayerRun,
    LayerShape,
    PassMapping,
    flat_shape,
    run_on,
    shape_of,
)
from lydite.chip.row_stationary.mappings import mappings, seconds_of
from lydite.errors import InputError
from lydite.graph import Graph, Op
from lydite.hardware.chip import Chip

NEAR = 1.05
"""Mappings within this factor of the minimum time count as equally fast."""

REPEATED = 100
"""Number of mappings examined per requested one, because rounding makes some of them equal."""

MOST_STEPS = 8
"""Number of steps into which the channels of a block are split, to overlap loads and compute."""


class RowStationaryDataflow(ProductDataflow[LayerShape, PassMapping]):
    """Products and convolutions on a row-stationary array."""

    parameters = RowStationaryArray

    def problem(self, op: Op, graph: Graph, product: Product, shares: Shares) -> LayerShape:
        """The layer in the papers' letters."""
        return shape_of(op, graph, product, shares)

    def rooms(self, chip: Chip) -> tuple[float, float, float]:
        """A part of the global buffer for each: filters only pass through theirs."""
        part = chip.scratchpad("global").bytes / 6
        return part, part, part

    def tiles(
        self, problem: LayerShape, chip: Chip, where: str, most: int
    ) -> Sequence[PassMapping]:
        """Mappings near the minimum time, by memory traffic; then all others."""
        candidates = mappings(array_of(chip), problem, chip)
        if not len(candidates.e):
            raise InputError(
                f"no row of {problem.f} sums with its {problem.r} rows of {problem.width} fits",
                where=f"{where} on {chip.name}",
                allowed="a 'global' and a 'filter' scratchpad that hold them",
            )
        run = run_on(array_of(chip), problem, candidates)
        seconds = seconds_of(run, problem, chip)
        memory = np.asarray(run.ifmap_words + run.filter_words)
        is_near = seconds <= NEAR * seconds.min()
        near, far = np.flatnonzero(is_near), np.flatnonzero(~is_near)
        order = near[np.lexsort(np.stack([np.asarray(run.buffer_words)[near], memory[near]]))]
        if most > 1:
            order = np.concatenate([order, far[np.argsort(seconds[far], kind="stable")]])
        fastest = np.argsort(seconds, kind="stable")[: most // 2]
        order = np.concatenate([order[: most - len(fastest)], fastest, order])[: REPEATED * most]
        columns = [getattr(candidates, name)[order].tolist() for name in PassMapping.__slots__]
        return [PassMapping(*row) for row in dict.fromkeys(zip(*columns, strict=True))][:most]

    def map_product(
        self, op: Op, chip: Chip, problem: LayerShape, tile: PassMapping
    ) -> MappedLayer:
        """Map blocks of sums that stay in the buffer, each in a few invocations along channels."""
        size, names = ELEMENT_BYTES[chip.dtype], operands_of(op)
        assert names is not None
        run = run_on(array_of(chip), problem, tile)
        blocks = int(run.blocks) * int(run.filter_blocks)
        steps = min(MOST_STEPS, int(run.channel_passes))
        stored = size * problem.out * problem.count * problem.n * problem.e * problem.f * problem.m
        loaded = [size * float(run.ifmap_words), size * float(run.filter_words)]
        pieces = blocks * steps
        rows = [
            Invocation(
                sum(loaded) / pieces,
                float(run.cycles) / pieces,
                stored / blocks if step == steps - 1 else 0.0,
                block % chip.accelerators,
            )
            for block in range(blocks)
            for step in range(steps)
        ]
        alone = _cost(run, problem, size)
        cost = LayerCost(
            op.name,
            op.op_type,
            self.kernel(chip),
            ARRAY,
            len(rows),
            alone.cycles,
            problem.macs,
            sum(loaded),
            stored,
            alone.sram_bytes + sum(loaded) + stored,
            local_bytes=alone.local_bytes,
        )
        return MappedLayer(cost, rows, list(zip(names, loaded, strict=True)))

    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """Cost of a product as a 1 x 1 convolution in its usual mapping."""
        shape = flat_shape(product)
        tile = self.tiles(shape, chip, "attention", 1)[0]
        return _cost(run_on(array_of(chip), shape, tile), shape, ELEMENT_BYTES[chip.dtype])

    def kernel(self, chip: Chip) -> str:
        """ "rs", the usual abbreviation of the dataflow."""
        del chip
        return "rs"

    def describe(self, chip: Chip) -> ArrayDescription:
        """Size, scratchpads of a processing element, and buses."""
        array = array_of(chip)
        return ArrayDescription(
            f"row-stationary, {array.rows} x {array.columns}",
            "closed forms of passes: weights loaded before each, then computation or the slowest "
            "stream; zeros save no time",
            (
                (
                    "scratchpads of a PE",
                    f"{array.ifmap_words} ifmap, {array.filter_words} filter and "
                    f"{array.psum_words} partial-sum words",
                ),
                (
                    "buses to the array",
                    f"{array.ifmap_bus} ifmap, {array.filter_bus} filter and {array.psum_bus} "
                    "partial-sum words per cycle",
                ),
            ),
        )


def _cost(run: LayerRun, shape: LayerShape, size: int) -> ProductCost:
    """Cycles by part, and bytes; a multiply-accumulate reads three words and writes one."""
    cycles = {
        "weight load": float(run.weight_load_cycles),
        "fill and drain": float(run.fill_drain_cycles),
        "compute": float(run.compute_cycles),
        "array network": float(run.network_cycles),
    }
    return ProductCost(cycles, size * float(run.buffer_words), 4 * size * shape.macs)


ROW_STATIONARY = RowStationaryDataflow()
