"""Which operators of a step share a kernel, as the runtime has it.

All runtimes here compute a product's bias in its kernel, read transposed operands of products and
attention in place, take slices as views, and update all weights of a block in one kernel. Where a
runtime fuses chains of elementwise operators, with a softmax at their end, a chain reads its inputs
once and writes only what others read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lydite.graph import Graph, Op
from lydite.graph.operators import operator
from lydite.records import dataclass

_GRADIENTS = ("GeluGrad", "ReluGrad", "SigmoidGrad", "TanhGrad", "SiluGrad", "SwishGrad")
_ENDS = ("Softmax",)
_UPDATES = ("Adam", "Momentum", "GradientDescent", "Adagrad")
_PRODUCTS = ("MatMul", "FusedMatMul", "Gemm")
_READS_ANY_LAYOUT = (*_PRODUCTS, "Attention", "AttentionTraining", "AttentionGrad", "Reshape")


@dataclass(frozen=True, slots=True)
class Share:
    """An operator's part in a kernel.

    Attributes:
        leads: Whether a kernel begins with it; the others run in the kernel of one before.
        scale: Factor on its time alone.
    """

    leads: bool = True
    scale: float = 1.0


ALONE = Share()


def shares_of(
    graph: Graph, places: Mapping[str, tuple[int, str]], *, chains: bool
) -> dict[str, Share]:
    """The share of each operator that is not a kernel of its own, by name.

    Args:
        graph: One rank's graph.
        places: Block and phase of each operator by name; kernels stay within one.
        chains: Whether elementwise chains are fused.
    """
    found: dict[str, Share] = {}
    updated: set[tuple[int, str]] = set()
    for op in graph.ops:
        if op.op_type in _UPDATES and op.name in places:
            place = places[op.name]
            if place in updated:
                found[op.name] = Share(leads=False)
            updated.add(place)
        elif _in_place(graph, op) or _bias_of_product(graph, op, places):
            found[op.name] = Share(leads=False, scale=0.0)
    if chains:
        for chain in _chains(graph, places, found):
            found |= _merged(graph, chain)
    return found


def _in_place(graph: Graph, op: Op) -> bool:
    """Whether an operator only says where data lie."""
    if op.qualified_type == "Split":
        return True
    if op.qualified_type != "Transpose":
        return False
    readers = graph.consumers.get(op.outputs[0], [])
    return bool(readers) and all(reader.op_type in _READS_ANY_LAYOUT for reader in readers)


def _bias_of_product(graph: Graph, op: Op, places: Mapping[str, tuple[int, str]]) -> bool:
    """Whether an operator adds a vector to a product that nothing else reads."""
    if op.qualified_type != "Add" or len(op.inputs) != 2:
        return False
    if not any(len(graph.type_of(name).shape or (0, 0)) == 1 for name in op.inputs):
        return False
    makers = [maker for name in op.inputs if (maker := graph.producers.get(name))]
    return any(
        maker.op_type in _PRODUCTS
        and places.get(maker.name) == places.get(op.name)
        and len(graph.consumers.get(maker.outputs[0], [])) == 1
        for maker in makers
    )


def _chains(
    graph: Graph, places: Mapping[str, tuple[int, str]], taken: Mapping[str, Share]
) -> list[list[Op]]:
    """Elementwise operators that each read the one before, in the same block and phase."""
    position = {op.name: at for at, op in enumerate(graph.ops)}
    chain_of: dict[str, list[Op]] = {}
    for op in graph.ops:
        if op.name not in places or op.name in taken or not _elementwise(op):
            continue
        makers = [maker for name in op.inputs if (maker := graph.producers.get(name))]
        last = max(makers, key=lambda maker: position[maker.name], default=None)
        chain = chain_of.get(last.name) if last is not None else None
        joins = (
            chain is not None
            and places[op.name] == places[chain[0].name]
            and chain[-1].op_type not in _ENDS
            and _size(graph, op) == _size(graph, chain[-1])
        )
        mine = chain if joins and chain is not None else []
        mine.append(op)
        chain_of[op.name] = mine
    return [chain for chain in {id(c): c for c in chain_of.values()}.values() if len(chain) > 1]


def _elementwise(op: Op) -> bool:
    row = operator(op.qualified_type)
    if op.op_type in _ENDS or op.op_type in _GRADIENTS:
        return True
    return row is not None and row.family == "elementwise"


def _size(graph: Graph, op: Op) -> int | None:
    return graph.type_of(op.outputs[0]).numel


def _merged(graph: Graph, chain: Sequence[Op]) -> dict[str, Share]:
    """Shares of a chain: its bytes as one kernel over those of its operators."""
    names = {op.name for op in chain}
    made = {name for op in chain for name in op.outputs if name}
    outer = {name for op in chain for name in op.inputs if name and name not in made}
    read = sum(graph.type_of(name).nbytes or 0.0 for name in outer)
    written = 0.0
    for op in chain:
        for name in op.outputs:
            readers = graph.consumers.get(name, [])
            if name in graph.outputs or any(reader.name not in names for reader in readers):
                written += graph.type_of(name).nbytes or 0.0
    alone = sum(
        graph.type_of(name).nbytes or 0.0
        for op in chain
        for name in (*op.inputs, *op.outputs)
        if name
    )
    scale = min(1.0, (read + written) / alone) if alone else 1.0
    return {op.name: Share(leads=at == 0, scale=scale) for at, op in enumerate(chain)}
