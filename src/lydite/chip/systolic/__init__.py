"""Systolic arrays: what matrix products take on them, in closed form or waiting for memory."""

from lydite.chip.systolic.array import DATAFLOWS, OVERLAPS, Array, Product, Run, run_on
from lydite.chip.systolic.products import Window, product_of, products_of, stacked, unfolded
from lydite.chip.systolic.scalesim import Layer, Settings, read_config, read_topology
from lydite.chip.systolic.stalls import Memory, Stalled, stalled_run
from lydite.chip.systolic.traffic import Buffers, Traffic, edge_cycles, traffic_of

__all__ = [
    "DATAFLOWS",
    "OVERLAPS",
    "Array",
    "Buffers",
    "Layer",
    "Memory",
    "Product",
    "Run",
    "Settings",
    "Stalled",
    "Traffic",
    "Window",
    "edge_cycles",
    "product_of",
    "products_of",
    "read_config",
    "read_topology",
    "run_on",
    "stacked",
    "stalled_run",
    "traffic_of",
    "unfolded",
]
