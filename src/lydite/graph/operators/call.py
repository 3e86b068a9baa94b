"""Argument and result of a work rule: an operator call (`Call`) and its cost (`Cost`).

FLOPs are counted as follows in all rules:

- an addition, subtraction, multiplication, comparison or selection of the larger is 1, so a
  multiply-add is 2; integer arithmetic counts alike;
- a division or a square root is `DIVIDE`, an exponential, logarithm, sine, tanh, erf or power is
  `FUNCTION`: the weights of McMahon's Livermore loops (UCRL-53745, 1986), 4 and 8;
- copies, casts and choices by a mask are 0;
- work on padding and on masked positions counts, as it is executed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lydite.opkey import Operand, TensorType

DIVIDE = SQRT = 4
FUNCTION = 8
STRING_BYTES = 32
"""A text counts as the string object that holds it: its own length is not in the type."""


class NotKnownError(Exception):
    """A size, an attribute or an input that the rule needs is missing; the work is unknown."""


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs and bytes of an operator call.

    Attributes:
        flops: Number of floating-point (or integer) operations.
        read: Bytes read; None for every distinct input once.
        written: Bytes written; None for every output once.
    """

    flops: float
    read: float | None = None
    written: float | None = None


VIEW = Cost(0, 0, 0)
"""A new name or shape for the same bytes."""


@dataclass(frozen=True)
class Call:
    """One operator call.

    Attributes:
        op_type: Operator type without its domain.
        version: Schema version of the operator.
        attrs: Attributes as JSON-like values, with defaults filled in.
        operands: Inputs as in the operator's key.
        ins: Input types with aliases resolved; None for an omitted input.
        outs: Output types.
    """

    op_type: str
    version: int
    attrs: Mapping[str, Any]
    operands: Sequence[Operand]
    ins: Sequence[TensorType | None]
    outs: Sequence[TensorType]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.ins) and self.ins[index] is not None

    def shape(self, index: int) -> tuple[int, ...]:
        """Sizes of an input.

        Raises:
            NotKnownError: left out, or a size is open.
        """
        return sizes(self.ins[index] if index < len(self.ins) else None)

    def out_shape(self, index: int = 0) -> tuple[int, ...]:
        """Sizes of an output."""
        return sizes(self.outs[index] if index < len(self.outs) else None)

    def count(self, index: int) -> int:
        """Elements of an input; 0 if it is left out."""
        return math.prod(self.shape(index)) if self.has(index) else 0

    def out_count(self, index: int = 0) -> int:
        """Elements of an output."""
        return math.prod(self.out_shape(index))

    def bytes_of(self, *indices: int) -> float:
        """Bytes of inputs, each distinct tensor once; none for those that are left out."""
        found = 0.0
        for index in {self._original(i) for i in indices if self.has(i)}:
            found += nbytes(self.ins[index])
        return found

    def _original(self, index: int) -> int:
        alias = self.operands[index].same_as
        return index if alias is None else alias

    def all_inputs(self) -> float:
        """Bytes of all inputs, each distinct tensor once."""
        return self.bytes_of(*range(len(self.ins)))

    def all_outputs(self) -> float:
        """Bytes of all outputs."""
        return sum(nbytes(type_) for type_ in self.outs)

    def values(self, index: int) -> tuple[Any, ...]:
        """The numbers of a constant that steers the work.

        Raises:
            NotKnownError: not a constant, or too large to belong to the key.
        """
        if index >= len(self.operands):
            raise NotKnownError
        found = self.operands[self._original(index)].value
        if found is None:
            raise NotKnownError
        return found

    def number(self, name: str, default: float | None = None) -> float:
        """A numeric attribute.

        Raises:
            NotKnownError: absent without a default, or no number.
        """
        value = self.attrs.get(name, default)
        if not isinstance(value, int | float):
            raise NotKnownError
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole attribute; see `number`."""
        return int(self.number(name, default))

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A list of whole numbers; see `number`. One number is a list of one."""
        value = self.attrs.get(name, default)
        if isinstance(value, int):
            return [value]
        if not isinstance(value, list | tuple) or not all(isinstance(v, int) for v in value):
            raise NotKnownError
        return list(value)

    def text(self, name: str, default: str = "") -> str:
        """A text attribute; see `number`."""
        value = self.attrs.get(name, default)
        if not isinstance(value, str):
            raise NotKnownError
        return value


WorkRule: TypeAlias = Callable[[Call], Cost]
"""Raises `NotKnownError` where the work does not follow from the types."""


def sizes(type_: TensorType | None) -> tuple[int, ...]:
    """All sizes of a type as numbers.

    Raises:
        NotKnownError: one of them is open.
    """
    if type_ is None or type_.shape is None:
        raise NotKnownError
    dims = tuple(dim for dim in type_.shape if isinstance(dim, int) and dim >= 0)
    if len(dims) != len(type_.shape):
        raise NotKnownError
    return dims


def nbytes(type_: TensorType | None) -> float:
    """Bytes of a tensor.

    Raises:
        NotKnownError: a size is open, or it is a sequence, an optional or a map.
    """
    count = math.prod(sizes(type_))
    if type_ is not None and type_.dtype == "string":
        return STRING_BYTES * count
    found = type_.nbytes if type_ is not None else None
    if found is None:
        raise NotKnownError
    return found


def itemsize(type_: TensorType | None) -> float:
    """Bytes of one element, a fraction for packed types."""
    if type_ is None:
        raise NotKnownError
    return nbytes(TensorType(type_.dtype, (8,))) / 8


def at(dims: Sequence[int], axis: int) -> int:
    """One size; a negative axis counts from the end.

    Raises:
        NotKnownError: no such axis.
    """
    if not -len(dims) <= axis < len(dims):
        raise NotKnownError
    return dims[axis]


def per_output(flops: float) -> WorkRule:
    """So many FLOPs for each element of the first output."""

    def rule(call: Call) -> Cost:
        return Cost(flops * call.out_count())

    return rule


def per_input(flops: float, index: int = 0) -> WorkRule:
    """So many FLOPs for each element of an input."""

    def rule(call: Call) -> Cost:
        return Cost(flops * call.count(index))

    return rule
