"""Passes: functions from a graph to another that computes the same, exactly or approximately.

in_precision(graph, "autocast-bfloat16")   # as torch.autocast casts
in_precision(graph, "int8")                # QuantizeLinear and DequantizeLinear around products
fused(graph)                               # as runtimes fuse, without running one
in_line(graph, price)                      # control flow as the operators that it runs
"""

from lydite.graph.passes.flow import InLine, OpenBody, in_line
from lydite.graph.passes.fuse import fused
from lydite.graph.passes.precision import PRECISIONS, in_precision
from lydite.graph.passes.weights import WEIGHTS, with_weights

__all__ = [
    "PRECISIONS",
    "WEIGHTS",
    "InLine",
    "OpenBody",
    "fused",
    "in_line",
    "in_precision",
    "with_weights",
]
