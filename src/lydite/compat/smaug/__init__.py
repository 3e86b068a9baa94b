"""SMAUG's Python API: a script of its tutorial works with `import lydite.compat.smaug as sg`.

    with sg.Graph(name="my_model", backend="SMV") as graph:
        x = sg.input_data(sg.Tensor(data_layout=sg.NHWC, tensor_data=image))
        x = sg.nn.convolution(x, filters, stride=[1, 1], padding="same", activation="relu")
        x = sg.nn.max_pool(x, pool_size=[2, 2], stride=[2, 2])
        x = sg.nn.mat_mul(x, weights)
    graph.write_graph()          # my_model_topo.pbtxt and my_model_params.pb
    logical = graph.to_graph()   # the same as a `lydite.graph.Graph`

Names of nodes, layouts and reorderings are those that SMAUG makes.

Its files are here too: topologies and parameters (`read_smaug`, `write_smaug`) and configurations
of chips (`read_smaug_chip`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.registry import lazily

if TYPE_CHECKING:
    from lydite.compat.smaug.chip import read_smaug_chip
    from lydite.compat.smaug.python import (
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
        Graph,
        Int32,
        Int64,
        N,
        Tensor,
        array,
        control_flow,
        input_data,
        math,
        nn,
        tensor,
    )
    from lydite.compat.smaug.topology import read_smaug, write_smaug

_FILES = {"read_smaug": "topology", "write_smaug": "topology", "read_smaug_chip": "chip"}

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
    "read_smaug",
    "read_smaug_chip",
    "tensor",
    "write_smaug",
]

__getattr__ = lazily(__name__, {name: _FILES.get(name, "python") for name in __all__})
