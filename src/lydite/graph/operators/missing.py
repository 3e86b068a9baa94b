"""Reasons why an operator lacks a facet, and the tests that show it is refused or reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.graph.operators.operator import BY_ONNX, VECTOR, Known, Missing

_FACETS = "unit/operators/test_operators_missing.py::"


def no_work(reason: str) -> Missing:
    """The work does not follow from types and attributes."""
    return Missing(reason, f"{_FACETS}test_work_that_is_missing_is_unknown")


def no_types(reason: str) -> Missing:
    """The output types cannot be determined."""
    return Missing(reason, f"{_FACETS}test_types_that_are_missing_are_unknown")


def no_gradient(reason: str) -> Missing:
    """There is no rule for the backward pass."""
    return Missing(reason, f"{_FACETS}test_training_names_what_has_no_gradient")


def no_split(reason: str) -> Missing:
    """Every rank computes the whole operator, from gathered inputs."""
    return Missing(reason, f"{_FACETS}test_tensor_parallelism_names_what_is_not_shared")


def no_array(reason: str) -> Missing:
    """No accelerator runs the operator; the processor does, and is reported to."""
    return Missing(reason, f"{_FACETS}test_chips_name_what_the_processor_runs")


def no_torch(reason: str) -> Missing:
    """PyTorch does not run the operator."""
    return Missing(reason, f"{_FACETS}test_torch_names_what_it_cannot_run")


def final(missing: Missing) -> Missing:
    """Missing even where the operator decomposes, because its primitives lack the facet too."""
    return replace(missing, final=True)


UNWRITTEN = no_gradient("no gradient rule yet")
INFERENCE = no_gradient("runtimes insert it after training, for inference only")
QUANTISED = final(no_gradient("training quantised networks is not supported"))
BRANCHING = final(no_gradient("its function body in the standard has control flow"))
SECOND_ORDER = no_gradient("it already belongs to a backward pass")
NOT_TRAINED = no_gradient("it is not trained by gradients")

WHOLE = no_split("no rule for splitting it among ranks yet")
OTHER_GRAPHS = no_split("graphs of other systems already describe a single rank")

NOT_IN_TORCH = no_torch("no translation to PyTorch yet")
RUNTIME_ONLY = no_torch("a kernel of ONNX Runtime that PyTorch does not have")
NEVER_RUN = no_torch("graphs of other systems are read, not run")

BEHIND_SPLIT = Known("written for a rank's share")
"""A backward pass is derived from what a rank computes, so nothing in it is split again."""

ATEN = Known("called by name")
"""PyTorch's own operators, called by their names."""

UNTYPED = no_types("no rule for its output types yet")


def usual(**facets: Any) -> dict[str, Any]:
    """Default facets of an operator of the ONNX standard, updated by `facets`."""
    return {
        "types": BY_ONNX,
        "gradient": UNWRITTEN,
        "split": WHOLE,
        "array": VECTOR,
        "torch": NOT_IN_TORCH,
        **facets,
    }


def runtimes(**facets: Any) -> dict[str, Any]:
    """Default facets of an operator fused by a runtime from standard ones, updated by `facets`."""
    return usual(**{"types": UNTYPED, "gradient": INFERENCE, "torch": RUNTIME_ONLY, **facets})
