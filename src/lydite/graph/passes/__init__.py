"""Passes: functions from a graph to another that computes the same, exactly or approximately.

in_precision(graph, "autocast-bfloat16")   # as torch.autocast casts
in_precision(graph, "int8")                # QuantizeLinear and DequantizeLinear around products
fused(graph)                               # as runtimes fuse, without running one
"""

from lydite.graph.passes.fuse import fused
from lydite.graph.passes.precision import PRECISIONS, in_precision

__all__ = ["PRECISIONS", "fused", "in_precision"]
