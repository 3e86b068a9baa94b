"""Tensors of a graph under construction, and the part of the builder that rules need."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lydite.errors import GraphError
from lydite.opkey import TensorType


class Emitter(Protocol):
    """The methods of `Builder` that gradients and decompositions call."""

    def type_of(self, tensor: Tensor) -> TensorType:
        """Inferred type of a tensor."""
        ...

    def tensor(self, name: str) -> Tensor:
        """An existing tensor, by name."""
        ...

    def value_of(self, tensor: Tensor) -> np.ndarray | None:
        """Value of a small tensor that follows from constants, else None."""
        ...

    def constant(self, value: Any, name: str = "const", dtype: str = "int64") -> Tensor:
        """Add a small constant with its value."""
        ...

    def op(self, op_type: str, *inputs: Tensor | None, **rest: Any) -> Tensor:
        """Append an operator with one output."""
        ...

    def ops(
        self,
        op_type: str,
        *inputs: Tensor | None,
        outputs: int = 1,
        domain: str = "",
        name: str = "",
        **attrs: Any,
    ) -> list[Tensor]:
        """Append an operator with several outputs; attributes with the value None are omitted."""
        ...


class Tensor:
    """A tensor of a graph under construction."""

    def __init__(self, builder: Emitter, name: str) -> None:
        self.builder, self.name = builder, name

    @property
    def type(self) -> TensorType:
        """Inferred type."""
        return self.builder.type_of(self)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Sizes of the tensor.

        Raises:
            GraphError: the rank is unknown.
        """
        if self.type.shape is None:
            raise GraphError("its rank is unknown", where=self.name)
        return self.type.shape

    def __add__(self, other: Tensor) -> Tensor:
        return self.builder.op("Add", self, other)

    def __mul__(self, other: Tensor) -> Tensor:
        return self.builder.op("Mul", self, other)

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"
