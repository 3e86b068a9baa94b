"""Argument of a gradient rule: a forward operator, and the gradients of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from lydite.errors import GraphError
from lydite.graph.op import Op
from lydite.graph.tensor import Emitter, Tensor
from lydite.opkey import TensorType
from lydite.records import dataclass

DOMAIN = "lydite"


@dataclass(frozen=True)
class GradientCall:
    """One operator of the forward pass, seen from the backward pass.

    Attributes:
        g: Builder to which the operators of the gradient are appended.
        op: Operator to differentiate.
        dys: Gradient of each output; None if nothing needs it.
        wanted: Whether each input needs a gradient.
        recall: Function from a forward tensor's name to the tensor, recomputed if it was dropped.
    """

    g: Emitter
    op: Op
    dys: Sequence[Tensor | None]
    wanted: Sequence[bool]
    recall: Callable[[str], Tensor]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.op.inputs) and bool(self.op.inputs[index])

    def wants(self, index: int) -> bool:
        """Whether an input is given and needs a gradient."""
        return self.has(index) and self.wanted[index]

    def x(self, index: int = 0) -> Tensor:
        """An input's value, which stays in memory until the backward pass."""
        return self.recall(self.op.inputs[index])

    def y(self, index: int = 0) -> Tensor:
        """An output's value, which stays in memory until the backward pass."""
        return self.recall(self.op.outputs[index])

    def dy(self, index: int = 0) -> Tensor:
        """Gradient of an output.

        Raises:
            GraphError: this output has no gradient but others have; the rule lacks support for it.
        """
        gradient = self.dys[index] if index < len(self.dys) else None
        if gradient is None:
            raise GraphError(
                f"its output {index} has no gradient", where=f"{self.op.name} ({self.op.op_type})"
            )
        return gradient

    def type(self, index: int) -> TensorType:
        """Type of an input, without keeping its value in memory."""
        return self.g.tensor(self.op.inputs[index]).type

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Sizes of an input.

        Raises:
            GraphError: one of them is unknown.
        """
        type_ = self.type(index)
        if type_.shape is None or not type_.is_static:
            raise GraphError(
                f"training needs every size, and input {index} is {type_}",
                where=self.op.name,
                hint="bind symbolic sizes with --dim NAME=SIZE",
            )
        return tuple(int(dim) for dim in type_.shape)

    def value(self, index: int) -> np.ndarray | None:
        """Value of a constant input; None if it is not constant."""
        return self.g.value_of(self.g.tensor(self.op.inputs[index])) if self.has(index) else None

    @property
    def attrs(self) -> dict[str, Any]:
        """Values of all attributes by name."""
        return dict(self.op.attrs)

    def attr(self, name: str, default: Any = None) -> Any:
        """Value of an attribute, or `default` if it is absent."""
        return self.op.attrs.get(name, default)

    def emit(self, op_type: str, *inputs: Tensor | None, outputs: int = 1, **attrs: Any) -> Any:
        """Append an operator of the domain "lydite", named after the one that it differentiates.

        Returns:
            A tensor, or a list of tensors if there are several outputs.
        """
        results = self.g.ops(
            op_type,
            *inputs,
            outputs=outputs,
            domain=DOMAIN,
            name=f"{self.op.name}/{op_type}",
            **attrs,
        )
        return results if outputs > 1 else results[0]

    def std(self, op_type: str, *inputs: Tensor | None, domain: str = "", **attrs: Any) -> Tensor:
        """Append an operator of the standard (or of `domain`) with one output."""
        name = f"{self.op.name}/{op_type}Grad"
        return self.g.op(op_type, *inputs, domain=domain, name=name, **attrs)

    def number(self, value: float, like: Tensor) -> Tensor:
        """A constant scalar with the dtype of `like`."""
        return self.g.constant(value, f"{self.op.name}/scalar", like.type.dtype)

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant integer list, such as sizes or axes."""
        return self.g.constant(list(values), f"{self.op.name}/sizes")

    def reshaped(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The tensor reshaped to `shape`; itself if it has these sizes already."""
        if tuple(x.shape) == tuple(shape):
            return x
        return self.std("Reshape", x, self.integers(shape))

    def summed_to(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The tensor summed over the axes along which a tensor of `shape` was broadcast to it."""
        extra = len(x.shape) - len(shape)
        repeated = [
            i
            for i, size in enumerate(x.shape)
            if i < extra or (shape[i - extra] == 1 and size != 1)
        ]
        if not repeated:
            return x
        kept = self.std("ReduceSum", x, self.integers(repeated), keepdims=1)
        return self.reshaped(kept, shape)


GradientRule: TypeAlias = Callable[[GradientCall], Sequence[Tensor | None]]
"""Appends the gradient's operators; returns one gradient per input, None or absent for none."""
