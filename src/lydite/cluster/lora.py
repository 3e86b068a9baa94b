"""Low-rank adapters (LoRA, arXiv:2106.09685): frozen weights, with two small trained products each.

A product y = x W becomes y = x W + s (x A) B, with A [in, rank] and B [rank, out]. Only A and B
have gradients and optimiser states. The pass works on one tensor-parallel rank's graph: where W is
split by columns so is B, and where it is split by rows so is A, whose partial results the sum after
the product adds up with those of W. The other of the two is replicated, and its gradient is summed
over the tensor-parallel ranks once a step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lydite.cluster.blocks import Blocks
from lydite.cluster.homes import Homes
from lydite.errors import InputError, unknown_name
from lydite.graph import Graph, Op
from lydite.graph.passes.rewrite import Rewriter
from lydite.records import dataclass

_NUMBER = re.compile(r"_\d+$")
_ROUTERS = ("router", "shared_gate")
"""Products that choose experts, which adapters leave alone unless they are named."""


@dataclass(frozen=True)
class Adapted:
    """A graph with adapters.

    Attributes:
        graph: The graph; its frozen weights are buffers.
        frozen: Names of the weights that are not trained.
        summed: Names of adapters' weights that all tensor-parallel ranks hold, whose gradients are
            summed over these ranks.
        through: Tensors between blocks whose gradients are needed although, in the first of several
            equal layers, they lead to no trained weight.
    """

    graph: Graph
    frozen: tuple[str, ...] = ()
    summed: tuple[str, ...] = ()
    through: tuple[str, ...] = ()


def adapted(graph: Graph, rank: int, targets: Sequence[str], blocks: Blocks) -> Adapted:
    """The graph with an adapter beside each targeted product, and all other weights frozen.

    Args:
        graph: Graph of one rank, with its loss.
        rank: Inner width of the adapters.
        targets: Names of weights without ".weight" and number, such as "query"; empty for all
            products with weights in the layers, except those that choose experts.
        blocks: Blocks of the model before it is partitioned.

    Raises:
        InputError: a target is no product with a weight, or there is none.
    """
    home = Homes(blocks, graph)
    repeats = any(block.count > 1 for block in blocks.blocks)
    products: dict[str, str] = {}
    for op in graph.ops:
        name = target_name(op.inputs[1]) if _is_product(op, graph) else ""
        in_layer = blocks.blocks[home.of(op)].count > 1 or not repeats
        if name and (in_layer or name in targets):
            products[op.name] = name
    names = sorted(set(products.values()))
    for target in targets:
        if target not in names:
            raise unknown_name("LoRA target", target, names)
    wanted = set(targets) or set(names) - set(_ROUTERS)
    chosen = {op for op, name in products.items() if name in wanted}
    if not chosen:
        raise InputError(
            "has no product with a weight that an adapter could stand beside",
            where=graph.name,
            hint="leave --lora-rank out",
        )

    summed: list[str] = []

    def rewrite(new: Rewriter, op: Op) -> None:
        if op.name not in chosen:
            new.keep(op)
            return
        names = _with_adapter(new, op, rank)
        axis = _split_axis(op, graph, blocks.graph)
        if axis is not None:  # A is whole beside columns of W, B beside rows
            summed.append(names[1 - axis])

    whole = Rewriter(graph).run(rewrite)
    frozen = tuple(name for name in whole.parameters if "/lora_" not in name)
    through = _through(whole, frozen, blocks)
    trained = replace(whole, buffers=whole.buffers | set(frozen))
    return Adapted(trained, frozen, tuple(summed), through)


def target_name(weight: str) -> str:
    """Name by which a weight is targeted: "query" for "query.weight_3/part"."""
    return _NUMBER.sub("", weight.partition("/")[0]).removesuffix(".weight")


def _is_product(op: Op, graph: Graph) -> bool:
    """Whether an operator is a product of data with a matrix of weights."""
    if op.qualified_type not in ("MatMul", "Gemm") or op.attrs.get("transA"):
        return False
    weight = op.inputs[1]
    return weight in graph.parameters and len(graph.type_of(weight).shape or ()) == 2


def _split_axis(op: Op, graph: Graph, whole: Graph) -> int | None:
    """Whether tensor parallelism splits a product's weight by rows (0) or columns (1), or not."""
    name = op.inputs[1]
    before = whole.tensors.get(name.removesuffix("/part"))
    shape, old = graph.type_of(name).shape, before.shape if before is not None else None
    if shape is None or old is None or shape == old:
        return None
    axis = 0 if shape[0] != old[0] else 1
    return 1 - axis if op.attrs.get("transB") else axis


def _with_adapter(new: Rewriter, op: Op, rank: int) -> tuple[str, str]:
    """Append product, adapter, scaling and sum; returns the names of A and B."""
    g, x = new.g, new.tensor(op.inputs[0])
    inputs = tuple(new.tensor(name).name if name else "" for name in op.inputs)
    (out,) = g.append(replace(op, inputs=inputs, outputs=(f"{op.outputs[0]}/frozen",)))
    a = g.weight((int(x.shape[-1]), rank), f"{op.name}/lora_a.weight", x.type.dtype)
    b = g.weight((rank, int(out.shape[-1])), f"{op.name}/lora_b.weight", x.type.dtype)
    y = g.op("MatMul", x, a, name=f"{op.name}/lora_a")
    y = g.op("MatMul", y, b, name=f"{op.name}/lora_b")
    scale = g.constant(1.0, f"{op.name}/lora_scale", x.type.dtype)
    y = g.op("Mul", y, scale, name=f"{op.name}/lora_scaled")
    new.rename(op.outputs[0], g.op("Add", out, y, name=f"{op.name}/lora_sum"))
    return a.name, b.name


def _through(graph: Graph, frozen: Sequence[str], blocks: Blocks) -> tuple[str, ...]:
    """Tensors that enter a repeated block and follow from frozen weights, such as embeddings.

    The first layer represents all, and in all others gradients go on to the layer before.
    """
    home, weighed = Homes(blocks, graph), set(frozen)
    entering: list[str] = []
    for op in graph.ops:
        if any(name in weighed for name in op.inputs):
            weighed.update(op.outputs)
    for op in graph.ops:
        at = home.of(op)
        if blocks.blocks[at].count == 1:
            continue
        for name in op.inputs:
            maker = graph.producers.get(name)
            if maker is not None and name in weighed and home.of(maker) < at:
                entering.append(name)
    return tuple(dict.fromkeys(entering))
