"""Rows of models that are no causal language models, and what they read alike."""

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


def blocks_of(c: Config) -> dict[str, int]:
    """Sizes of blocks of tokens of which each attends to some of the others; none where to all."""
    kinds = ("block_sparse", "original_full")
    kind = c.raw("attention_type", default=kinds[0])
    if kind not in kinds:
        raise c.refuse("attention_type", " or ".join(kinds))
    block, random = c.size("block_size", default=64), c.size("num_random_blocks", default=3, low=0)
    return {"block": block, "random_blocks": random} if kind == kinds[0] else {}
