"""The registry of operators: one row per operator type, with all of its facets.

        operator("Gelu").gradient        # a rule, `ZERO`, ..., or a `Missing` with its reason
        facet("Gelu", "torch")           # the same, including rules that higher layers registered

Each family has one table of rows. Other packages add rows through entry points of the group
"lydite.operators", each of which names a sequence of `Operator`; `register` adds rows at run time.
Facets that need a higher-level library, such as how PyTorch runs an operator, are registered from
there by operator name (`register_facet`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from lydite.graph.operators import (
    aten,
    aten_training,
    attention,
    classic,
    collective,
    control,
    conv,
    elementwise,
    foreign,
    language,
    matmul,
    move,
    norm,
    optimizers,
    pool,
    quantise,
    recurrent,
    reduce,
    signal,
    training,
    training_states,
    vision,
)
from lydite.graph.operators.call import Call, Cost, NotKnownError, WorkRule
from lydite.graph.operators.functions import has_function
from lydite.graph.operators.operator import (
    ALIAS,
    BY_BODIES,
    BY_DECOMPOSITION,
    FACETS,
    HOST,
    VECTOR,
    ZERO,
    Family,
    Known,
    Missing,
    Operator,
    Saving,
)
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.registry import entry_points

__all__ = [
    "ALIAS",
    "BY_BODIES",
    "BY_DECOMPOSITION",
    "FACETS",
    "HOST",
    "VECTOR",
    "ZERO",
    "Call",
    "Cost",
    "Family",
    "Known",
    "MatrixProduct",
    "Missing",
    "NotKnownError",
    "Operator",
    "Products",
    "Saving",
    "WorkRule",
    "decomposes",
    "facet",
    "fixed_inputs",
    "operator",
    "operators",
    "packed_weights",
    "register",
    "register_facet",
]

TABLES = (
    elementwise,
    move,
    reduce,
    pool,
    conv,
    matmul,
    norm,
    attention,
    language,
    recurrent,
    quantise,
    vision,
    signal,
    classic,
    control,
    optimizers,
    training,
    training_states,
    collective,
    aten,
    aten_training,
    foreign,
)

_REGISTERED: dict[str, Operator] = {}
_FROM_ABOVE: dict[str, dict[str, Any]] = {}


@cache
def operators() -> Mapping[str, Operator]:
    """All rows by qualified type; rows of installed packages replace built-in ones."""
    rows = [row for table in TABLES for row in table.OPERATORS]
    for entry in entry_points(group="lydite.operators"):
        rows += entry.load()
    return {row.name: row for row in rows} | _REGISTERED


def operator(qualified_type: str) -> Operator | None:
    """The row of an operator type, or None; all overloads of an aten operator share one row."""
    known = operators()
    row = known.get(qualified_type)
    if row is None and qualified_type.startswith("aten:"):
        row = known.get("aten:" + aten.plain_name(qualified_type[len("aten:") :]))
    return row


def register(*rows: Operator) -> None:
    """Add rows at run time; they replace rows of the same name."""
    _REGISTERED.update({row.name: row for row in rows})
    operators.cache_clear()


def register_facet(name: str, rules: Mapping[str, Any]) -> None:
    """Register rules for a facet that needs a higher-level library, by qualified operator type."""
    _FROM_ABOVE.setdefault(name, {}).update(rules)


def facet(qualified_type: str, name: str) -> Any:
    """A facet of an operator: a rule, a `Known`, or a `Missing`; None if the operator has no row.

    A missing gradient, split or torch rule is `BY_DECOMPOSITION` if the operator decomposes into
    primitives.
    """
    row = operator(qualified_type)
    if row is None:
        return None
    rule = getattr(row, name)
    given = _FROM_ABOVE.get(name, {})
    if isinstance(rule, Missing) and row.name in given:
        return given[row.name]
    follows = name in ("gradient", "split", "torch")
    open_ = isinstance(rule, Missing) and not rule.final
    if open_ and follows and decomposes(qualified_type):
        return BY_DECOMPOSITION
    return rule


def decomposes(qualified_type: str) -> bool:
    """Whether an operator has a decomposition, in its row or as a function body in ONNX."""
    row = operator(qualified_type)
    if row is None:
        return False
    return row.decomposition is not None or has_function(row.op_type, row.domain)


def packed_weights(
    qualified_type: str, attrs: Mapping[str, Any], index: int, elements: int
) -> int | None:
    """Number of weights that an operator's input holds; None for as many as it has elements."""
    row = operator(qualified_type)
    if row is None or row.packed is None:
        return None
    return row.packed(attrs, index, elements)


def fixed_inputs(qualified_type: str) -> slice:
    """Range of the numeric inputs that are settings rather than trained weights."""
    row = operator(qualified_type)
    return slice(*row.fixed_inputs) if row is not None else slice(0)
