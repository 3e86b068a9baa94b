"""SMAUG's Python API, as its tutorial uses it."""

from lydite.compat.smaug.python import array, control_flow, math, nn
from lydite.compat.smaug.python import array as tensor
from lydite.compat.smaug.python.graph import Graph, Tensor, input_data
from lydite.compat.smaug.python.types import (
    CN,
    NC,
    NCHW,
    NCT,
    NHWC,
    NTC,
    AllAcp,
    AllAcpWithDmaForWeights,
    AllDma,
    Bool,
    Float16,
    Float32,
    Float64,
    Int32,
    Int64,
    N,
)

__all__ = [
    "CN",
    "NC",
    "NCHW",
    "NCT",
    "NHWC",
    "NTC",
    "AllAcp",
    "AllAcpWithDmaForWeights",
    "AllDma",
    "Bool",
    "Float16",
    "Float32",
    "Float64",
    "Graph",
    "Int32",
    "Int64",
    "N",
    "Tensor",
    "array",
    "control_flow",
    "input_data",
    "math",
    "nn",
    "tensor",
]
