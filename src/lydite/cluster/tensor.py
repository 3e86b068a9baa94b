"""Tensor parallelism: one rank's share of a graph, with its collectives as operators.

The row of each operator says how it is split (`lydite.graph.operators.split`); this module applies
those rules: weights are declared in parts, and `Replicate`, `AllReduce`, `AllGather` and `Scatter`
are inserted where a tensor changes between whole and split (Megatron-LM, arXiv:1909.08053). With
`sequence` (arXiv:2205.05198) the tensors between products with weights are split along the tokens,
so that norms and residuals are split too, and each all-reduce becomes a reduce-scatter after the
product and an all-gather before the next. An operator that no rule splits is computed in full on
every rank, and reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lydite.cluster.tokens import expert_regions
from lydite.errors import InputError
from lydite.graph import Graph, Initializer, Op, body_runs
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
    normalised,
)
from lydite.graph.operators.split_products import BY_WEIGHT
from lydite.graph.passes.decompose import decomposed
from lydite.graph.passes.rewrite import Rewriter
from lydite.opkey import TensorType
from lydite.records import dataclass

GROUP = "tp"


@dataclass(frozen=True)
class Share:
    """One rank's share of a graph.

    Attributes:
        graph: Operators and collectives of the rank.
        whole: Number of operators by type that every rank computes in full although an input was
            split, so that it had to be gathered.
        summed: Names of weights that every rank holds in full and applies to its own tokens, so
            that their gradients are summed over the ranks.
    """

    graph: Graph
    whole: Mapping[str, int]
    summed: tuple[str, ...] = ()


def tensor_parallel(graph: Graph, ranks: int, *, sequence: bool = False) -> Graph:
    """The graph of one rank; arguments and errors as for `rank_share`."""
    return rank_share(graph, ranks, sequence=sequence).graph


def rank_share(
    graph: Graph, ranks: int, *, sequence: bool = False, spread_experts: bool = False
) -> Share:
    """One rank's share of a graph.

    Args:
        graph: Graph of a model, with or without its loss.
        ranks: Degree of tensor parallelism.
        sequence: Whether operators between the products are split too, along the tokens.
        spread_experts: Whether experts are left whole and run on each rank's own tokens (with
            `sequence`), so that they can be distributed over these ranks too.

    Raises:
        InputError: heads or widths do not divide, or nothing can be split; the error names the
            operator and the nearest number of ranks that divides.
    """
    if ranks == 1:
        return Share(graph, {})
    for op in graph.ops:
        if op.subgraphs and body_runs(op, graph) is not None:
            raise InputError(
                f"{op.name} ({op.op_type}) is control flow, which tensor parallelism cannot split",
                where=graph.name,
                hint="use --dp instead of --tp",
            )
    share = _Sharing(decomposed(graph, _needs_primitives), ranks, sequence, spread_experts)
    local_graph = share.run()
    if not share.products:
        raise InputError(
            f"no product of weights can be split among {ranks} ranks",
            where=graph.name,
            hint="tensor parallelism needs products of weights over the last axis; use --dp",
        )
    return Share(local_graph, dict(share.whole), tuple(dict.fromkeys(share.summed)))


def _needs_primitives(op: Op) -> bool:
    """Whether an operator is split by way of its decomposition."""
    return facet(op.qualified_type, "split") == BY_DECOMPOSITION


def low_rank_products(graph: Graph) -> set[str]:
    """Products whose output is normalised and then multiplied again, with nothing in between.

    Such are the down-projections of latent attention (DeepSeek-V2, arXiv:2405.04434), which every
    rank computes whole, since the products behind them are split by columns. So is the key of the
    one head that all queries share, which is known by its rotary positions.
    """

    def leads(op: Op, normed: bool) -> bool:
        rule = facet(op.qualified_type, "split")
        if rule in BY_WEIGHT or op.op_type == "LatentAttention":
            return normed
        if op.op_type == "RotaryEmbedding":
            return op.attrs.get("num_heads") == 1
        if rule is normalised:
            return any(leads(user, True) for user in users(op))
        if op.op_type in ("Split", "Reshape") or (op.op_type == "Concat" and normed):
            return any(leads(user, normed) for user in users(op))
        return False

    def users(op: Op) -> list[Op]:
        return [user for name in op.outputs for user in readers.get(name, ())]

    readers: dict[str, list[Op]] = {}
    for op in graph.ops:
        for name in op.inputs[:2] if op.op_type == "LatentAttention" else op.inputs[:1]:
            readers.setdefault(name, []).append(op)
        if op.op_type == "Concat":
            for name in op.inputs[1:]:
                readers.setdefault(name, []).append(op)
    products = (op for op in graph.ops if facet(op.qualified_type, "split") in BY_WEIGHT)
    return {op.name for op in products if any(leads(user, False) for user in users(op))}


class _Sharing:
    """Split axes by tensor name of the old graph, and the new graph under construction."""

    def __init__(self, graph: Graph, ranks: int, sequence: bool, spread: bool) -> None:
        self.graph, self.ranks, self.sequence = graph, ranks, sequence
        self.cuts: dict[str, Cut] = {}
        self.products = 0
        self.whole: Counter[str] = Counter()
        self.summed: list[str] = []
        self.regions = expert_regions(graph) if spread else {}
        self.narrow = low_rank_products(graph)
        self._entered: dict[str, Tensor] = {}
        self._joined: dict[str, Tensor] = {}

    def run(self) -> Graph:
        """The graph of one rank; graph outputs that are split, other than caches, are gathered."""
        new = Rewriter(self.graph)
        for op in self.graph.ops:
            if op.name in self.regions:
                self._own_tokens(new, op, self.regions[op.name])
                continue
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
        if op.name in self.narrow and self.cuts.get(op.inputs[0]) is None:
            return Split((Want.KEEP,) * len(op.inputs), (None,) * len(op.outputs))
        if op.op_type == "Cast" and op.inputs[0] in self.graph.inputs:
            readers = self.graph.consumers.get(op.outputs[0], ())
            if any(reader.op_type == "LinearAttention" for reader in readers):
                return Split((CutInput(1),), (1,))  # a state, which is kept in float32
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
        """Append the operator with its inputs and outputs split as its rule says."""
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
        for op_type, axis in split.exchanged:
            axes = new.g.constant([axis], f"{op.name}/axes")
            row = new.g.op(op_type, new.tensor(op.inputs[0]), axes, name=f"{op.name}/{op_type}")
            self._emit(new, "AllReduce", row)

    def _own_tokens(self, new: Rewriter, op: Op, place: str) -> None:
        """Append an operator of an expert region, on the tokens that the rank has of a sequence.

        Raises:
            InputError: the ranks do not divide the tokens.
        """
        inputs = [new.tensor(name) if name else None for name in op.inputs]
        if place == "enter" and self.cuts.get(op.inputs[0]) != 1:
            raise InputError(
                f"the tokens before the experts cannot be split among {self.ranks} ranks",
                where=f"{self.graph.name}: {op.name}",
                hint=f"use a --sequence that is a multiple of {self.ranks}",
            )
        if place != "inside":
            shape = [int(dim) for dim in self.graph.type_of(op.outputs[0]).shape or ()]
            shape = [-1, shape[-1]] if place == "enter" else [shape[0], -1, shape[-1]]
            inputs[1] = new.g.constant(shape, f"{op.name}/shape")
        elif op.op_type != "MoE":
            held = [name for name in op.inputs if name in self.graph.parameters]
            self.summed += held
        self._append(new, op, inputs, {})
        for name in op.outputs:
            self.cuts[name] = 1 if place == "leave" else 0

    def _compute_whole(self, new: Rewriter, op: Op) -> None:
        """Append the operator in full, gather its split inputs, and record it."""
        if any(self.cuts.get(name) is not None for name in op.inputs if name):
            self.whole[op.qualified_type] += 1
        new.keep(op, [self._join(new, name) if name else None for name in op.inputs])

    def _append(
        self, new: Rewriter, op: Op, inputs: Sequence[Tensor | None], attrs: Mapping[str, Any]
    ) -> list[Tensor]:
        names = tuple(t.name if t else "" for t in inputs)
        return new.g.append(replace(op, inputs=names, attrs={**op.attrs, **attrs}))

    def _as_wanted(self, new: Rewriter, op: Op, name: str, wanted: Wanted) -> Tensor:
        """An operator's input in the form that its rule requires, whole or split."""
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
        """A size divided by the number of ranks.

        Raises:
            InputError: the number of ranks does not divide it.
        """
        if size % self.ranks:
            fits = [n for n in range(1, min(size, 2 * self.ranks) + 1) if size % n == 0]
            near = min(fits, key=lambda n: abs(n - self.ranks))
            raise InputError(
                f"{what} {size} cannot be split among {self.ranks} ranks",
                where=f"{self.graph.name}: {op.name} ({op.op_type})",
                allowed=f"divisors of {size}; the nearest is {near}",
            )
        return size // self.ranks

    def _weight(self, new: Rewriter, name: str, axis: int, op: Op) -> Tensor:
        """A rank's part of a weight, declared without values."""
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
        """A whole tensor entering a split region: a no-op forward, an all-reduce backward."""
        if name not in self._entered:
            if self.sequence and self.cuts.get(name) == 1:
                self._entered[name] = self._emit(new, "AllGather", new.tensor(name), axis=1)
            else:
                self._entered[name] = self._emit(new, "Replicate", self._join(new, name))
        return self._entered[name]

    def _join(self, new: Rewriter, name: str) -> Tensor:
        """A tensor in full, gathered if it is split."""
        axis = self.cuts.get(name)
        if axis is None:
            return new.tensor(name)
        if name not in self._joined:
            self._joined[name] = self._emit(new, "AllGather", new.tensor(name), axis=axis)
        return self._joined[name]

    def _cut_input(self, new: Rewriter, name: str, axis: int, op: Op) -> Tensor:
        """A graph input, such as a cache, of which each rank receives only its part.

        Of a computed tensor that is whole, each rank takes its part.
        """
        if self.cuts.get(name) is None and name not in self.graph.inputs:
            return self._emit(new, "Scatter", new.tensor(name), axis=axis)
        if self.cuts.get(name) is None:
            type_ = self.graph.type_of(name)
            dims = [int(dim) for dim in type_.shape or () if isinstance(dim, int)]
            dims[axis] = self._divided(dims[axis], op, f"axis {axis} of {name},")
            new.g.retype_input(name, TensorType(type_.dtype, tuple(dims)))
            self.cuts[name] = axis
        return new.tensor(name)

    def _sum(self, new: Rewriter, op: Op, made: Tensor) -> None:
        """Append the sum of an output over the ranks: an all-reduce, or a reduce-scatter."""
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
