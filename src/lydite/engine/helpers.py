"""Decorators of the helpers that kernels call; `lydite.engine.compiler` reads their marks."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Helper(Enum):
    """How a helper is compiled."""

    INLINED = "inlined"
    CALLED = "called"
    SPECIAL = "special"
    INSTRUCTION = "instruction"


_MARK = "__lydite_helper__"


def inlined(function: F) -> F:
    """Decorator of a helper that becomes part of each kernel that calls it."""
    setattr(function, _MARK, Helper.INLINED)
    return function


def called(function: F) -> F:
    """Decorator of a helper that stays a function of its own, since it is rarely called."""
    setattr(function, _MARK, Helper.CALLED)
    return function


def special(function: F) -> F:
    """Decorator of a helper that is compiled for each mixture of types that it is called with."""
    setattr(function, _MARK, Helper.SPECIAL)
    return function


def instruction(function: F) -> F:
    """Decorator of a helper that stands for the instruction of this name in `instructions`."""
    setattr(function, _MARK, Helper.INSTRUCTION)
    return function


def helper_of(function: object) -> Helper | None:
    """How a function is compiled; None for what is no helper."""
    return getattr(function, _MARK, None)
