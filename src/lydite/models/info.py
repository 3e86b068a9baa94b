"""Rows of the table of models, which import nothing that builds a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from lydite.records import dataclass

FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True)
class Published:
    """Published figures of a model at its default sizes and batch 1.

    Attributes:
        parameters: Number of trained parameters.
        multiply_adds: Multiply-adds of convolutions, matrix products and attention.
        source: Source of the figures: a paper's table, a library's documentation, or a counter run
            on its code.
        tolerance: Largest accepted relative difference from the model built here, a share.
    """

    parameters: int | None
    multiply_adds: float | None
    source: str
    tolerance: float = 0.005


@dataclass(frozen=True)
class ModelInfo:
    """One row of the model set.

    Attributes:
        name: Name of the model as the user gives it.
        family: Family of architectures, such as "ResNet".
        build: Function, or "module:function", called with `batch`, the options and `dtype`.
        defaults: Options of the model with their default values.
        source: Paper or code that the model follows.
        about: Description in one line.
        limits: Lowest and highest value by size option; None for no upper limit.
        choices: Allowed values by text option.
        published: Published figures to compare with.
    """

    name: str
    family: str
    build: str | Callable[..., Any]
    defaults: Mapping[str, int | str]
    source: str
    about: str = ""
    limits: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: Published | None = None
