"""`Graph`: what is computed. Operators in ONNX's vocabulary, typed tensors, weights on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from lydite.errors import GraphError
from lydite.graph.op import Body, Op
from lydite.graph.operators import fixed_inputs, packed_weights
from lydite.opkey import TensorType
from lydite.results import OneLine


@dataclass(frozen=True, slots=True, eq=False)
class Initializer:
    """A weight or constant: its type, and how to get the numbers if somebody needs them.

    Attributes:
        type: dtype and shape.
        value: the array where it is small or was given.
        load: reads the array from where it lies; None with no `value` means that nobody ever gave
            numbers, and `array(seed)` draws them.
    """

    type: TensorType
    value: np.ndarray | None = None
    load: Callable[[], np.ndarray] | None = None

    @property
    def has_data(self) -> bool:
        """Whether numbers exist (in memory or on disk)."""
        return self.value is not None or self.load is not None

    def array(self, seed: int = 0) -> np.ndarray:
        """The numbers; drawn by `random_weight` where none were given."""
        if self.value is not None:
            return self.value
        return self.load() if self.load is not None else random_weight(self.type, seed)


def random_weight(type_: TensorType, seed: int) -> np.ndarray:
    """Random numbers that keep activations finite through a deep net.

    Matrices are uniform in +-sqrt(3 / fan_in) (LeCun's variance 1 / fan_in); vectors, which serve
    as biases, scales and variances alike, are uniform in [0.5, 1.5]. Integers are zero. One block
    of a million numbers is repeated: drawing a billion would take longer than the measurement.
    """
    from lydite.graph.dtypes import numpy_dtype

    shape = type_.shape
    if shape is None or not type_.is_static:
        raise GraphError(f"no weights can be drawn for the open type {type_}")
    dims = [int(dim) for dim in shape]
    dtype, count = numpy_dtype(type_.dtype), int(np.prod(dims, dtype=np.int64))
    if not type_.dtype.startswith(("float", "bfloat")):
        return np.zeros(dims, dtype)
    block = np.random.default_rng(seed).random(min(count, 1_000_003), dtype=np.float32)
    if len(dims) < 2:
        block += np.float32(0.5)
    else:
        fan_in = max(1, int(np.prod(dims[1:])) if len(dims) > 2 else dims[0])
        block = (block * 2 - 1) * np.float32((3 / fan_in) ** 0.5)
    return np.resize(block.astype(dtype), dims)


@dataclass(frozen=True, repr=False)
class Graph(Body, OneLine):
    """Operators in topological order, with the types of all their tensors.

    Attributes:
        name: the model's name.
        ops: topologically ordered (made so if they were not).
        tensors: type by tensor name, for every input, initializer, operator output and outer name.
        inputs, outputs: names, in order.
        initializers: weights and constants by tensor name.
        opsets: opset version by domain; "" is ONNX's own.
        functions: model-local functions as `onnx.FunctionProto`, kept for writing.
        outer: names taken from an enclosing graph (only in subgraphs).

    Raises:
        GraphError: when made from a cycle, an input that nothing produces, a tensor that is
            produced twice, or an output that does not exist.
    """

    name: str
    ops: tuple[Op, ...]
    tensors: Mapping[str, TensorType]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    initializers: Mapping[str, Initializer] = field(default_factory=dict)
    opsets: Mapping[str, int] = field(default_factory=lambda: {"": 20})
    functions: tuple[Any, ...] = ()
    outer: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", _sorted_ops(self))
        for name in self.outputs:
            if name not in self._known:
                raise GraphError(f"nothing produces the output '{name}'", where=self.name)

    @cached_property
    def producers(self) -> dict[str, Op]:
        """The operator that makes each tensor."""
        return {name: op for op in self.ops for name in op.outputs if name}

    @cached_property
    def consumers(self) -> dict[str, list[Op]]:
        """The operators that read each tensor."""
        readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                readers.setdefault(name, []).append(op)
        return readers

    @cached_property
    def _known(self) -> set[str]:
        return {*self.inputs, *self.initializers, *self.outer, *self.producers}

    def type_of(self, name: str) -> TensorType:
        """Type of a tensor; unknown dtype and shape where inference gave up."""
        return self.tensors.get(name, UNKNOWN)

    def input_types(self, op: Op) -> list[TensorType | None]:
        """Types of an operator's inputs; None for one that is left out."""
        return [self.type_of(name) if name else None for name in op.inputs]

    def output_types(self, op: Op) -> list[TensorType]:
        """Types of an operator's outputs, left-out ones skipped."""
        return [self.type_of(name) for name in op.outputs if name]

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initializer or comes from a Constant operator."""
        return name in self.initializers or self._constant_op(name) is not None

    def constant(self, name: str) -> np.ndarray | None:
        """The numbers of a small constant that lies in memory, else None."""
        found = self.initializers.get(name)
        if found is not None:
            return found.value
        op = self._constant_op(name)
        return constant_value(op) if op is not None else None

    def _constant_op(self, name: str) -> Op | None:
        op = self.producers.get(name)
        return op if op is not None and op.qualified_type == "Constant" else None

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the trained weights among the initializers, in order (see `is_parameter`).

        What an operator takes as a setting, and no training changes, does not count (see
        `Operator.fixed_inputs`), as in the papers.
        """
        fixed = self._fixed
        return tuple(
            name
            for name, init in self.initializers.items()
            if is_parameter(init.type) and name not in fixed
        )

    @cached_property
    def _fixed(self) -> set[str]:
        return {name for op in self.ops for name in op.inputs[fixed_inputs(op.qualified_type)]}

    @cached_property
    def parameter_count(self) -> int:
        """Trained numbers: elements of `parameters` and Constant operators, bodies included."""
        constants = {n for op in self.ops if op.qualified_type == "Constant" for n in op.outputs}
        own = sum(
            self._weights_in(name)
            for name in (*self.parameters, *constants - self._fixed)
            if is_parameter(self.type_of(name))
        )
        return own + sum(body.parameter_count for op in self.ops for body in op.subgraphs)

    def _weights_in(self, name: str) -> int:
        """Weights that a constant holds; several may be packed into an element."""
        elements = self.type_of(name).numel or 0
        for op in self.consumers.get(name, ()):
            index = op.inputs.index(name)
            packed = packed_weights(op.qualified_type, op.attrs, index, elements)
            if packed is not None:
                return packed
        return elements

    @cached_property
    def active_parameter_count(self) -> int:
        """Trained numbers that a token meets: of experts, those that are chosen for it."""
        idle = sum(self._idle_weights(op) for op in self.ops if op.op_type in ("MoE", "QMoE"))
        bodies = (body for op in self.ops for body in op.subgraphs)
        idle += sum(body.parameter_count - body.active_parameter_count for body in bodies)
        return self.parameter_count - idle

    def _idle_weights(self, op: Op) -> int:
        """Weights of the experts that a token does not go through."""
        router = self.type_of(op.inputs[1]).shape or (None,)
        count, chosen = router[-1], op.attrs.get("k", 1)
        if not isinstance(count, int) or not isinstance(chosen, int) or not count:
            return 0
        held = sum(self._weights_in(n) for n in op.inputs[2:] if n and self.is_constant(n))
        return held * max(0, count - chosen) // count

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all initializers."""
        return sum(init.type.nbytes or 0 for init in self.initializers.values())

    @property
    def open_dims(self) -> list[str]:
        """Names of symbolic sizes in the inputs."""
        names = (d for n in self.inputs for d in self.type_of(n).shape or () if isinstance(d, str))
        return list(dict.fromkeys(names))

    def renamed(self, name: str) -> Graph:
        """The same graph under another name."""
        return replace(self, name=name)

    def walk(self) -> Iterator[Op]:
        """All operators, those of subgraphs after the one that holds them."""
        for op in self.ops:
            yield op
            for body in op.subgraphs:
                yield from body.walk()

    def headline(self) -> str:
        """Name and size."""
        return f"{self.name}: {len(self.ops)} operators, {len(self.inputs)} inputs"


UNKNOWN = TensorType("", None)


def constant_value(op: Op) -> np.ndarray | None:
    """The tensor that a Constant operator makes; None for a text or a sparse one."""
    value = op.attrs.get("value")
    if isinstance(value, np.ndarray):
        return value
    for attr in ("value_int", "value_ints", "value_float", "value_floats"):
        if attr in op.attrs:
            return np.array(op.attrs[attr], np.int64 if "int" in attr else np.float32)
    return None


def is_parameter(type_: TensorType) -> bool:
    """Whether a constant of this type is a weight: no index, no mask, no lone scalar."""
    return type_.dtype not in ("int32", "int64", "bool", "string") and type_.shape != ()


def _outer_reads(op: Op) -> set[str]:
    """Names that an operator's subgraphs take from the graphs around them."""
    return {name for body in op.subgraphs for name in body.outer}


def _sorted_ops(graph: Graph) -> tuple[Op, ...]:
    ready = {*graph.inputs, *graph.initializers, *graph.outer}
    made: dict[str, str] = {}
    for op in graph.ops:
        for name in op.outputs:
            if name and (name in made or name in ready):
                raise GraphError(
                    f"the tensor '{name}' is made twice, by '{made.get(name, 'the inputs')}' and "
                    f"by '{op.name}'",
                    where=graph.name,
                )
            if name:
                made[name] = op.name
    for op in graph.ops:
        for name in [*op.inputs, *sorted(_outer_reads(op))]:
            if name and name not in made and name not in ready:
                raise GraphError(
                    f"operator '{op.name}' ({op.op_type}) reads '{name}', which nothing produces",
                    where=graph.name,
                )
    return graph.ops if _in_order(graph.ops, ready) else _kahn(graph)


def _in_order(ops: Sequence[Op], ready: set[str]) -> bool:
    for op in ops:
        if any(name and name not in ready for name in op.inputs) or not _outer_reads(op) <= ready:
            return False
        ready.update(op.outputs)
    return True


def _kahn(graph: Graph) -> tuple[Op, ...]:
    index = {name: i for i, op in enumerate(graph.ops) for name in op.outputs if name}
    reads = {
        i: {index[name] for name in {*op.inputs, *_outer_reads(op)} if name in index}
        for i, op in enumerate(graph.ops)
    }
    try:
        return tuple(graph.ops[i] for i in TopologicalSorter(reads).static_order())
    except CycleError as error:
        names = ", ".join(f"'{graph.ops[i].name}'" for i in error.args[1][:4])
        raise GraphError(
            f"the operators {names} wait for each other in a cycle", where=graph.name
        ) from error
