"""Rules that split an operator over tensor-parallel ranks; `lydite.cluster.tensor` applies them.

From the split axes of an operator's inputs, a rule derives the form that each input must have and
the split axes of the outputs. Products with weights are split as in Megatron-LM (arXiv:1909.08053):
where the input is whole, the weight is split by columns and the output is a part; where the input
is a part, the weight is split by rows and the outputs are summed over the ranks. Operators in
between work on parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from enum import Enum
from typing import Any, TypeAlias

from lydite.graph.op import Op
from lydite.opkey import TensorType
from lydite.records import dataclass

VOCABULARY = 16384
"""A table with at least this many rows is a vocabulary: split by rows, padded if indivisible."""

Cut: TypeAlias = "int | None"
"""The axis along which a tensor is cut; None where every rank has all of it."""


class Want(Enum):
    """Required form of an input other than a split along a given axis."""

    KEEP = "unchanged, split or whole"
    ENTER = "whole, entering a split region: free forward, summed over the ranks backward"
    REPLICATE = "gathered, then as ENTER"


@dataclass(frozen=True, slots=True)
class CutInput:
    """A graph input, such as a cache, of which each rank receives only its part.

    Attributes:
        axis: Axis along which it is split.
    """

    axis: int


@dataclass(frozen=True, slots=True)
class Constant:
    """An integer constant in place of the input, such as the sizes of a part.

    Attributes:
        values: Values of the constant.
        name: Suffix of the constant's name.
    """

    values: tuple[int, ...]
    name: str


Wanted: TypeAlias = "Want | int | CutInput | Constant"
"""An axis splits the input along it: weights are declared in parts, other tensors scattered."""


class Summed(Enum):
    """An output that is the sum of the ranks' partial results."""

    SUM = "summed over the ranks"


@dataclass(frozen=True)
class Split:
    """How an operator is split over ranks.

    Attributes:
        inputs: Required form of each input.
        outputs: Split axis of each output, or that it has to be summed.
        attrs: Attributes that differ on one rank's part.
        product: Whether the operator is a product with a split weight.
        exchanged: Additional reductions of each row of the first input that are all-reduced, as
            operator type and reduced axis.
    """

    inputs: tuple[Wanted, ...]
    outputs: tuple[Cut | Summed, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    product: bool = False
    exchanged: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class SplitCall:
    """An operator call with the split axes of its inputs.

    Attributes:
        op: Operator to split.
        ranks: Number of tensor-parallel ranks.
        ins: Input types; None for an omitted input.
        outs: Output types.
        cuts: Split axis of each input; None for a whole one.
        weights: Whether each input is an initializer.
        divided: Function that divides a size by the number of ranks, given the size and a label for
            it; raises an InputError that names the operator if it does not divide.
    """

    op: Op
    ranks: int
    ins: Sequence[TensorType | None]
    outs: Sequence[TensorType]
    cuts: Sequence[Cut]
    weights: Sequence[bool]
    divided: Callable[[int, str], int]

    def dims(self, index: int) -> list[int]:
        """Sizes of an input; [] if it is omitted."""
        type_ = self.ins[index] if index < len(self.ins) else None
        return _sizes(type_)

    def out_dims(self, index: int = 0) -> list[int]:
        """Sizes of an output."""
        return _sizes(self.outs[index])

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.ins) and self.ins[index] is not None

    def is_matrix(self, index: int) -> bool:
        """Whether an input is a weight with two axes."""
        return self.weights[index] and len(self.dims(index)) == 2

    def kept(self, *outputs: Cut | Summed, **attrs: Any) -> Split:
        """A split that takes all inputs unchanged."""
        return Split((Want.KEEP,) * len(self.op.inputs), outputs, attrs)

    def attr(self, name: str, default: Any = None) -> Any:
        """Value of an attribute, or `default` if it is absent."""
        return self.op.attrs.get(name, default)


SplitRule: TypeAlias = Callable[[SplitCall], "Split | None"]
"""None if the operator cannot be split given its inputs' cuts: every rank computes it whole."""


def _sizes(type_: TensorType | None) -> list[int]:
    shape = type_.shape if type_ is not None else None
    return [int(dim) for dim in shape or () if isinstance(dim, int)]


# --- operators that keep parts as parts --------------------------------------------------------


def pointwise(call: SplitCall) -> Split | None:
    """Elementwise: parts stay parts, and weights are split along with them."""
    out = call.out_dims()
    given = [i for i in range(len(call.op.inputs)) if call.has(i)]
    shift = {i: len(out) - len(call.dims(i)) for i in given}
    axes = {
        cut + shift[i] for i in given if (cut := call.cuts[i]) is not None and not call.weights[i]
    }
    if not axes:
        return call.kept(*[None] * len(call.outs))
    if len(axes) > 1:
        return None
    (axis,) = axes
    inputs: list[Wanted] = [Want.KEEP] * len(call.op.inputs)
    for i in given:
        dims, own_axis = call.dims(i), axis - shift[i]
        if own_axis < 0 or dims[own_axis] == 1 or call.cuts[i] == own_axis:
            continue
        if call.cuts[i] is None and dims[own_axis] % call.ranks:
            return None
        inputs[i] = own_axis
    return Split(tuple(inputs), (axis,) * len(call.outs))


def independent(mixed: Callable[[SplitCall], Sequence[int]]) -> SplitRule:
    """Rule for an operator that mixes only some axes of its first input and keeps its shape."""

    def rule(call: SplitCall) -> Split | None:
        axis, rank = call.cuts[0], len(call.dims(0))
        if any(cut is not None for cut in call.cuts[1:]):
            return None
        if axis is None:
            return call.kept(*[None] * len(call.outs))
        if axis in {other % rank for other in mixed(call)}:
            return None
        return call.kept(*[axis] * len(call.outs))

    return rule


def along(name: str = "axis", default: int = -1) -> SplitRule:
    """Rule for an operator that mixes only the axis that the attribute `name` gives."""
    return independent(lambda call: [int(call.attr(name, default))])


def _trailing(call: SplitCall) -> list[int]:
    rank = len(call.dims(0))
    return list(range(int(call.attr("axis", -1)) % max(1, rank), rank))


def normalised(call: SplitCall) -> Split | None:
    """A normalisation over the axes from `axis` on.

    Where it mixes only the axis that is split, as norms over all heads of a query do, each rank
    keeps its part and the sums of each row are exchanged, as vLLM's MiniMaxText01RMSNormTP does.
    """
    axis, mixed = call.cuts[0], _trailing(call)
    given = range(1, len(call.op.inputs))
    if axis is None or mixed != [axis] or len(call.outs) > 1:
        return _normalised_alone(call)
    if any(call.cuts[i] is not None or not call.weights[i] for i in given):
        return None
    sums = ("ReduceSumSquare",) if "RMS" in call.op.op_type else ("ReduceSum", "ReduceSumSquare")
    inputs = (Want.KEEP, *[0] * len(given))
    return Split(inputs, (axis,), exchanged=tuple((name, axis) for name in sums))


_normalised_alone = independent(_trailing)

per_channel = independent(lambda call: range(1, len(call.dims(0))))
"""Rule for operators that mix channels and pixels but not samples."""

windows = independent(lambda call: range(2, len(call.dims(0))))
"""Rule for windows over the trailing axes, independent for each sample and channel."""

last_axis = independent(lambda _: [-1])
"""Rule for operators that mix only the last axis."""

rows_alone = independent(lambda call: range(1, len(call.dims(0))))
"""Rule for operators whose rows along the first axis are independent."""


def softmax(call: SplitCall) -> Split | None:
    """Splits axes other than the reduced one; LogSoftmax over split classes exchanges max, sum."""
    axis, rank = call.cuts[0], len(call.dims(0))
    if axis is None or int(call.attr("axis", -1)) % rank != axis:
        return call.kept(axis)
    if call.op.op_type != "LogSoftmax":
        return None
    kept = call.kept(axis)
    return Split(kept.inputs, kept.outputs, exchanged=(("ReduceMax", axis), ("ReduceSum", axis)))


def likelihood(call: SplitCall) -> Split | None:
    """Each rank evaluates its own classes, and the losses are summed."""
    return call.kept(Summed.SUM) if call.cuts[0] == 1 else None


def reduced(sums: bool = False) -> SplitRule:
    """Rule for a reduction; a sum over a split axis is summed over the ranks."""

    def rule(call: SplitCall) -> Split | None:
        axis, before, after = call.cuts[0], call.dims(0), call.out_dims()
        if axis is None:
            return call.kept(*[None] * len(call.outs))
        if len(before) == len(after):
            gone = before[axis] != after[axis]
            place: int | None = axis
        else:
            place = _place(before, after, axis)
            gone = place is None or after[place] != before[axis]
        if not gone:
            return call.kept(place)
        return call.kept(Summed.SUM) if sums and len(call.outs) == 1 else None

    return rule


# --- shapes ----------------------------------------------------------------------------------


def _place(before: Sequence[int], after: Sequence[int], axis: int) -> int | None:
    """The axis after a reshape that begins where `axis` began before it, or None."""
    start = math.prod(before[:axis])
    places = [i for i in range(len(after)) if math.prod(after[:i]) == start and after[i] > 1]
    return places[0] if places else None


def reshape(call: SplitCall) -> Split | None:
    """The split moves to the axis that begins where the split axis began."""
    axis = call.cuts[0]
    if axis is None:
        return call.kept(None)
    before, after = call.dims(0), call.out_dims()
    place = _place(before, after, axis)
    if place is None:
        return None
    if after[place] == before[axis]:
        after[place] = -(-before[axis] // call.ranks)
    elif after[place] % call.ranks:
        return None
    else:
        after[place] //= call.ranks
    if len(call.op.inputs) < 2:
        return call.kept(place)
    return Split((Want.KEEP, Constant(tuple(after), "shape")), (place,))


def expanded(call: SplitCall) -> Split | None:
    """Along an axis that is not expanded, to sizes that are constant."""
    axis = call.cuts[0]
    if axis is None:
        return call.kept(None)
    sizes = call.out_dims()
    place = axis + len(sizes) - len(call.dims(0))
    if call.dims(0)[axis] != sizes[place]:
        return None
    sizes[place] = call.divided(sizes[place], f"axis {place}")
    return Split((Want.KEEP, Constant(tuple(sizes), "sizes")), (place,))


def reordered(call: SplitCall) -> Split | None:
    """Axes added, removed or merged, with the elements in unchanged order."""
    axis = call.cuts[0]
    if axis is None:
        return call.kept(None)
    before, after = call.dims(0), call.out_dims()
    place = _place(before, after, axis)
    whole = place is not None and after[place] == before[axis]
    return call.kept(place) if whole else None


def transpose(call: SplitCall) -> Split | None:
    """The split follows its axis."""
    axis, rank = call.cuts[0], len(call.dims(0))
    perm = call.attr("perm", tuple(reversed(range(rank))))
    return call.kept(None if axis is None else list(perm).index(axis))


def separated(call: SplitCall) -> Split | None:
    """Split: along an unsplit axis parts stay parts; separating packed query, key and value gives
    every rank its own heads of each."""
    axis, along_axis = call.cuts[0], call.attr("axis", 0)
    rank = len(call.dims(0))
    if axis is None:
        return call.kept(*[None] * len(call.outs))
    if along_axis % rank != axis:
        return call.kept(*[axis] * len(call.outs))
    if len(call.op.inputs) < 2:
        return None
    sizes = [call.out_dims(i)[axis] for i in range(len(call.outs))]
    parts = tuple(call.divided(size, "a part of") for size in sizes)
    return Split((Want.KEEP, Constant(parts, "sizes")), (axis,) * len(sizes))


def joined_along(name: str) -> SplitRule:
    """Rule for Concat along the axis in attribute `name`, of tensors split alike elsewhere."""

    def rule(call: SplitCall) -> Split | None:
        axes = set(call.cuts)
        axis = next(iter(axes)) if len(axes) == 1 else None
        if len(axes) > 1 or (
            axis is not None and call.attr(name, 0) % len(call.out_dims()) == axis
        ):
            return None
        return call.kept(axis)

    return rule


joined = joined_along("axis")
"""ONNX's Concat."""


def selected(call: SplitCall) -> Split | None:
    """Gather along an axis other than the split one, with whole indices."""
    axis, rank = call.cuts[0], len(call.dims(0))
    if any(cut is not None for cut in call.cuts[1:]):
        return None
    if axis is None:
        return call.kept(*[None] * len(call.outs))
    along_axis = int(call.attr("axis", 0)) % rank
    if axis == along_axis:
        return None
    extra = len(call.out_dims()) - rank
    return call.kept(axis + extra if axis > along_axis else axis)


def same_sizes(call: SplitCall) -> Split | None:
    """An operator that may change some sizes, but not that of the split axis."""
    axis, before, after = call.cuts[0], call.dims(0), call.out_dims()
    if axis is None:
        return call.kept(*[None] * len(call.outs))
    return None if len(call.op.inputs) > 1 or before[axis:] != after[axis:] else call.kept(axis)


# --- no input to split -------------------------------------------------------------------------


def source(call: SplitCall) -> Split | None:
    """Generated from whole inputs: every rank computes all of it."""
    whole = all(cut is None for cut in call.cuts)
    return call.kept(*[None] * len(call.outs)) if whole else None


measured = source
"""Sizes of a tensor; of a part they would be the part's sizes, so the input must be whole."""

matrices = independent(lambda _: [-1, -2])
"""Rule for operators that mix the last two axes."""


def scaled(call: SplitCall) -> Split | None:
    """Quantising with one scale per tensor; scales along an axis are not split."""
    single = not call.has(1) or not [size for size in call.dims(1) if size != 1]
    axis = call.cuts[0]
    return call.kept(axis) if single or axis is None else None
