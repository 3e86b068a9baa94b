"""Passes: functions from a graph to another that computes the same, exactly or approximately.

in_precision(graph, "autocast-bfloat16")   # as torch.autocast casts
in_precision(graph, "int8")                # QuantizeLinear and DequantizeLinear around products
fused(graph)                               # as runtimes fuse, without running one
"""

from lydite.graph.passes.fuse import fused
from lydite.graph.passes.precision import PRECISIONS, in_precision
from lydite.graph.passes.weights import WEIGHTS, with_weights

__all__ = ["PRECISIONS", "WEIGHTS", "fused", "in_precision", "with_weights"]
