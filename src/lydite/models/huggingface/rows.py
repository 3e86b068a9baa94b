"""Rows of models that are no causal language models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from lydite.errors import InputError
from lydite.models.huggingface.config import Config

Row: TypeAlias = tuple[str, Callable[[Config], Any], tuple[str, ...]]
"""Builder, reader and options of a type."""


def checked(c: Config, dimensions: Callable[..., Any], values: dict[str, Any]) -> Any:
    """Dimensions made of values, with the file named where they do not fit each other."""
    try:
        return dimensions(**values)
    except InputError as error:
        raise InputError(error.what, where=c.where) from error
