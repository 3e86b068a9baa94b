"""Argument and result of a work rule: an operator call (`Call`) and its cost (`Cost`).

FLOPs are counted as follows in all rules:

- an addition, subtraction, multiplication, comparison, minimum or maximum is 1, so a
    multiply-add is 2; integer arithmetic counts the same;
- a division or a square root is `DIVIDE`, an exponential, logarithm, sine, tanh, erf or power is
  `FUNCTION`: the weights of McMahon's Livermore loops (UCRL-53745, 1986), 4 and 8;
- copies, casts and selections by a mask are 0;
- work on padding and on masked positions counts, because it is executed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lydite.opkey import Operand, TensorType
from lydite.records import dataclass

DIVIDE = SQRT = 4
FUNCTION = 8
STRING_BYTES = 32
"""Bytes of a string element: the object that holds it, as the type does not tell its length."""


class NotKnownError(Exception):
    """The work is unknown: a size, attribute or input that the rule needs is missing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs and bytes that an operator call takes.

    Attributes:
        flops: Number of floating-point (or integer) operations.
            read: Bytes read; None if every distinct input is read once.
            written: Bytes written; None if every output is written once.
    """

    flops: float
    read: float | None = None
    written: float | None = None


VIEW = Cost(0, 0, 0)
"""Cost of a view: a new name or shape for the same bytes."""


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
            NotKnownError: the input is omitted, or one of its sizes is unknown.
        """
        return sizes(self.ins[index] if index < len(self.ins) else None)

    def out_shape(self, index: int = 0) -> tuple[int, ...]:
        """Sizes of an output; see `shape`."""
        return sizes(self.outs[index] if index < len(self.outs) else None)

    def count(self, index: int) -> int:
        """Number of elements of an input; 0 if it is omitted."""
        return math.prod(self.shape(index)) if self.has(index) else 0

    def out_count(self, index: int = 0) -> int:
        """Number of elements of an output."""
        return math.prod(self.out_shape(index))

    def bytes_of(self, *indices: int) -> float:
        """Bytes of inputs, each distinct tensor once; omitted inputs count 0."""
        total = 0.0
        for index in {self._original(i) for i in indices if self.has(i)}:
            total += nbytes(self.ins[index])
        return total

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
        """Values of a constant input that determines the work.

        Raises:
            NotKnownError: the input is not a constant, or too large to be part of the key.
        """
        if index >= len(self.operands):
            raise NotKnownError
        values = self.operands[self._original(index)].value
        if values is None:
            raise NotKnownError
        return values

    def number(self, name: str, default: float | None = None) -> float:
        """Value of a numeric attribute.

        Raises:
            NotKnownError: the attribute is absent without a default, or is not a number.
        """
        value = self.attrs.get(name, default)
        if not isinstance(value, int | float):
            raise NotKnownError
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Value of an integer attribute; see `number`."""
        return int(self.number(name, default))

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """Value of a list of integers, a single integer giving a list of one; see `number`."""
        value = self.attrs.get(name, default)
        if isinstance(value, int):
            return [value]
        if not isinstance(value, list | tuple) or not all(isinstance(v, int) for v in value):
            raise NotKnownError
        return list(value)

    def text(self, name: str, default: str = "") -> str:
        """Value of a string attribute; see `number`."""
        value = self.attrs.get(name, default)
        if not isinstance(value, str):
            raise NotKnownError
        return value


WorkRule: TypeAlias = Callable[[Call], Cost]
"""Cost of a call; raises `NotKnownError` if the work does not follow from the types."""


def sizes(type_: TensorType | None) -> tuple[int, ...]:
    """All sizes of a type as integers.

    Raises:
        NotKnownError: one of them is unknown.
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
        NotKnownError: a size is unknown, or the value is a sequence, an optional or a map.
    """
    count = math.prod(sizes(type_))
    if type_ is not None and type_.dtype == "string":
        return STRING_BYTES * count
    size_bytes = type_.nbytes if type_ is not None else None
    if size_bytes is None:
        raise NotKnownError
    return size_bytes


def itemsize(type_: TensorType | None) -> float:
    """Bytes per element, a fraction for packed types."""
    if type_ is None:
        raise NotKnownError
    return nbytes(TensorType(type_.dtype, (8,))) / 8


def at(dims: Sequence[int], axis: int) -> int:
    """Size of an axis; a negative axis counts from the end.

    Raises:
        NotKnownError: there is no such axis.
    """
    if not -len(dims) <= axis < len(dims):
        raise NotKnownError
    return dims[axis]


def per_output(flops: float) -> WorkRule:
    """Work rule: `flops` per element of the first output."""

    def rule(call: Call) -> Cost:
        return Cost(flops * call.out_count())

    return rule


def per_input(flops: float, index: int = 0) -> WorkRule:
    """Work rule: `flops` per element of the input `index`."""

    def rule(call: Call) -> Cost:
        return Cost(flops * call.count(index))

    return rule
