"""SMAUG's matrix product."""

from __future__ import annotations

from collections.abc import Mapping

from lydite.compat.smaug.python.activations import fused
from lydite.compat.smaug.python.array import laid_out
from lydite.compat.smaug.python.graph import Tensor, add_node, get_graph, misfit


def mat_mul(
    input_tensor: Tensor,
    weight_tensor: Tensor,
    activation: str | None = None,
    activation_params: Mapping[str, float] | None = None,
    name: str = "mat_mul",
) -> Tensor:
    """A matrix [N, C] times weights, which are NC [units, C] or CN [C, units].

    Raises:
        GraphError: the inner sizes differ.
    """
    x = laid_out(input_tensor, "NC")
    w = laid_out(weight_tensor, "NC" if get_graph().backend == "SMV" else "CN")
    if len(x.dims) != 2 or len(w.dims) != 2:
        raise misfit(name, "InnerProduct", "two matrices", x, w)
    units, width = w.dims if w.layout == "NC" else w.dims[::-1]
    if x.dims[1] != width:
        raise misfit(name, "InnerProduct", "as many channels in input and weights", x, w)
    params = fused(activation, activation_params)
    return add_node(name, "InnerProduct", [x, w], [[x.dims[0], units]], layout="NC", params=params)[
        0
    ]
