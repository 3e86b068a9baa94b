"""What a gradient rule sees of the operator whose gradient it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lydite.errors import GraphError
from lydite.graph.op import Op
from lydite.graph.tensor import Emitter, Tensor
from lydite.opkey import TensorType

DOMAIN = "lydite"


@dataclass(frozen=True)
class GradientCall:
    """One operator of the forward pass, seen from the backward pass.

    Attributes:
        g: the builder that the gradient's operators are appended to.
        op: the operator.
        dys: gradient of each output, None where nobody asks for it.
        wanted: which inputs need a gradient.
        recall: the forward tensor of a name, recomputed where it was dropped.
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
        """An input's value: it stays in memory until the backward pass."""
        return self.recall(self.op.inputs[index])

    def y(self, index: int = 0) -> Tensor:
        """An output's value: it stays in memory until the backward pass."""
        return self.recall(self.op.outputs[index])

    def dy(self, index: int = 0) -> Tensor:
        """Gradient of an output.

        Raises:
            GraphError: only another output is used, which this rule does not foresee.
        """
        found = self.dys[index] if index < len(self.dys) else None
        if found is None:
            raise GraphError(
                f"its output {index} has no gradient", where=f"{self.op.name} ({self.op.op_type})"
            )
        return found

    def type(self, index: int) -> TensorType:
        """Type of an input, which costs no memory."""
        return self.g.tensor(self.op.inputs[index]).type

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Sizes of an input.

        Raises:
            GraphError: one of them is open.
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
        """A constant input's numbers, None where they are not known."""
        return self.g.value_of(self.g.tensor(self.op.inputs[index])) if self.has(index) else None

    @property
    def attrs(self) -> dict[str, Any]:
        """All attributes."""
        return dict(self.op.attrs)

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.op.attrs.get(name, default)

    def emit(self, op_type: str, *inputs: Tensor | None, outputs: int = 1, **attrs: Any) -> Any:
        """An operator of the domain "lydite", named after the one it differentiates.

        Returns:
            A tensor, or a list of them where there are several outputs.
        """
        found = self.g.ops(
            op_type,
            *inputs,
            outputs=outputs,
            domain=DOMAIN,
            name=f"{self.op.name}/{op_type}",
            **attrs,
        )
        return found if outputs > 1 else found[0]

    def std(self, op_type: str, *inputs: Tensor | None, domain: str = "", **attrs: Any) -> Tensor:
        """An operator of the standard (or of `domain`) with one output."""
        name = f"{self.op.name}/{op_type}Grad"
        return self.g.op(op_type, *inputs, domain=domain, name=name, **attrs)

    def number(self, value: float, like: Tensor) -> Tensor:
        """A scalar of a tensor's dtype."""
        return self.g.constant(value, f"{self.op.name}/scalar", like.type.dtype)

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant list of sizes or axes."""
        return self.g.constant(list(values), f"{self.op.name}/sizes")

    def reshaped(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The same numbers in other sizes; nothing where they are these already."""
        if tuple(x.shape) == tuple(shape):
            return x
        return self.std("Reshape", x, self.integers(shape))

    def summed_to(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Summed over the axes along which a tensor of `shape` was repeated to make this one."""
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
"""Appends the gradient's operators; gives a gradient by input, None (or nothing) for none."""
