"""What a decomposition sees of an operator that is about to be replaced by primitives.

Where a row has a decomposition, the facets that nobody wrote follow from it: its gradient, how
ranks share it, how PyTorch runs it. Operators that the ONNX standard defines by a function body
have one without a row of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lydite.graph.op import Op
from lydite.graph.tensor import Emitter, Tensor
from lydite.opkey import TensorType


@dataclass(frozen=True)
class DecompositionCall:
    """An operator that is about to be replaced.

    Attributes:
        g: the builder that the primitives are appended to.
        op: the operator.
        inputs: its inputs; None for one that is left out.
        outs: its output types.
    """

    g: Emitter
    op: Op
    inputs: Sequence[Tensor | None]
    outs: Sequence[TensorType]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def x(self, index: int = 0) -> Tensor:
        """An input that is given."""
        found = self.inputs[index]
        assert found is not None, f"{self.op.op_type} has no input {index}"
        return found

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.op.attrs.get(name, default)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """All attributes."""
        return self.op.attrs

    def op_(self, op_type: str, *inputs: Tensor | None, domain: str = "", **attrs: Any) -> Tensor:
        """A primitive with one output, named after the operator."""
        name = f"{self.op.name}/{op_type}"
        return self.g.op(op_type, *inputs, domain=domain, name=name, **attrs)

    def number(self, value: float, like: Tensor) -> Tensor:
        """A scalar of a tensor's type."""
        return self.g.constant(value, f"{self.op.name}/scalar", like.type.dtype)

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant list of sizes or axes."""
        return self.g.constant(list(values), f"{self.op.name}/integers")

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Fixed sizes of an output."""
        return tuple(int(dim) for dim in self.outs[index].shape or ())


Decomposition: TypeAlias = Callable[[DecompositionCall], Sequence[Tensor]]
"""Appends primitives; gives what stands for each output."""
