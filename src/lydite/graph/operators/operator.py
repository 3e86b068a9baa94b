"""`Operator`: everything that Lydite knows of one operator type, in one row.

A facet that a row lacks is a `Missing` with its reason: who needs the facet refuses the operator or
reports it by name, and never guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lydite.graph.operators.call import WorkRule
from lydite.graph.operators.decompositions.call import Decomposition
from lydite.graph.operators.gradients.call import GradientRule
from lydite.graph.operators.products import ProductRule
from lydite.graph.operators.split import SplitRule
from lydite.graph.operators.typing.contrib import TypeRule


@dataclass(frozen=True, slots=True)
class Missing:
    """A facet that an operator lacks.

    Attributes:
        reason: why, in a phrase that an error message can quote.
        test: the test that shows the refusal, as "path::name" below tests/.
        final: whether it stays missing although the operator decomposes, because what it
            decomposes into lacks the facet too.
    """

    reason: str
    test: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A facet that is settled without a rule of the row's own.

    Attributes:
        name: what the facet amounts to, as the table of operators prints it.
    """

    name: str


BY_ONNX = Known("ONNX's own inference")
RECORDED = Known("recorded by the reader")
BY_BODIES = Known("by its bodies")
ZERO = Known("zero")
ALIAS = Known("view")
VECTOR = Known("vector unit")
HOST = Known("processor")
BY_DECOMPOSITION = Known("by decomposition")
SAVED_FORM = Known("by its training form")


@dataclass(frozen=True, slots=True)
class Saving:
    """The form that an operator takes in training because its gradient needs more outputs.

    Attributes:
        op_type, domain: of the training form.
        outputs: how many outputs it has, those of the plain operator first.
    """

    op_type: str
    domain: str
    outputs: int


@dataclass(frozen=True)
class Operator:
    """One operator type.

    Attributes:
        name: qualified type: "Conv", "com.microsoft:FusedConv", "aten:mm".
        family: the table in which the row stands.
        work: FLOPs and bytes of a call.
        types: output types.
        gradient: how the backward pass is written; `ZERO` where the derivative vanishes.
        split: how ranks share it under tensor parallelism.
        array: what it is to an accelerator: matrix products, or a pass over the vector unit, a
            view, or work for the processor.
        operands: the inputs that a single product of `array` reads on its left and right.
        torch: how PyTorch runs it; rules register from `lydite.backends.torch` under the name.
        precision: what autocast does: "low" runs it in the narrow type, "float32" widens its
            inputs, "widest" takes the widest of them, "mixed" leaves them as they are.
        decomposition: primitives that compute the same. Facets that the row lacks follow from it.
        saving: its training form.
        special: whether an element takes a table or an iteration on a vector unit (exp, division).
        fixed_inputs: first and last (exclusive) of the numeric inputs that are settings rather than
            trained weights.
        folds: whether small constant inputs are folded while shapes are inferred.
        aliases: whether eager runtimes make its outputs windows into the first input.
    """

    name: str
    family: str
    work: WorkRule | Known | Missing
    types: TypeRule | Known | Missing
    gradient: GradientRule | Known | Missing
    split: SplitRule | Known | Missing
    array: ProductRule | Known | Missing
    torch: Known | Missing
    precision: str = "widest"
    decomposition: Decomposition | None = None
    saving: Saving | None = None
    operands: tuple[int, int] = (0, 1)
    special: bool = False
    fixed_inputs: tuple[int, int] = (0, 0)
    folds: bool = False
    aliases: bool = False

    @property
    def domain(self) -> str:
        """The domain: "" for ONNX's own."""
        return self.name.rpartition(":")[0]

    @property
    def op_type(self) -> str:
        """The type without its domain."""
        return self.name.rpartition(":")[2]


FACETS = ("work", "types", "gradient", "split", "precision", "array", "torch")
"""The facets that the table of operators shows."""


@dataclass(frozen=True)
class Family:
    """A table of operators with facets in common.

    Attributes:
        name: of the family.
        common: facets that its rows have unless they say otherwise.
    """

    name: str
    common: Mapping[str, Any] = field(default_factory=dict)

    def row(self, name: str, work: WorkRule | Known | Missing, **facets: Any) -> Operator:
        """One operator."""
        return Operator(
            **{"name": name, "family": self.name, "work": work, **self.common, **facets}
        )

    def rows(
        self, names: Iterable[str], work: WorkRule | Known | Missing, **facets: Any
    ) -> Sequence[Operator]:
        """Several operators with the same facets."""
        return [self.row(name, work, **facets) for name in names]
