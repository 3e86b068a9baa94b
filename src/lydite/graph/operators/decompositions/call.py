"""Argument of a decomposition: the operator call that primitives are about to replace.

A row with a decomposition needs no gradient, split or PyTorch rule: the primitives supply them.
Operators that the ONNX standard defines by a function body have a decomposition without a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lydite.graph.op import Op
from lydite.graph.tensor import Emitter, Tensor
from lydite.opkey import TensorType
from lydite.records import dataclass


@dataclass(frozen=True)
class DecompositionCall:
    """An operator that is about to be replaced by primitives.

    Attributes:
        g: Builder to which the primitives are appended.
        op: Operator to replace.
        inputs: Its inputs; None for an omitted input.
        outs: Its output types.
    """

    g: Emitter
    op: Op
    inputs: Sequence[Tensor | None]
    outs: Sequence[TensorType]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def x(self, index: int = 0) -> Tensor:
        """An input that must be given."""
        tensor = self.inputs[index]
        assert tensor is not None, f"{self.op.op_type} has no input {index}"
        return tensor

    def attr(self, name: str, default: Any = None) -> Any:
        """Value of an attribute, or `default` if it is absent."""
        return self.op.attrs.get(name, default)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Values of all attributes by name."""
        return self.op.attrs

    def op_(self, op_type: str, *inputs: Tensor | None, domain: str = "", **attrs: Any) -> Tensor:
        """Append a primitive with one output, named after the operator."""
        name = f"{self.op.name}/{op_type}"
        return self.g.op(op_type, *inputs, domain=domain, name=name, **attrs)

    def number(self, value: float, like: Tensor) -> Tensor:
        """A constant scalar with the dtype of `like`."""
        return self.g.constant(value, f"{self.op.name}/scalar", like.type.dtype)

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant integer list, such as sizes or axes."""
        return self.g.constant(list(values), f"{self.op.name}/integers")

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Sizes of an output, which must be known."""
        return tuple(int(dim) for dim in self.outs[index].shape or ())


Decomposition: TypeAlias = Callable[[DecompositionCall], Sequence[Tensor]]
"""Appends primitives and returns the tensors that replace the outputs."""
