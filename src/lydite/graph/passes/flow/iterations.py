"""Iterations of a Loop or Scan, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from lydite.errors import GraphError
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.passes.flow.made import INSIDE, OpenBody
from lydite.opkey import TensorType

MOST_COPIES = 1000
"""Iterations of a loop that may all differ in size."""


def fits(op: Op, body: Graph) -> bool:
    """Whether a body takes what the operator hands it; before opset 9, a Scan takes more."""
    if op.op_type == "If":
        return not body.inputs
    return len(body.inputs) == len(op.inputs) and bool(op.inputs)


class Lines(Protocol):
    """Where iterations are written; see `lydite.graph.passes.flow.writer.Writer`."""

    graph: Graph
    tensors: dict[str, TensorType]
    times: dict[str, int]
    open: list[OpenBody]

    def body(
        self, inside: Graph, now: Mapping[str, str], inputs: Mapping[str, str], copy: str, body: str
    ) -> list[str]:
        """Append a copy of a body; returns the tensors that are its outputs."""
        ...

    def weight(self, name: str, weight: Initializer) -> str:
        """Add a weight, unless it is there already; returns its name."""
        ...

    def view(self, name: str, of: str, type_: TensorType) -> str:
        """A part of a tensor, or a whole of parts; returns its name."""
        ...


class Iterations:
    """Iterations of a Loop or Scan, one behind the other.

    Args:
        writer: Where they are written.
        op: The operator, with its types inferred.
        types: Types of its outputs.
        now: Names of the tensors around it. Grows by its outputs.
        copy, body: Prefixes of its name.
    """

    def __init__(
        self,
        writer: Lines,
        op: Op,
        types: Sequence[TensorType],
        now: dict[str, str],
        copy: str,
        body: str,
    ) -> None:
        self.writer, self.op, self.types, self.now = writer, op, types, now
        self.copy, self.common, self.prefix = copy + op.name, body + op.name, copy
        scanned = op.attrs.get("num_scan_inputs", 0) if op.op_type == "Scan" else 0
        self.scanned = scanned if isinstance(scanned, int) else 0

    def write(self, body: Graph, times: int | None) -> None:
        """Append the iterations; of an unknown number of them, one."""
        op, writer = self.op, self.writer
        first = [self.now.get(name, name) for name in op.inputs]
        first = first[: len(first) - self.scanned]
        if op.op_type == "Loop":  # the number of the iteration, and whether it takes place
            number = writer.weight(
                f"{self.common}{INSIDE}{body.inputs[0]}", Initializer(TensorType("int64", ()))
            )
            going = Initializer(TensorType("bool", ()), value=np.array(True))
            again = first[1] or writer.weight(f"{self.common}{INSIDE}{body.inputs[1]}", going)
            first = [number, again, *first[2:]]
        if times is None:
            why = "how many iterations it has depends on the data; one is counted"
            writer.open.append(OpenBody(self.copy, op.op_type, why))
        states, ends = self._all(body, first, 1 if times is None else times)
        self._hand_on(states[2 if op.op_type == "Loop" else 0 :], ends)

    def _all(self, body: Graph, states: list[str], times: int) -> tuple[list[str], list[str]]:
        """Append iterations; returns the states after them, and the last slices."""
        slices: list[str] = []
        number = 0
        while number < times:
            if number == MOST_COPIES < times - 1:
                raise GraphError(
                    "its sizes change from iteration to iteration",
                    where=f"{self.writer.graph.name}: {self.copy} ({self.op.op_type})",
                    allowed=f"{MOST_COPIES} such iterations, not {times}",
                )
            name = f"{self.copy}[{number}]"
            before = self._types(states)
            states, slices = self._one(body, states, name)
            if 0 < number < times - 2 and self._types(states) == before:
                self.writer.times[name] = times - 1 - number
                number = times - 1
            else:
                number += 1
        return states, slices

    def _types(self, names: Sequence[str]) -> list[TensorType | None]:
        return [self.writer.tensors.get(name) for name in names]

    def _one(self, body: Graph, states: list[str], name: str) -> tuple[list[str], list[str]]:
        """Append an iteration; returns the states after it, and its slices of the results."""
        inputs = dict(zip(body.inputs, states, strict=False))
        wholes = self.op.inputs[len(self.op.inputs) - self.scanned :]
        for part, whole in zip(body.inputs[len(states) :], wholes, strict=True):
            slice_ = f"{name}{INSIDE}{part}"
            inputs[part] = self.writer.view(slice_, self.now.get(whole, whole), body.type_of(part))
        ends = self.writer.body(body, self.now, inputs, name, self.common)
        if self.op.op_type == "Loop":
            kept = len(states) - 1
            return [states[0], *ends[:kept]], ends[kept:]
        return ends[: len(states)], ends[len(states) :]

    def _hand_on(self, states: Sequence[str], slices: Sequence[str]) -> None:
        """The operator's outputs: the last states, and the slices of all iterations together."""
        names = self.op.outputs
        self.now |= {o: s for o, s in zip(names, states, strict=False) if o}
        rest = list(zip(names, self.types, strict=True))[len(states) :]
        for at, (name, type_) in enumerate(rest):
            if not name:
                continue
            full = self.prefix + name
            if at < len(slices):
                self.writer.view(full, slices[at], type_)
            else:  # no iteration
                self.writer.weight(full, Initializer(type_))
            self.now[name] = full
