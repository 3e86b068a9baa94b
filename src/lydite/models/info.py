"""What the table of models holds: a row a model, and nothing imported that builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

FLOATS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Published:
    """What others say of a model at its default sizes and batch 1.

    Attributes:
        parameters: trained numbers.
        multiply_adds: of convolutions, matrix products and attention.
        source: who says so: a paper's table, a library's documentation, a counter on its code.
        tolerance: the largest relative difference that is still the same model.
    """

    parameters: int | None
    multiply_adds: float | None
    source: str
    tolerance: float = 0.005


@dataclass(frozen=True)
class ModelInfo:
    """One row of the model set.

    Attributes:
        name: what a user types.
        family: the architecture's family ("ResNet").
        build: a function, or "module:function", called with `batch`, the options and `dtype`.
        defaults: the options that it takes, with their usual values.
        source: the paper or the code that it follows.
        about: one line on its character.
        limits: lowest and highest value of a size, None for no highest.
        choices: the values of an option that is a word.
        published: figures of others to compare with.
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
