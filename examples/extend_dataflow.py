"""An array of your own in one file: parameters, tiles, cycles, words.

The array here has `outputs` dot-product units of `inputs` multipliers: in a cycle each unit adds
`inputs` products to one sum (the convolution core of NVDLA works so). Nothing in Lydite is changed:
the chip file, sweeps, energy, estimates and reports ask the dataflow.

An installed package adds it for good through an entry point:

    [project.entry-points."lydite.dataflows"]
    dot-product = "my_package.dot_product:DOT_PRODUCT"
"""

from dataclasses import dataclass
from typing import ClassVar

from lydite.chip import run_chip
from lydite.chip.dataflow import ArrayDescription
from lydite.chip.figures import energy_of
from lydite.chip.invocations import Invocation
from lydite.chip.mapped import MappedLayer
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operators import operands_of
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.product_dataflow import ProductCost, ProductDataflow
from lydite.chip.sweep import parse_vary, sweep
from lydite.errors import InputError
from lydite.hardware.chip import DATAFLOWS, ArrayParameters, parse_chip
from lydite.hardware.chip.arrays import Count
from lydite.models import build_model

CHIP = """
name: dots
title: Sixteen dot products of 64
clock: 1 GHz
dtype: int8
array: {kind: dot-product, outputs: 16, inputs: 64}
scratchpads:
  buffer: {size: 512 KiB, banks: 16, word: 8 B}
dram: {kind: lpddr4-3200}
sources:
  "": an example; all of it assumed
"""


@dataclass(frozen=True, slots=True)
class DotProductArray(ArrayParameters):
    """An array of dot-product units.

    Attributes:
        outputs: Number of dot-product units.
        inputs: Number of multipliers in a unit.
    """

    kind: ClassVar[str] = "dot-product"
    title: ClassVar[str] = "a dot-product array"
    doubled: ClassVar[str] = "outputs"

    outputs: Count
    inputs: Count

    @property
    def macs(self):
        return self.outputs * self.inputs

    def required_scratchpads(self):
        return {"buffer": 4 * self.macs}


class DotProductDataflow(ProductDataflow):
    """A tile is a number of rows; half the buffer holds their operands and a pass's filters."""

    parameters = DotProductArray

    def problem(self, op, graph, product, shares):
        del op, graph, shares
        return product

    def tiles(self, problem, chip, where, most):
        rows = chip.scratchpad("buffer").bytes // 2 // ELEMENT_BYTES[chip.dtype]
        rows = (rows - chip.array.outputs * problem.k) // (problem.k + chip.array.outputs)
        if rows < 1:
            raise InputError(f"sums of {problem.k} do not fit", where=where, allowed="a buffer")
        return [tile for halved in range(most) if (tile := min(rows, problem.m) >> halved)]

    def map_product(self, op, chip, problem, tile):
        size, cost = ELEMENT_BYTES[chip.dtype], self.product_cost(problem, chip)
        tiles = -(-problem.m // tile)
        loads = [size * problem.m * problem.k * problem.count]
        loads += [size * problem.k * problem.n * problem.count * tiles]
        store = size * problem.m * problem.n * problem.count
        cycles = sum(cost.cycles.values())
        row = Invocation(sum(loads) / tiles, cycles / tiles, store / tiles)
        layer = LayerCost(
            op.name,
            op.op_type,
            "dots",
            ARRAY,
            tiles,
            cost.cycles,
            float(problem.macs),
            sum(loads),
            store,
            cost.sram_bytes,
        )
        return MappedLayer(layer, [row] * tiles, list(zip(operands_of(op), loads, strict=True)))

    def product_cost(self, product, chip):
        depth, width = -(-product.k // chip.array.inputs), -(-product.n // chip.array.outputs)
        cycles = float(product.count * product.m * depth * width)
        return ProductCost({"compute": cycles}, cycles * chip.array.inputs)

    def describe(self, chip):
        array = chip.array
        return ArrayDescription(
            f"{array.outputs} dot products of {array.inputs}", "a cycle for each dot product"
        )


DOT_PRODUCT = DotProductDataflow()

if __name__ == "__main__":
    with DATAFLOWS.added("dot-product", f"{__name__}:DOT_PRODUCT"):
        chip, graph = parse_chip(CHIP, "dots.yaml"), build_model("resnet18")
        result = run_chip(graph, chip)
        joules = energy_of(result).joules
        print(f"{result.model}: {result.seconds:.2e} s, {joules:.2e} J, {result.utilisation:.0%}")
        for row in sweep(graph, chip, parse_vary(["outputs=8,16,32"], chip)):
            print(f"{row['outputs']:>3} outputs: {row['seconds']:.2e} s, {row['area_mm2']:.1f} mm2")
