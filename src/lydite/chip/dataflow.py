"""The protocol of dataflows, which hides the kind of array from the rest of a chip.

A dataflow maps a network to an array and gives the costs. Everything else (the system around the
array, sweeps, energy, reports, estimates) uses the dataflow, whatever the kind of array. Dataflows
that run matrix products and leave the rest to a vector unit derive from
`lydite.chip.product_dataflow.ProductDataflow`, which requires less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from lydite.chip.energy import Used, modelled_energy
from lydite.chip.plan import ChipPlan
from lydite.chip.tilings import TilingPolicy
from lydite.errors import InputError
from lydite.graph import Graph
from lydite.hardware.chip import DATAFLOWS, ArrayParameters, Chip, Scratchpad
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.chip.smv.power import Power


@dataclass(frozen=True)
class ArrayDescription:
    """Description of an array, for reports.

    Attributes:
        text: The array and its parameters in one line.
        cycles_from: Source of the cycles of an invocation, and what they leave out.
        rows: Further figures, as pairs of name and value.
    """

    text: str
    cycles_from: str
    rows: Sequence[tuple[str, str]] = ()


class Dataflow(ABC):
    """How one kind of array runs networks.

    Attributes:
        parameters: Dataclass of the array's parameters, which are the fields of a chip file.
        takes_fused: Whether activations, norms and attention are fused before mapping.
    """

    parameters: ClassVar[type[ArrayParameters]]
    takes_fused: ClassVar[bool] = True

    @abstractmethod
    def plan(self, graph: Graph, chip: Chip, tiling: TilingPolicy) -> ChipPlan:
        """Map all layers of a network.

        Candidate tiles are priced with the same closed form that costs the layer.

        Args:
            graph: Graph with fixed sizes.
            chip: Chip with this kind of array.
            tiling: Policy that chooses among the possible tiles.

        Raises:
            InputError: a scratchpad is too small for an operator (named, with the size it needs).
            GraphError: the size of a tensor is not fixed.
        """

    @abstractmethod
    def describe(self, chip: Chip) -> ArrayDescription:
        """Describe the chip's array."""

    def widened(self, chip: Chip, array: ArrayParameters) -> tuple[Scratchpad, ...]:
        """Scratchpads of the chip with `array` instead of its own; unchanged unless overridden."""
        del array
        return chip.scratchpads

    def energy(self, plan: ChipPlan, chip: Chip, seconds: float) -> Used:
        """Energy and area of a run; from the tables of the chip's node unless overridden.

        Args:
            plan: Mapped network.
            chip: Chip on which it ran.
            seconds: Duration of the run, for leakage.
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
            plan: Plan whose invocations are evaluated.
            chip: Chip on which they ran.
            level: SMAUG's sample level.
            compat: Whether to count exactly as gem5-Aladdin does.

        Raises:
            InputError: there are no such figures for this kind of array, or at the chip's node.
        """
        del plan, level, compat
        raise InputError(
            "has no SMV; power per invocation is modelled only for SMV", where=chip.name
        )


def dataflow_of(chip: Chip) -> Dataflow:
    """The dataflow of a chip's array.

    Raises:
        InputError: no dataflow is registered for the kind of array (the error suggests the nearest
            name).
        MissingExtra: the dataflow needs a package that is not installed.
    """
    return cast(Dataflow, DATAFLOWS.find(chip.array.kind))
