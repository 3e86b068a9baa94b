"""Overlap of tensor-parallel messages with the products beside them.

With sequence parallelism a product reads tokens that were gathered just before, or makes sums that
are scattered just after. Split into one part a rank, each part's message is sent while another part
is computed, as in Transformer Engine's and PyTorch's asynchronous tensor parallelism (Wang et al.,
ASPLOS 2023, doi:10.1145/3567955.3567959). A product of P seconds and a message of M seconds, in n
parts, take M / n + (n - 1) / n max(M, P) + P / n: (n - 1) / n min(M, P) is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.graph import Graph, Op

_PRODUCTS = ("MatMul", "Gemm", "FusedMatMul")
_BETWEEN = ("Reshape", "Add")
"""Operators that may stand between a message and its product: views, sums of several products."""


def products_beside(op: Op, graph: Graph) -> list[str]:
    """Names of the products that make what a message sends or, if none does, take what arrives."""
    return _makers(op.inputs[0], graph) or _takers(op.outputs[0], graph)


def _makers(name: str, graph: Graph) -> list[str]:
    maker = graph.producers.get(name)
    if maker is None:
        return []
    if maker.op_type in _PRODUCTS:
        return [maker.name]
    if maker.op_type in _BETWEEN:
        inputs = maker.inputs[:1] if maker.op_type == "Reshape" else maker.inputs
        return [product for name in inputs for product in _makers(name, graph)]
    return []


def _takers(name: str, graph: Graph) -> list[str]:
    found: list[str] = []
    for taker in graph.consumers.get(name, ()):
        if taker.op_type in _PRODUCTS:
            found.append(taker.name)
        elif taker.op_type == "Reshape":
            found += _takers(taker.outputs[0], graph)
    return found


class Room:
    """Seconds of a phase's products behind which messages can still hide.

    Args:
        kernels: Time of each kernel of the phase in seconds.
    """

    def __init__(self, kernels: Sequence[float]) -> None:
        self._left = list(kernels)

    def hidden_s(self, span_s: float, beside: Sequence[int], parts: int) -> float:
        """Seconds of a message that hide behind its products, whose time is then taken.

        Args:
            span_s: Time of the message in seconds.
            beside: Numbers of the kernels of its products.
            parts: Number of parts into which products and message are split.
        """
        wanted = span_s
        for kernel in beside:
            taken = min(wanted, self._left[kernel])
            self._left[kernel] -= taken
            wanted -= taken
        return (span_s - wanted) * (1 - 1 / parts)
