"""Operators that the ONNX standard defines by function bodies."""

from __future__ import annotations

from functools import cache
from typing import Any

from onnx import defs


@cache
def has_function(op_type: str, domain: str) -> bool:
    """Whether the newest schema of an operator has a function body."""
    try:
        schema: Any = defs.get_schema(op_type, domain=domain)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
