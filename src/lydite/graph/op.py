"""One operator call, in ONNX's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeAlias

import numpy as np

from lydite.opkey import TensorType
from lydite.records import dataclass


class Body:
    """Base class of `Graph` for use in attributes: the body of a Loop, If or Scan."""


Attr: TypeAlias = "int | float | str | bytes | tuple[Any, ...] | np.ndarray | Body | TensorType"
"""An attribute's value; an `np.ndarray` is a tensor, a `Body` the body of a Loop, If or Scan."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator call.

    Attributes:
        name: Name of the operator, unique in its graph.
        op_type, domain: Type and domain as in ONNX; the standard's own domain is "".
        inputs, outputs: Tensor names; "" for an omitted optional one.
        attrs: Attribute values by name.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    domain: str = ""

    @property
    def qualified_type(self) -> str:
        """The type with its domain, such as "com.microsoft:Gelu"; no prefix for ONNX's own."""
        return f"{self.domain}:{self.op_type}" if self.domain else self.op_type

    @property
    def subgraphs(self) -> list[Any]:
        """Bodies of control flow, each a `Graph`, in attribute order."""
        if not self.attrs:  # a graph asks for those of each operator several times
            return []
        return [value for value in self.attrs.values() if isinstance(value, Body)]
