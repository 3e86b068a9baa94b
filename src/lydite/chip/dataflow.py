"""What a kind of array is to the rest of a chip: one protocol, found by the array's kind.

A dataflow maps a network to an array and says what the array costs. Everything else (the system
around it, sweeps, energy, reports, estimates) asks the dataflow and knows no kind of array. An
array that runs matrix products and leaves the rest to a vector unit derives from
`lydite.chip.product_dataflow.ProductDataflow`, which needs less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from lydite.chip.energy import Used, modelled_energy
from lydite.chip.plan import ChipPlan
from lydite.chip.tilings import TilingPolicy
from lydite.errors import InputError
from lydite.graph import Graph
from lydite.hardware.chip import DATAFLOWS, ArrayParameters, Chip, Scratchpad

if TYPE_CHECKING:
    from lydite.chip.smv.energy import Power


@dataclass(frozen=True)
class ArrayDescription:
    """An array in words, for reports.

    Attributes:
        text: The array and its parameters in one line.
        cycles_from: Where the cycles of an invocation come from, and what they leave out.
        rows: Further figures, each a name and a value.
    """

    text: str
    cycles_from: str
    rows: Sequence[tuple[str, str]] = ()


class Dataflow(ABC):
    """How one kind of array runs networks.

    Attributes:
        parameters: Dataclass of the array's parameters, which are the fields of a chip file.
        takes_fused: Whether activations, norms and attention are fused before a network is mapped.
    """

    parameters: ClassVar[type[ArrayParameters]]
    takes_fused: ClassVar[bool] = True

    @abstractmethod
    def plan(self, graph: Graph, chip: Chip, tiling: TilingPolicy) -> ChipPlan:
        """Map all layers of a network.

        Candidate tiles are priced by the same closed form that costs the layer.

        Args:
            graph: with fixed sizes.
            chip: whose array is of this kind.
            tiling: which of the possible tiles to take.

        Raises:
            InputError: a scratchpad is too small for an operator (named, with what it needs).
            GraphError: a tensor of open size.
        """

    @abstractmethod
    def describe(self, chip: Chip) -> ArrayDescription:
        """The chip's array in words."""

    def widened(self, chip: Chip, array: ArrayParameters) -> tuple[Scratchpad, ...]:
        """Scratchpads of the chip once its array is `array`; unchanged unless overridden."""
        del array
        return chip.scratchpads

    def energy(self, plan: ChipPlan, chip: Chip, seconds: float) -> Used:
        """Energy and area of a run; from the tables of the chip's node unless overridden.

        Args:
            plan: all layers.
            chip: where they ran.
            seconds: how long the run took, for leakage.
        """
        return modelled_energy(plan, chip, seconds)

    def has_invocation_power(self, chip: Chip) -> bool:
        """Whether `invocation_power` has figures for this chip."""
        del chip
        return False

    def invocation_power(
        self, plan: ChipPlan, chip: Chip, *, level: str = "no", compat: bool = False
    ) -> Power:
        """Power of each invocation, in gem5-Aladdin's terms.

        Args:
            plan: whose invocations are meant.
            chip: where they ran.
            level: SMAUG's sample level.
            compat: count as gem5-Aladdin does.

        Raises:
            InputError: this kind of array has none, or none at the chip's node.
        """
        del plan, level, compat
        raise InputError(
            "has no SMV; power by invocation is modelled for SMV only", where=chip.name
        )


def dataflow_of(chip: Chip) -> Dataflow:
    """The dataflow of a chip's array.

    Raises:
        InputError: no dataflow has that kind (with the nearest name).
        MissingExtra: it needs a package that is not installed.
    """
    return cast(Dataflow, DATAFLOWS.find(chip.array.kind))
