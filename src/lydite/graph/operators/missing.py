"""Why an operator lacks a facet, and the test that shows that it is refused or reported by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.graph.operators.operator import BY_ONNX, VECTOR, Known, Missing

_FACETS = "unit/operators/test_operators_missing.py::"


def no_work(reason: str) -> Missing:
    """Work that does not follow from types and attributes."""
    return Missing(reason, f"{_FACETS}test_work_that_is_missing_is_unknown")


def no_types(reason: str) -> Missing:
    """Output types that nobody can tell."""
    return Missing(reason, f"{_FACETS}test_types_that_are_missing_are_unknown")


def no_gradient(reason: str) -> Missing:
    """A backward pass without a rule."""
    return Missing(reason, f"{_FACETS}test_training_names_what_has_no_gradient")


def no_split(reason: str) -> Missing:
    """An operator that every rank computes whole, from gathered inputs."""
    return Missing(reason, f"{_FACETS}test_tensor_parallelism_names_what_is_not_shared")


def no_array(reason: str) -> Missing:
    """An operator that is nothing to an accelerator: the processor runs it, and is said to."""
    return Missing(reason, f"{_FACETS}test_chips_name_what_the_processor_runs")


def no_torch(reason: str) -> Missing:
    """An operator that PyTorch is not asked to run."""
    return Missing(reason, f"{_FACETS}test_torch_names_what_it_cannot_run")


def final(missing: Missing) -> Missing:
    """Missing although the operator decomposes: what it decomposes into lacks the facet too."""
    return replace(missing, final=True)


UNWRITTEN = no_gradient("no gradient rule yet")
INFERENCE = no_gradient("runtimes put it in after training, for inference alone")
QUANTISED = final(no_gradient("quantised nets are not trained here"))
BRANCHING = final(no_gradient("its function body in the standard has control flow"))
SECOND_ORDER = no_gradient("it belongs to a backward pass already")
NOT_TRAINED = no_gradient("it is not trained by gradients")

WHOLE = no_split("no rule yet for sharing it among ranks")
OTHER_GRAPHS = no_split("graphs of other systems are already those of one rank")

NOT_IN_TORCH = no_torch("no translation to PyTorch yet")
RUNTIME_ONLY = no_torch("a kernel of ONNX Runtime's, which PyTorch does not have")
NEVER_RUN = no_torch("graphs of other systems are read, not run")

BEHIND_SPLIT = Known("written for a rank's share")
"""A backward pass is made of what a rank computes: nothing in it is shared out again."""

ATEN = Known("called by name")
"""PyTorch's own operators."""

UNTYPED = no_types("no rule yet for its output types")


def usual(**facets: Any) -> dict[str, Any]:
    """Facets of an operator of the standard of which nothing else is said."""
    return {
        "types": BY_ONNX,
        "gradient": UNWRITTEN,
        "split": WHOLE,
        "array": VECTOR,
        "torch": NOT_IN_TORCH,
        **facets,
    }


def runtimes(**facets: Any) -> dict[str, Any]:
    """Facets of an operator that a runtime makes of standard ones."""
    return usual(**{"types": UNTYPED, "gradient": INFERENCE, "torch": RUNTIME_ONLY, **facets})
