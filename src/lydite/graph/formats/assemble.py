"""Graphs whose names a file gives: every operator is typed as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.graph.graph import Graph, Initializer
from lydite.graph.op import Attr, Op
from lydite.graph.shapes.infer import infer_outputs
from lydite.graph.shapes.propagate import Values
from lydite.opkey import Dim, TensorType

OPSET = 20


class Assembler:
    """Collects operators and tensors under the names that are asked for.

    Args:
        name: the graph's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, TensorType] = {}
        self.initializers: dict[str, Initializer] = {}
        self.ops: list[Op] = []
        self._inputs: list[str] = []
        self._opsets = {"": OPSET}
        self._values = Values({}, OPSET)

    def input(self, name: str, dtype: str, shape: Sequence[Dim] | None) -> str:
        """A graph input."""
        self.tensors[name] = TensorType(dtype, None if shape is None else tuple(shape))
        self._inputs.append(name)
        return name

    def weight(self, name: str, weight: Initializer) -> str:
        """A weight or constant."""
        self.tensors[name], self.initializers[name] = weight.type, weight
        return name

    def constant(self, name: str, value: Sequence[int] | np.ndarray) -> str:
        """A constant with its numbers; integers are int64."""
        array = value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        self._values.learn(name, array)
        return self.weight(
            name, Initializer(TensorType(array.dtype.name, tuple(array.shape)), value=array)
        )

    def op(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        name: str,
        domain: str = "",
        types: Sequence[TensorType] | None = None,
        attrs: Mapping[str, Attr] | None = None,
    ) -> list[TensorType]:
        """Append an operator; `types` are the output types where the file states them.

        Raises:
            GraphError: nothing is stated, and the inputs contradict the operator.
        """
        if domain:
            self._opsets.setdefault(domain, 1)
        op = Op(name, op_type, tuple(inputs), tuple(outputs), dict(attrs or {}), domain)
        if types is None:
            given = [self.tensors[n] if n else None for n in inputs]
            known = [self._values.get(n) if n else None for n in inputs]
            types = infer_outputs(op, given, known, self._opsets, strict=True)
        self.ops.append(op)
        self.tensors |= {n: t for n, t in zip(outputs, types, strict=True) if n}
        self._values.record(op, self.tensors)
        return list(types)

    def wait(self, name: str, source: str, control: Sequence[str], domain: str) -> str:
        """`source`, once the operators `control` have run: an edge that carries no data.

        It is an operator of its own, so that what waits stays the operator that it is.
        """
        made = f"{name}.wait"
        self.op(
            "Wait",
            [source],
            [made],
            name=made,
            domain=domain,
            types=[self.tensors[source]],
            attrs={"control": tuple(control)},
        )
        return made

    def build(self, outputs: Sequence[str]) -> Graph:
        """The finished graph.

        Raises:
            GraphError: a cycle, or a tensor that is made twice or not at all.
        """
        return Graph(
            self.name,
            tuple(self.ops),
            self.tensors,
            tuple(self._inputs),
            tuple(outputs),
            self.initializers,
            self._opsets,
        )
