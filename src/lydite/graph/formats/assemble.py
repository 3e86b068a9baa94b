"""Assembly of graphs from files that name their tensors; operators are typed as they come."""

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
    """Collects operators and tensors under given names.

    Args:
        name: Name of the graph.
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
        """Add a graph input."""
        self.tensors[name] = TensorType(dtype, None if shape is None else tuple(shape))
        self._inputs.append(name)
        return name

    def weight(self, name: str, weight: Initializer) -> str:
        """Add a weight or constant."""
        self.tensors[name], self.initializers[name] = weight.type, weight
        return name

    def constant(self, name: str, value: Sequence[int] | np.ndarray) -> str:
        """Add a constant with its value; integers become int64."""
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
        """Append an operator; `types` are the output types, if the file states them.

        Raises:
            GraphError: no types are stated, and the inputs contradict the operator.
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
        """A copy of `source` that is available once the operators `control` have run.

        This edge without data is an operator of its own, so that the waiting operator is unchanged.
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
            GraphError: there is a cycle, or a tensor that is produced twice or not at all.
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
