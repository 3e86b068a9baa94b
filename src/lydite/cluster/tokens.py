"""Expert and context parallelism: graph passes for ranks that hold different tokens.

Both passes work on one rank's graph, built for its own tokens.

- Experts (GShard, arXiv:2006.16668): each rank holds some experts of every layer. Tokens are sent
  to the ranks of their experts and back, in one all-to-all before the experts and one after them;
  each carries every token once per expert that it is routed to. Routing is assumed to be balanced.
- Context (Llama 3, arXiv:2407.21783, section 3.3.2): each rank holds some tokens of every sequence.
  Only attention reads other ranks' tokens: keys and values are gathered before it. Chunks are
  assigned from both ends of the sequence, so that causal masks leave every rank the same work.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.errors import InputError
from lydite.graph import Graph, Initializer, Op
from lydite.graph.builder import Tensor
from lydite.graph.passes.rewrite import Rewriter
from lydite.opkey import TensorType


def expert_parallel(graph: Graph, ranks: int, *, parts: int = 1) -> Graph:
    """The graph with one rank's share of the experts.

    Args:
        graph: Graph of one rank.
        ranks: Number of ranks that the experts are distributed over.
        parts: Number of ranks that hold the same tokens and each send a part of them (sequence
            parallelism); with 1 each rank sends all of its tokens.

    Raises:
        InputError: there are no experts, or their number does not divide; the error names the
            nearest number of ranks that does.
    """
    if ranks == 1:
        return graph
    if not any(op.op_type == "MoE" for op in graph.ops):
        raise InputError("has no experts to distribute", where=graph.name, hint="leave --ep out")

    def rewrite(new: Rewriter, op: Op) -> None:
        if op.op_type != "MoE":
            new.keep(op)
            return
        tokens, router, *weights = new.inputs(op)
        assert tokens is not None and router is not None
        own_weights = [_part(new, w, ranks, op) if w is not None else None for w in weights]
        chosen: Any = op.attrs.get("k", 1)
        sent = _exchanged(new, tokens, op, "dispatch", chosen, ranks, parts)
        own_router = new.g.op(
            "Scatter",
            router,
            domain="lydite",
            name=f"{op.name}/own",
            group="ep",
            size=ranks,
            axis=1,
        )
        made = new.g.append(
            replace(
                op,
                inputs=tuple(t.name if t else "" for t in (sent, own_router, *own_weights)),
                outputs=(f"{op.outputs[0]}/own",),
            )
        )[0]
        new.rename(op.outputs[0], _exchanged(new, made, op, "combine", chosen, ranks, parts))

    return Rewriter(graph).run(rewrite)


def expert_regions(graph: Graph) -> dict[str, str]:
    """Operators that route and run experts on flat rows of tokens, by what they do there.

    "enter" flattens [batch, tokens, width] to rows, "leave" is its reverse, and "inside" is what
    lies between: routers, experts, projections.
    """
    found: dict[str, str] = {}
    for op in graph.ops:
        if op.op_type != "MoE":
            continue
        found[op.name] = "inside"
        behind = [graph.producers.get(name) for name in op.inputs[:2]]
        while behind:
            maker = behind.pop()
            if maker is not None and maker.name not in found:
                enters = _is_flattening(graph, maker.inputs[0], maker.outputs[0])
                found[maker.name] = "enter" if enters else "inside"
                behind += [] if enters else [graph.producers.get(name) for name in maker.inputs]
        ahead = list(graph.consumers.get(op.outputs[0], ()))
        while ahead:
            taker = ahead.pop()
            leaves = _is_flattening(graph, taker.outputs[0], taker.inputs[0])
            found[taker.name] = "leave" if leaves else "inside"
            ahead += [] if leaves else graph.consumers.get(taker.outputs[0], ())
    return found


def _is_flattening(graph: Graph, long: str, flat: str) -> bool:
    """Whether one tensor is [batch, tokens, width], and the other its rows."""
    before, after = graph.type_of(long).shape or (), graph.type_of(flat).shape or ()
    return len(before) == 3 and len(after) == 2 and before[-1] == after[-1]


def _exchanged(
    new: Rewriter, x: Tensor, op: Op, what: str, copies: int, ranks: int, parts: int
) -> Tensor:
    return new.g.op(
        "AllToAll",
        x,
        domain="lydite",
        name=f"{op.name}/{what}",
        group="ep",
        size=ranks,
        copies=copies,
        parts=parts,
    )


def _part(new: Rewriter, weight: Tensor, ranks: int, op: Op) -> Tensor:
    shape = [int(dim) for dim in weight.shape]
    if shape[0] % ranks:
        fits = [n for n in range(1, shape[0] + 1) if shape[0] % n == 0]
        near = min(fits, key=lambda n: abs(n - ranks))
        raise InputError(
            f"{shape[0]} experts cannot be distributed over {ranks} ranks",
            where=f"{new.graph.name}: {op.name}",
            allowed=f"divisors of {shape[0]}; the nearest is {near}",
        )
    type_ = TensorType(weight.type.dtype, (shape[0] // ranks, *shape[1:]))
    return new.g.declare(f"{weight.name}/own", Initializer(type_))


def context_parallel(graph: Graph, ranks: int) -> Graph:
    """The graph with keys and values gathered before each attention.

    Args:
        graph: Graph of one rank, built for a sequence of its own tokens only.
        ranks: Number of ranks that each sequence is split over.

    Raises:
        InputError: there is no attention operator, or one has a mask or a cache.
    """
    if ranks == 1:
        return graph
    attentions = [op for op in graph.ops if op.qualified_type == "Attention"]
    if not attentions or any(len(op.outputs) > 1 or any(op.inputs[3:]) for op in attentions):
        raise InputError(
            "context parallelism needs attention as one operator, without mask and cache",
            where=graph.name,
            hint="use a decoder in the phase forward, or leave --cp out",
        )

    def rewrite(new: Rewriter, op: Op) -> None:
        if op.qualified_type != "Attention":
            new.keep(op)
            return
        query, *others = new.inputs(op)
        whole = [_gathered(new, x, ranks) if x is not None else None for x in others]
        new.keep(op, [query, *whole])

    return Rewriter(graph).run(rewrite)


def _gathered(new: Rewriter, x: Tensor, ranks: int) -> Tensor:
    return new.g.op(
        "AllGather", x, domain="lydite", name=f"{x.name}/context", group="cp", size=ranks, axis=1
    )
