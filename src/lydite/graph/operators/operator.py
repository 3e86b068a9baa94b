"""`Operator`: all facets of one operator type, in one row.

A facet that a row lacks is a `Missing` with its reason. Code that needs the facet refuses the
operator or reports it by name, and never guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeAlias

from lydite.graph.operators.call import WorkRule
from lydite.graph.operators.decompositions.call import Decomposition
from lydite.graph.operators.gradients.call import GradientRule
from lydite.graph.operators.products import ProductRule
from lydite.graph.operators.split import SplitRule
from lydite.graph.operators.typing.contrib import TypeRule
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Missing:
    """A facet that an operator lacks.

    Attributes:
        reason: Why the facet is missing, as a phrase that error messages quote.
        test: Test that shows the refusal, as "path::name" below tests/.
        final: Whether the facet is missing even where the operator decomposes, because the
            primitives that it decomposes into lack it too.
    """

    reason: str
    test: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A facet that needs no rule of its own in the row.

    Attributes:
        name: Value of the facet as the table of operators prints it.
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


PackedRule: TypeAlias = Callable[[Mapping[str, Any], int, int], int | None]
"""Weights in an input, from the attributes, its index and its elements; None for its elements."""


@dataclass(frozen=True, slots=True)
class Saving:
    """The training form of an operator whose gradient needs additional outputs.

    Attributes:
        op_type, domain: Type and domain of the training form.
        outputs: Number of its outputs; those of the plain operator come first.
    """

    op_type: str
    domain: str
    outputs: int


@dataclass(frozen=True)
class Operator:
    """One operator type.

    Attributes:
        name: Qualified type, such as "Conv", "com.microsoft:FusedConv" or "aten:mm".
        family: Name of the table that holds the row.
        work: Rule for FLOPs and bytes of a call.
        types: Rule for the output types.
        gradient: Rule that writes the backward pass; `ZERO` where the derivative vanishes.
        split: Rule that splits it under tensor parallelism.
        array: How an accelerator runs it: as matrix products, as a pass over the vector unit, as
            a view, or on the processor.
        operands: Inputs that are the left and right operand where `array` is a single product.
        torch: How PyTorch runs it; `lydite.backends.torch` registers the rules by name.
        precision: Behaviour under autocast: "low" runs it in the narrow type, "float32" widens its
            inputs, "widest" takes the widest of them, "mixed" leaves them as they are.
        decomposition: Primitives that compute the same; facets that the row lacks follow from it.
        saving: Training form of the operator.
        special: Whether a vector unit needs a table or an iteration per element (exp, division).
        fixed_inputs: Range of numeric inputs that are settings rather than trained weights, as
            first and last (exclusive) index.
        packed: Rule for how many weights an input with this many elements holds, where several
            share an element or scales stand beside them; None of it where it holds what it shows.
        folds: Whether small constant inputs are folded during shape inference.
        aliases: Whether its outputs are views of the first input in eager runtimes.
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
    packed: PackedRule | None = None
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
        name: Name of the family.
        common: Facets of all its rows, unless a row overrides them.
    """

    name: str
    common: Mapping[str, Any] = field(default_factory=dict)

    def row(self, name: str, work: WorkRule | Known | Missing, **facets: Any) -> Operator:
        """A row of this family for one operator."""
        return Operator(
            **{"name": name, "family": self.name, "work": work, **self.common, **facets}
        )

    def rows(
        self, names: Iterable[str], work: WorkRule | Known | Missing, **facets: Any
    ) -> Sequence[Operator]:
        """Rows of this family for several operators with the same facets."""
        return [self.row(name, work, **facets) for name in names]
