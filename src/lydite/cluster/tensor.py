"""Tensor parallelism: one rank's share of a graph, with what the ranks exchange as operators.

How each operator is shared stands in its row (`lydite.graph.operators.split`); this module carries
it out: weights are declared in parts, and `Replicate`, `AllReduce`, `AllGather` and `Scatter` are
put where a tensor changes between whole and part (Megatron-LM, arXiv:1909.08053). With `sequence`
(arXiv:2205.05198) the tensors between products of weights are cut along the tokens, so that norms
and residuals are shared out too, and the sums become a reduce-scatter behind and an all-gather
before. What no rule shares is computed whole on every rank, and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lydite.errors import InputError
from lydite.graph import Graph, Initializer, Op
from lydite.graph.builder import Tensor
from lydite.graph.operators import BY_DECOMPOSITION, Known, Missing, facet
from lydite.graph.operators.split import (
    VOCABULARY,
    Constant,
    Cut,
    CutInput,
    Split,
    SplitCall,
    Summed,
    Want,
    Wanted,
)
from lydite.graph.passes.decompose import decomposed
from lydite.graph.passes.rewrite import Rewriter
from lydite.opkey import TensorType

GROUP = "tp"


@dataclass(frozen=True)
class Share:
    """One rank's share of a graph.

    Attributes:
        graph: what the rank computes and exchanges.
        whole: operators that every rank computes whole although an input was cut, so that it had to
            be gathered: their number by type.
    """

    graph: Graph
    whole: Mapping[str, int]


def tensor_parallel(graph: Graph, ranks: int, *, sequence: bool = False) -> Graph:
    """One rank's graph; see `rank_share`."""
    return rank_share(graph, ranks, sequence=sequence).graph


def rank_share(graph: Graph, ranks: int, *, sequence: bool = False) -> Share:
    """One rank's share of a graph.

    Args:
        graph: a net, or a net with its loss.
        ranks: number of ranks that share it.
        sequence: whether what lies between the products is shared out too, along the tokens.

    Raises:
        InputError: heads or widths do not divide (names the operator and what would), or nothing
            can be shared out.
        GraphError: there is control flow.
    """
    if ranks == 1:
        return Share(graph, {})
    share = _Sharing(decomposed(graph, _needs_primitives), ranks, sequence)
    found = share.run()
    if not share.products:
        raise InputError(
            f"nothing of it can be shared among {ranks} ranks",
            where=graph.name,
            hint="tensor parallelism needs products of weights over the last axis; take --dp",
        )
    return Share(found, dict(share.whole))


def _needs_primitives(op: Op) -> bool:
    """Operators that are shared as what they decompose into."""
    return facet(op.qualified_type, "split") == BY_DECOMPOSITION


class _Sharing:
    """Cuts by tensor name of the old graph, and the new graph as it grows."""

    def __init__(self, graph: Graph, ranks: int, sequence: bool) -> None:
        self.graph, self.ranks, self.sequence = graph, ranks, sequence
        self.cuts: dict[str, Cut] = {}
        self.products = 0
        self.whole: Counter[str] = Counter()
        self._entered: dict[str, Tensor] = {}
        self._joined: dict[str, Tensor] = {}

    def run(self) -> Graph:
        """One rank's graph; outputs that are cut are joined."""
        new = Rewriter(self.graph)
        for op in self.graph.ops:
            split = self._split(op)
            if split is None:
                self._compute_whole(new, op)
            else:
                self._apply(new, op, split)
        for name in self.graph.outputs:
            cached = name.startswith("present_")
            if not cached and self.graph.producers[name].op_type != "Attention":
                new.rename(name, self._join(new, name))
        return new.run(lambda *_: None)

    def _split(self, op: Op) -> Split | None:
        rule = facet(op.qualified_type, "split")
        if rule is None or isinstance(rule, Known | Missing):
            return None
        return rule(
            SplitCall(
                op,
                self.ranks,
                self.graph.input_types(op),
                self.graph.output_types(op),
                [self.cuts.get(name) for name in op.inputs],
                [name in self.graph.initializers for name in op.inputs],
                lambda size, what: self._divided(size, op, what),
            )
        )

    def _apply(self, new: Rewriter, op: Op, split: Split) -> None:
        """The operator on a rank's share."""
        self.products += split.product
        inputs = [
            self._as_wanted(new, op, name, wanted) if name else None
            for name, wanted in zip(op.inputs, split.inputs, strict=True)
        ]
        if split.outputs[:1] == (Summed.SUM,):
            part = replace(op, outputs=(f"{op.outputs[0]}/part",))
            (made,) = self._append(new, part, inputs, split.attrs)
            self._sum(new, op, made)
            return
        self._append(new, op, inputs, split.attrs)
        for name, cut in zip(op.outputs, split.outputs, strict=False):
            self.cuts[name] = cut if isinstance(cut, int) else None
        for kind, axis in split.exchanged:
            axes = new.g.constant([axis], f"{op.name}/axes")
            row = new.g.op(kind, new.tensor(op.inputs[0]), axes, name=f"{op.name}/{kind}")
            self._emit(new, "AllReduce", row)

    def _compute_whole(self, new: Rewriter, op: Op) -> None:
        """Every rank does all of it; what was cut is gathered, and the operator is named."""
        if any(self.cuts.get(name) is not None for name in op.inputs if name):
            self.whole[op.qualified_type] += 1
        new.keep(op, [self._join(new, name) if name else None for name in op.inputs])

    def _append(
        self, new: Rewriter, op: Op, inputs: Sequence[Tensor | None], attrs: Mapping[str, Any]
    ) -> list[Tensor]:
        names = tuple(t.name if t else "" for t in inputs)
        return new.g.append(replace(op, inputs=names, attrs={**op.attrs, **attrs}))

    def _as_wanted(self, new: Rewriter, op: Op, name: str, wanted: Wanted) -> Tensor:
        """An input as the rule wants it."""
        match wanted:
            case Want.KEEP:
                return new.tensor(name)
            case Want.ENTER:
                return self._enter(new, name)
            case Want.REPLICATE:
                return self._emit(new, "Replicate", self._join(new, name))
            case Constant():
                return new.g.constant(list(wanted.values), f"{op.name}/{wanted.name}")
            case CutInput():
                return self._cut_input(new, name, wanted.axis, op)
            case _ if name in self.graph.initializers:
                return self._weight(new, name, wanted, op)
            case _ if self.cuts.get(name) == wanted:
                return new.tensor(name)
            case _:
                return self._emit(new, "Scatter", new.tensor(name), axis=wanted)

    def _divided(self, size: int, op: Op, what: str) -> int:
        """A rank's share of a size.

        Raises:
            InputError: it does not divide.
        """
        if size % self.ranks:
            fits = [n for n in range(1, min(size, 2 * self.ranks) + 1) if size % n == 0]
            near = min(fits, key=lambda n: abs(n - self.ranks))
            raise InputError(
                f"{what} {size} cannot be shared among {self.ranks} ranks",
                where=f"{self.graph.name}: {op.name} ({op.op_type})",
                allowed=f"divisors of {size}; the nearest is {near}",
            )
        return size // self.ranks

    def _weight(self, new: Rewriter, name: str, axis: int, op: Op) -> Tensor:
        """A rank's part of a weight: declared, as nobody here has the numbers of one rank."""
        init = self.graph.initializers[name]
        shape = [int(dim) for dim in init.type.shape or ()]
        if shape[axis] >= VOCABULARY:
            shape[axis] = -(-shape[axis] // self.ranks)
        else:
            shape[axis] = self._divided(shape[axis], op, f"axis {axis} of {name},")
        if self.cuts.get(name) is None:
            part = Initializer(TensorType(init.type.dtype, tuple(shape)))
            new.rename(name, new.g.declare(f"{name}/part", part))
            self.cuts[name] = axis
        return new.tensor(name)

    def _enter(self, new: Rewriter, name: str) -> Tensor:
        """A whole tensor on its way into a shared part: free forward, a sum backward."""
        if name not in self._entered:
            if self.sequence and self.cuts.get(name) == 1:
                self._entered[name] = self._emit(new, "AllGather", new.tensor(name), axis=1)
            else:
                self._entered[name] = self._emit(new, "Replicate", self._join(new, name))
        return self._entered[name]

    def _join(self, new: Rewriter, name: str) -> Tensor:
        """The whole of a tensor that may be cut."""
        axis = self.cuts.get(name)
        if axis is None:
            return new.tensor(name)
        if name not in self._joined:
            self._joined[name] = self._emit(new, "AllGather", new.tensor(name), axis=axis)
        return self._joined[name]

    def _cut_input(self, new: Rewriter, name: str, axis: int, op: Op) -> Tensor:
        """An input of the graph of which each rank is given its part, such as a cache."""
        if name in self.graph.inputs and self.cuts.get(name) is None:
            type_ = self.graph.type_of(name)
            dims = [int(dim) for dim in type_.shape or () if isinstance(dim, int)]
            dims[axis] = self._divided(dims[axis], op, f"axis {axis} of {name},")
            new.g.retype_input(name, TensorType(type_.dtype, tuple(dims)))
            self.cuts[name] = axis
        return new.tensor(name)

    def _sum(self, new: Rewriter, op: Op, made: Tensor) -> None:
        """An output summed over the ranks, or a part of the sum along the tokens."""
        name = op.outputs[0]
        if self.sequence and len(made.shape) == 3 and made.shape[1] % self.ranks == 0:
            new.rename(name, self._emit(new, "ReduceScatter", made, axis=1))
            self.cuts[name] = 1
        else:
            new.rename(name, self._emit(new, "AllReduce", made))
            self.cuts[name] = None

    def _emit(self, new: Rewriter, op_type: str, x: Tensor, **attrs: Any) -> Tensor:
        return new.g.op(
            op_type,
            x,
            domain="lydite",
            name=f"{x.name}/{op_type}",
            group=GROUP,
            size=self.ranks,
            **attrs,
        )
