"""Arrays of processing elements: their parameters, and a registry of dataflows by kind of array.

An array is a frozen dataclass of parameters; the fields of `array` in chip files are derived from
it. How it runs a network is its dataflow (`lydite.chip.dataflow`), registered by the array's kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Protocol

from lydite.records import dataclass
from lydite.registry import Registry


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a whole number, inclusive; chip files are checked against them."""

    least: int
    most: int


Count = Annotated[int, Within(1, 1 << 20)]
Stationary = Literal["ws", "os", "is"]


@dataclass(frozen=True, slots=True)
class ArrayParameters:
    """Base of the parameters of every kind of array.

    A kind is a frozen dataclass derived from this one. Its fields are the fields of `array` in a
    chip file and the array's parameters in a sweep; they are whole numbers (`Count`) or text
    (`Literal`).

    Attributes:
        kind: Name in chip files and in the registry.
        title: Name in messages.
        dtypes: Data types that the array computes with; empty for all that chips have.
        has_vector_unit: Whether a vector unit beside the array runs operators without products.
        has_registers: Whether a chip file may count registers beside the scratchpads.
        doubled: Parameter to double in order to double the processing elements.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]] = ()
    has_vector_unit: ClassVar[bool] = True
    has_registers: ClassVar[bool] = False
    doubled: ClassVar[str]

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        raise NotImplementedError

    @property
    def elements(self) -> int:
        """Number of processing elements with a private memory."""
        return self.macs

    @property
    def local_words(self) -> int:
        """Words of memory in each processing element; 0 if it has only registers."""
        return 0

    def required_scratchpads(self) -> Mapping[str, int]:
        """Names of the scratchpads that a chip must have, and the minimum bytes of each.

        A minimum of 0 leaves the size to the operators; those that do not fit are refused.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SmvArray(ArrayParameters):
    """SMAUG's vector engine, in which each processing element computes one output channel.

    Attributes:
        pes: Number of processing elements.
        vectors: Number of multiply-accumulate vectors per processing element.
        lanes: Number of multipliers per vector.
    """

    kind: ClassVar[str] = "smv"
    title: ClassVar[str] = "SMV"
    dtypes: ClassVar[tuple[str, ...]] = ("float16",)
    has_vector_unit: ClassVar[bool] = False
    has_registers: ClassVar[bool] = True
    doubled: ClassVar[str] = "pes"

    pes: Count = 8
    vectors: Count = 4
    lanes: Count = 8

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.pes * self.vectors * self.lanes

    def required_scratchpads(self) -> Mapping[str, int]:
        """One scratchpad per operand."""
        return {"inputs": 0, "weights": 0, "results": 0}


@dataclass(frozen=True, slots=True)
class SystolicArray(ArrayParameters):
    """A systolic array.

    Attributes:
        rows: Number of processing-element rows.
        columns: Number of processing-element columns.
        dataflow: Operand that stays in the array: "ws" weights, "is" inputs, "os" outputs.
        overlap: "none": a fold begins when the previous one has drained; "preload": the stationary
            operand of the next fold is loaded while one computes.
    """

    kind: ClassVar[str] = "systolic"
    title: ClassVar[str] = "a systolic array"
    doubled: ClassVar[str] = "columns"

    rows: Count
    columns: Count
    dataflow: Stationary = "ws"
    overlap: Literal["none", "preload"] = "preload"

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.rows * self.columns

    def required_scratchpads(self) -> Mapping[str, int]:
        """One scratchpad per operand."""
        return {"ifmap": 0, "filter": 0, "ofmap": 0}


class HasParameters(Protocol):
    """The part of a dataflow that chip files need: the parameters of its array."""

    @property
    def parameters(self) -> type[ArrayParameters]:
        """Dataclass of the array's parameters."""
        ...


DATAFLOWS: Registry[HasParameters] = Registry(
    "lydite.dataflows",
    "array",
    {
        "row-stationary": "lydite.chip.row_stationary:ROW_STATIONARY",
        "smv": "lydite.chip.smv.dataflow:SMV_DATAFLOW",
        "systolic": "lydite.chip.systolic.dataflow:SYSTOLIC_DATAFLOW",
    },
)
"""Dataflows by the kind of their array. An entry is a `lydite.chip.dataflow.Dataflow`; packages add
theirs through the entry-point group `lydite.dataflows`."""
