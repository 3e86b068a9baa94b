"""One operator call, in ONNX's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from lydite.opkey import TensorType


class Body:
    """What `Graph` is to an operator that holds one: the body of a Loop, If or Scan."""


Attr: TypeAlias = "int | float | str | bytes | tuple[Any, ...] | np.ndarray | Body | TensorType"
"""An attribute's value; an `np.ndarray` is a tensor, a `Body` the body of a Loop, If or Scan."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator call.

    Attributes:
        name: unique in its graph.
        op_type, domain: as in ONNX; the standard's own domain is "".
        inputs, outputs: tensor names; "" for an optional one that is left out.
        attrs: attribute values by name.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    domain: str = ""

    @property
    def qualified_type(self) -> str:
        """The type with its domain: "com.microsoft:Gelu"; ONNX's own stand bare."""
        return f"{self.domain}:{self.op_type}" if self.domain else self.op_type

    @property
    def subgraphs(self) -> list[Any]:
        """Bodies of control flow (`Graph`), in attribute order."""
        return [value for value in self.attrs.values() if isinstance(value, Body)]
