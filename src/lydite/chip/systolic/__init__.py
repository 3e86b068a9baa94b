"""Systolic arrays: the cost of matrix products, in closed form or with memory stalls."""

from lydite.chip.operators import Window, product_of, products_of, stacked, unfolded
from lydite.chip.product import Product
from lydite.chip.systolic.closed_forms import DATAFLOWS, OVERLAPS, Array, ProductRun, run_on
from lydite.chip.systolic.replay import (
    Buffers,
    DramTraffic,
    OffChipMemory,
    Stalled,
    edge_cycles,
    stalled_run,
    traffic_of,
)
from lydite.chip.systolic.tiles import array_of

__all__ = [
    "DATAFLOWS",
    "OVERLAPS",
    "Array",
    "Buffers",
    "DramTraffic",
    "OffChipMemory",
    "Product",
    "ProductRun",
    "Stalled",
    "Window",
    "array_of",
    "edge_cycles",
    "product_of",
    "products_of",
    "run_on",
    "stacked",
    "stalled_run",
    "traffic_of",
    "unfolded",
]
