"""SMAUG's Python API: a script of its tutorial works with `import lydite.smaug as sg`.

    with sg.Graph(name="my_model", backend="SMV") as graph:
        x = sg.input_data(sg.Tensor(data_layout=sg.NHWC, tensor_data=image))
        x = sg.nn.convolution(x, filters, stride=[1, 1], padding="same", activation="relu")
        x = sg.nn.max_pool(x, pool_size=[2, 2], stride=[2, 2])
        x = sg.nn.mat_mul(x, weights)
    graph.write_graph()          # my_model_topo.pbtxt and my_model_params.pb
    logical = graph.to_graph()   # the same as a `lydite.graph.Graph`

Names of nodes, layouts and reorderings are those that SMAUG makes.
"""

from lydite.smaug import array, control_flow, math, nn
from lydite.smaug import array as tensor
from lydite.smaug.graph import Graph, Tensor, input_data
from lydite.smaug.types import (
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
