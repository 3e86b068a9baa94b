"""Tensor parallelism: one rank's share of a graph, with what the ranks exchange as operators.

Products of weights are shared out as Megatron-LM does (arXiv:1909.08053): where the input is whole,
the weight is cut by columns and the output is a part; where the input is a part, by rows, and the
outputs are summed. What lies between works on parts. With `sequence` (arXiv:2205.05198) the tensors
between such pairs are cut along the tokens, so that norms and residuals are shared out too, and
the sums become a reduce-scatter behind and an all-gather before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from lydite.errors import InputError
from lydite.graph import Graph, Initializer, Op
from lydite.graph.builder import Tensor
from lydite.graph.passes.rewrite import Rewriter
from lydite.opkey import TensorType

GROUP = "tp"

VOCABULARY = 16384
"""A weight of so many rows is a vocabulary, which is padded where it does not divide."""

Cut: TypeAlias = "int | None"
"""Along which axis a tensor is cut; None where every rank has all of it."""

_UNARY = frozenset(
    (
        "Relu",
        "Gelu",
        "Tanh",
        "Sigmoid",
        "Swish",
        "Erf",
        "Cast",
        "Neg",
        "Sqrt",
        "Exp",
        "Identity",
        "LeakyRelu",
        "Elu",
        "HardSwish",
        "Clip",
        "Dropout",
    )
)
_BINARY = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Where"))


def tensor_parallel(graph: Graph, ranks: int, *, sequence: bool = False) -> Graph:
    """One rank's graph.

    Args:
        graph: a net, or a net with its loss.
        ranks: how many share it.
        sequence: also share out what lies between the products, along the tokens.

    Raises:
        InputError: heads or widths do not divide (names the operator and what would), or nothing
            can be shared out.
        GraphError: there is control flow.
    """
    if ranks == 1:
        return graph
    share = _Share(graph, ranks, sequence)
    found = share.run()
    if not share.products:
        raise InputError(
            f"nothing of it can be shared among {ranks} ranks",
            where=graph.name,
            hint="tensor parallelism needs products of weights over the last axis; take --dp",
        )
    return found


class _Share:
    """Cuts by tensor name of the old graph, and the new graph as it grows."""

    def __init__(self, graph: Graph, ranks: int, sequence: bool) -> None:
        self.graph, self.ranks, self.sequence = graph, ranks, sequence
        self.cuts: dict[str, Cut] = {}
        self.products = 0
        self._whole: dict[str, Tensor] = {}
        self._joined: dict[str, Tensor] = {}
        self._rows: dict[str, tuple[int, ...]] = {}

    def run(self) -> Graph:
        """One rank's graph; outputs that are cut are joined."""
        new = Rewriter(self.graph)
        for op in self.graph.ops:
            rule = _RULES.get(op.qualified_type) or (_elementwise if _plain(op) else None)
            if rule is None or not rule(self, new, op):
                self._together(new, op)
        for name in self.graph.outputs:
            cached = name.startswith("present_")
            if not cached and self.graph.producers[name].op_type != "Attention":
                new.rename(name, self.joined(new, name))
        return new.run(lambda *_: None)

    def cut(self, name: str) -> Cut:
        """How a tensor is cut."""
        return self.cuts.get(name)

    def divided(self, size: int, op: Op, what: str) -> int:
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

    def weight(self, new: Rewriter, name: str, axis: int, op: Op) -> Tensor:
        """A rank's part of a weight (declared; the numbers of one rank are nobody's here)."""
        init = self.graph.initializers[name]
        shape = [int(dim) for dim in init.type.shape or ()]
        if shape[axis] >= VOCABULARY:
            shape[axis] = -(-shape[axis] // self.ranks)
        else:
            shape[axis] = self.divided(shape[axis], op, f"axis {axis} of {name},")
        if self.cuts.get(name) is None:
            part = Initializer(TensorType(init.type.dtype, tuple(shape)))
            new.rename(name, new.g.declare(f"{name}/part", part))
            self.cuts[name] = axis
        return new.tensor(name)

    def whole(self, new: Rewriter, name: str) -> Tensor:
        """A whole tensor on its way into a shared part: free forward, a sum backward."""
        if name not in self._whole:
            if self.sequence and self.cut(name) == 1:
                self._whole[name] = self._emit(new, "AllGather", new.tensor(name), axis=1)
            else:
                self._whole[name] = self._emit(new, "Replicate", self.joined(new, name))
        return self._whole[name]

    def joined(self, new: Rewriter, name: str) -> Tensor:
        """The whole of a tensor that is cut."""
        axis = self.cut(name)
        if axis is None:
            return new.tensor(name)
        if name not in self._joined:
            self._joined[name] = self._emit(new, "AllGather", new.tensor(name), axis=axis)
        return self._joined[name]

    def replicated(self, new: Rewriter, x: Tensor) -> Tensor:
        """A whole tensor that a shared part reads, whatever it was made from."""
        return self._emit(new, "Replicate", x)

    def scattered(self, new: Rewriter, name: str, axis: int) -> Tensor:
        """A rank's part of a tensor that all have: free forward, gathered backward."""
        return self._emit(new, "Scatter", new.tensor(name), axis=axis)

    def summed(self, new: Rewriter, op: Op, made: Tensor) -> None:
        """The output of a product by rows: summed over the ranks, or a part of the sum."""
        if self.sequence and len(made.shape) == 3 and made.shape[1] % self.ranks == 0:
            self._put(new, op, self._emit(new, "ReduceScatter", made, axis=1), 1)
        else:
            self._put(new, op, self._emit(new, "AllReduce", made), None)

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

    def _put(self, new: Rewriter, op: Op, made: Tensor, cut: Cut) -> None:
        new.rename(op.outputs[0], made)
        self.cuts[op.outputs[0]] = cut

    def emit(
        self,
        new: Rewriter,
        op: Op,
        inputs: Sequence[Tensor | None],
        cuts: Sequence[Cut],
        **changed: Any,
    ) -> list[Tensor]:
        """The operator on a rank's share, with some attributes changed; its outputs' cuts."""
        made = new.g.append(
            replace(
                op, inputs=tuple(t.name if t else "" for t in inputs), attrs={**op.attrs, **changed}
            )
        )
        for name, cut in zip(op.outputs, cuts, strict=False):
            self.cuts[name] = cut
        return made

    def _together(self, new: Rewriter, op: Op) -> None:
        """An operator that nobody knows how to share: every rank does all of it."""
        self.emit(new, op, [self.joined(new, n) if n else None for n in op.inputs], [])


_Rule: TypeAlias = Callable[[_Share, Rewriter, Op], bool]
"""Appends a rank's share; False where it cannot, so that every rank does all of it."""


def _plain(op: Op) -> bool:
    return not op.domain and (op.op_type in _UNARY or op.op_type in _BINARY)


def _dims(share: _Share, name: str) -> list[int]:
    return [int(dim) for dim in share.graph.type_of(name).shape or () if isinstance(dim, int)]


def _is_weight(share: _Share, name: str) -> bool:
    return name in share.graph.initializers and len(_dims(share, name)) == 2


def _matmul(share: _Share, new: Rewriter, op: Op) -> bool:
    data, weight = op.inputs
    if not _is_weight(share, weight):
        return _batched(share, new, op)
    last = len(_dims(share, data)) - 1
    return _by_weight(share, new, op, last, rows_axis=0)


def _gemm(share: _Share, new: Rewriter, op: Op) -> bool:
    if op.attrs.get("transA") or not _is_weight(share, op.inputs[1]):
        return False
    return _by_weight(share, new, op, 1, rows_axis=1 if op.attrs.get("transB") else 0)


def _by_weight(share: _Share, new: Rewriter, op: Op, last: int, rows_axis: int) -> bool:
    """By columns where the data are whole, by rows where they are cut along the last axis."""
    data, weight, *bias = op.inputs
    share.products += 1
    if share.cut(data) == last:
        part = share.weight(new, weight, rows_axis, op)
        rest = [new.tensor(name) for name in bias]
        made = new.g.append(
            replace(
                op,
                name=f"{op.name}",
                outputs=(f"{op.outputs[0]}/part",),
                inputs=(new.tensor(data).name, part.name, *(t.name for t in rest)),
            )
        )[0]
        share.summed(new, op, made)
        return True
    part = share.weight(new, weight, 1 - rows_axis, op)
    rest = [share.weight(new, name, 0, op) for name in bias if name]
    share.emit(new, op, [share.whole(new, data), part, *rest], [last])
    return True


def _batched(share: _Share, new: Rewriter, op: Op) -> bool:
    """Products of computed tensors: both cut along the same leading axis, such as heads."""
    cuts = [share.cut(name) for name in op.inputs]
    rank = len(_dims(share, op.outputs[0]))
    if cuts[0] is None or cuts[0] != cuts[1] or cuts[0] >= rank - 2:
        return False
    share.emit(new, op, new.inputs(op), [cuts[0]])
    return True


def _elementwise(share: _Share, new: Rewriter, op: Op) -> bool:
    """Parts stay parts; weights beside them are cut along, what is repeated stays whole."""
    out = _dims(share, op.outputs[0])
    axes = {
        share.cut(name) + len(out) - len(_dims(share, name))  # type: ignore[operator]
        for name in op.inputs
        if name and share.cut(name) is not None and name not in share.graph.initializers
    }
    if not axes:
        return _with_whole_weights(share, new, op)
    if len(axes) > 1:
        return False
    (axis,) = axes
    if not all(
        _divides(share, name, axis - (len(out) - len(_dims(share, name)))) for name in op.inputs
    ):
        return False
    inputs: list[Tensor | None] = []
    for name in op.inputs:
        dims = _dims(share, name) if name else []
        own = axis - (len(out) - len(dims))
        if not name or own < 0 or dims[own] == 1 or share.cut(name) == own:
            inputs.append(new.tensor(name) if name else None)
        elif name in share.graph.initializers:
            inputs.append(share.weight(new, name, own, op))
        else:
            inputs.append(share.scattered(new, name, own))
    share.emit(new, op, inputs, [axis])
    return True


def _divides(share: _Share, name: str, axis: int) -> bool:
    """Whether a tensor is cut, repeated, or can be cut along an axis."""
    dims = _dims(share, name) if name else []
    whole = not name or axis < 0 or share.cut(name) is not None
    return whole or dims[axis] == 1 or dims[axis] % share.ranks == 0


def _with_whole_weights(share: _Share, new: Rewriter, op: Op) -> bool:
    share.emit(new, op, new.inputs(op), [None])
    return True


def _reshape(share: _Share, new: Rewriter, op: Op) -> bool:
    """The cut goes to the axis that begins where the old one began."""
    axis = share.cut(op.inputs[0])
    if axis is None:
        return _with_whole_weights(share, new, op)
    before, after = _dims(share, op.inputs[0]), _dims(share, op.outputs[0])
    start = math.prod(before[:axis])
    places = [i for i in range(len(after)) if math.prod(after[:i]) == start and after[i] > 1]
    if not places:
        return False
    place = places[0]
    if after[place] == before[axis]:
        after[place] = new.tensor(op.inputs[0]).shape[axis]
    elif after[place] % share.ranks:
        return False
    else:
        after[place] //= share.ranks
    shape = new.g.constant(after, f"{op.name}/shape")
    share.emit(new, op, [new.tensor(op.inputs[0]), shape], [place])
    return True


def _transpose(share: _Share, new: Rewriter, op: Op) -> bool:
    axis = share.cut(op.inputs[0])
    rank = len(_dims(share, op.inputs[0]))
    perm: Any = op.attrs.get("perm", tuple(reversed(range(rank))))
    share.emit(new, op, new.inputs(op), [None if axis is None else list(perm).index(axis)])
    return True


def _split(share: _Share, new: Rewriter, op: Op) -> bool:
    """Of query, key and value in one tensor every rank has its own heads of each."""
    axis, along = share.cut(op.inputs[0]), op.attrs.get("axis", 0)
    rank = len(_dims(share, op.inputs[0]))
    if axis is None or not isinstance(along, int) or along % rank != axis or len(op.inputs) < 2:
        return False
    sizes = [_dims(share, name)[axis] for name in op.outputs]
    parts = new.g.constant([share.divided(s, op, "a part of") for s in sizes], f"{op.name}/sizes")
    share.emit(new, op, [new.tensor(op.inputs[0]), parts], [axis] * len(sizes))
    return True


def _softmax(share: _Share, new: Rewriter, op: Op) -> bool:
    axis, rank = share.cut(op.inputs[0]), len(_dims(share, op.inputs[0]))
    along: Any = op.attrs.get("axis", -1)
    if axis is None or along % rank == axis:
        return _over_parts(share, new, op, axis)
    share.emit(new, op, new.inputs(op), [axis])
    return True


def _over_parts(share: _Share, new: Rewriter, op: Op, axis: Cut) -> bool:
    """LogSoftmax over shared classes: maximum and sum of each row cross the network instead."""
    if axis is None or op.op_type != "LogSoftmax":
        return axis is None and _with_whole_weights(share, new, op)
    share.emit(new, op, new.inputs(op), [axis])
    for kind in ("ReduceMax", "ReduceSum"):
        axes = new.g.constant([axis], f"{op.name}/axes")
        row = new.g.op(kind, new.tensor(op.inputs[0]), axes, name=f"{op.name}/{kind}")
        share._emit(new, "AllReduce", row)
    return True


def _likelihood(share: _Share, new: Rewriter, op: Op) -> bool:
    """Each rank looks at its own classes, and the losses are summed."""
    if share.cut(op.inputs[0]) != 1:
        return False
    made = new.g.append(
        replace(
            op,
            inputs=tuple(t.name for t in new.inputs(op) if t),
            outputs=(f"{op.outputs[0]}/part",),
        )
    )[0]
    share._put(new, op, share._emit(new, "AllReduce", made), None)
    return True


def _normalised(share: _Share, new: Rewriter, op: Op) -> bool:
    """Over the last axis: cut along the tokens or not at all."""
    axis = share.cut(op.inputs[0])
    if axis is not None and axis != 1:
        return False
    share.emit(new, op, new.inputs(op), [axis])
    return True


def _attention(share: _Share, new: Rewriter, op: Op) -> bool:
    """Each rank has its own heads, of queries and of keys, and their part of the cache."""
    axis = share.cut(op.inputs[0])
    if axis is None:
        return False
    changed: dict[str, Any] = {}
    for attr in ("q_num_heads", "kv_num_heads"):
        if attr in op.attrs:
            heads: Any = op.attrs[attr]
            changed[attr] = share.divided(heads, op, attr)
    for name in op.inputs[4:6]:
        _cut_input(share, new, name, 1, op)
    share.emit(new, op, new.inputs(op), [axis, 1, 1], **changed)
    return True


def _cut_input(share: _Share, new: Rewriter, name: str, axis: int, op: Op) -> None:
    """An input of the graph of which each rank gets its part, such as a cache."""
    if not name or name not in share.graph.inputs or share.cut(name) is not None:
        return
    dims = _dims(share, name)
    dims[axis] = share.divided(dims[axis], op, f"axis {axis} of {name},")
    new.g.retype_input(name, TensorType(share.graph.type_of(name).dtype, tuple(dims)))
    share.cuts[name] = axis


def _rotary(share: _Share, new: Rewriter, op: Op) -> bool:
    axis = share.cut(op.inputs[0])
    if axis is None:
        return _with_whole_weights(share, new, op)
    heads: Any = op.attrs.get("num_heads")
    changed = {"num_heads": share.divided(heads, op, "num_heads")} if heads else {}
    share.emit(new, op, new.inputs(op), [axis], **changed)
    return True


def _embedding(share: _Share, new: Rewriter, op: Op) -> bool:
    """A table of words by rows: a rank looks up its own words, and the rows are summed."""
    table = op.inputs[0]
    if not _is_weight(share, table) or op.attrs.get("axis", 0) != 0:
        return False
    rows = _dims(share, table)[0]
    if rows < VOCABULARY:  # positions and kinds: everybody has them
        return False
    part = share.weight(new, table, 0, op)
    made = new.g.append(
        replace(
            op,
            inputs=(part.name, new.tensor(op.inputs[1]).name),
            outputs=(f"{op.outputs[0]}/part",),
        )
    )[0]
    share.summed(new, op, made)
    return True


def _experts(share: _Share, new: Rewriter, op: Op) -> bool:
    """Each rank has a part of every expert's inner width; the outputs are summed."""
    tokens, router, up, up_bias, down, *rest = (*op.inputs, "", "", "")[: max(5, len(op.inputs))]
    if up_bias or any(rest):
        return False
    share.products += 1
    parts = [share.weight(new, up, 1, op), None, share.weight(new, down, 2, op)]
    scores = share.joined(new, router)
    inputs = [share.whole(new, tokens), share.replicated(new, scores), *parts]
    made = new.g.append(
        replace(
            op,
            inputs=tuple(t.name if t else "" for t in inputs),
            outputs=(f"{op.outputs[0]}/part",),
        )
    )[0]
    share.summed(new, op, made)
    return True


_RULES: dict[str, _Rule] = {
    "com.microsoft:MoE": _experts,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Split": _split,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "NegativeLogLikelihoodLoss": _likelihood,
    "LayerNormalization": _normalised,
    "RMSNormalization": _normalised,
    "Attention": _attention,
    "RotaryEmbedding": _rotary,
    "Gather": _embedding,
}
