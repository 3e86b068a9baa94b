"""`Graph`: operators in ONNX's vocabulary, typed tensors, and weights that may stay on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from copy import copy
from dataclasses import field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

import numpy as np

from lydite.errors import GraphError
from lydite.graph.op import Body, Op
from lydite.graph.operators import fixed_inputs, packed_weights
from lydite.opkey import TensorType
from lydite.records import dataclass
from lydite.results import OneLine

Found = TypeVar("Found")
_EXPERTS = ("MoE", "QMoE", "MoEMatMul")
"""Operators whose weights each token meets a part of."""
_MEMO = "_memo_"
"""Begins the names under which a graph holds what was worked out of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Initializer:
    """A weight or constant: its type, and how to get its values.

    Attributes:
        type: Dtype and shape.
        value: Array, if it is small or was given.
        load: Function that reads the array from where it is stored; None without a `value` means
            that the weight has no values, and `array(seed)` draws random ones.
        subnormal: Share of the cache lines of drawn values that are subnormal (`subnormal_share`).
    """

    type: TensorType
    value: np.ndarray | None = None
    load: Callable[[], np.ndarray] | None = None
    subnormal: float = 0.0

    @property
    def has_data(self) -> bool:
        """Whether values exist, in memory or on disk."""
        return self.value is not None or self.load is not None

    def array(self, seed: int = 0) -> np.ndarray:
        """The values; drawn by `random_weight` if there are none."""
        if self.value is not None:
            return self.value
        if self.load is not None:
            return self.load()
        drawn = random_weight(self.type, seed)
        return _with_subnormal(drawn, self.subnormal, seed) if self.subnormal else drawn


def random_weight(type_: TensorType, seed: int) -> np.ndarray:
    """Random values that keep activations finite through a deep network.

    Matrices are uniform in +-sqrt(3 / fan_in) (LeCun's variance 1 / fan_in); vectors, which may be
    biases, scales or variances, are uniform in [0.5, 1.5]; matrices of bytes are uniform over their
    type, other integers zero. A block of a million values is repeated, because drawing a
    billion would take longer than a measurement.
    """
    from lydite.graph.dtypes import numpy_dtype

    shape = type_.shape
    if shape is None or not type_.is_static:
        raise GraphError(f"no weights can be drawn for {type_}, which has unknown sizes")
    dims = [int(dim) for dim in shape]
    dtype, count = numpy_dtype(type_.dtype), int(np.prod(dims, dtype=np.int64))
    if not type_.dtype.startswith(("float", "bfloat")):
        return _integers(dims, dtype, seed)
    block = np.random.default_rng(seed).random(min(count, 1_000_003), dtype=np.float32)
    if len(dims) < 2:
        block += np.float32(0.5)
    else:
        fan_in = max(1, int(np.prod(dims[1:])) if len(dims) > 2 else dims[0])
        block = (block * 2 - 1) * np.float32((3 / fan_in) ** 0.5)
    return np.resize(block.astype(dtype), dims)


def may_be_subnormal(weight: Initializer) -> bool:
    """Whether a weight has values of its own, of the kind that `subnormal_share` looks at."""
    return weight.has_data and weight.type.dtype == "float32" and len(weight.type.shape or ()) > 1


def stored_subnormal(weight: Initializer) -> float:
    """`subnormal_share` of a weight that has values; else what is noted of it."""
    return subnormal_share(weight.array()) if may_be_subnormal(weight) else weight.subnormal


def subnormal_share(values: np.ndarray) -> float:
    """Share of a matrix's cache lines (16 numbers) that hold a subnormal number, to two digits.

    Training with weight decay drives the weights of unused channels below float32's smallest normal
    number, 1.2e-38, where each vector instruction traps into microcode. At most a million numbers
    in evenly spaced blocks are looked at.
    """
    if values.dtype != np.float32 or values.ndim < 2 or values.size < _LINE:
        return 0.0
    lines = values.reshape(-1)[: values.size // _LINE * _LINE].reshape(-1, _LINE)
    apart = -(-len(lines) // _LINES_READ)
    starts = range(0, len(lines), apart * _BLOCK)
    return float(f"{np.mean([_subnormal(lines[at : at + _BLOCK]) for at in starts]):.2g}")


def _subnormal(lines: np.ndarray) -> float:
    bits = lines.view(np.uint32) & np.uint32(0x7FFFFFFF)
    found = (bits - np.uint32(1)) < np.uint32(0x007FFFFF)  # 0 wraps to the largest number
    return float(found.any(axis=1).mean())


def _with_subnormal(values: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Values of which whole cache lines, spread at random, are subnormal."""
    flat = values.ravel()
    lines = flat[: len(flat) // _LINE * _LINE].reshape(-1, _LINE)
    lines[np.random.default_rng(seed).random(len(lines)) < share] = np.float32(1e-40)
    return values


_LINE = 16
"""Float32 numbers of a cache line, and of the widest vector."""

_LINES_READ = 1 << 16
_BLOCK = 1 << 10


def _integers(dims: Sequence[int], dtype: Any, seed: int) -> np.ndarray:
    """Weights drawn over the whole type; indices, sizes, masks and zero points stay 0."""
    if len(dims) < 2 or np.dtype(dtype) not in (np.dtype(np.int8), np.dtype(np.uint8)):
        return np.zeros(dims, dtype)
    count = int(np.prod(dims, dtype=np.int64))
    block = np.random.default_rng(seed).bytes(min(count, 1_000_003))
    return np.resize(np.frombuffer(block, dtype), dims)


@dataclass(frozen=True, repr=False)
class Graph(Body, OneLine):
    """Operators in topological order, with the types of all their tensors.

    Attributes:
        name: Name of the model.
        ops: Operators, sorted topologically on construction if they are not.
        tensors: Type by name of every input, initializer, operator output and outer tensor.
        inputs, outputs: Names of the graph's inputs and outputs, in order.
        initializers: Weights and constants by tensor name.
        opsets: Opset version by domain; "" is ONNX's own.
        functions: Model-local functions as `onnx.FunctionProto`, kept for writing.
        outer: Names taken from an enclosing graph; only in subgraphs.
        buffers: Names of numeric initializers that are not trained, where the source tells.

    Raises:
        GraphError: there is a cycle, an input or output that nothing produces, or a tensor that is
            produced twice.
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
    buffers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", _sorted_ops(self))
        for name in self.outputs:
            if name not in self._known:
                raise GraphError(f"nothing produces the output '{name}'", where=self.name)

    @cached_property
    def producers(self) -> dict[str, Op]:
        """The operator that produces each tensor, by tensor name."""
        return {name: op for op in self.ops for name in op.outputs if name}

    @cached_property
    def consumers(self) -> dict[str, list[Op]]:
        """The operators that read each tensor, by tensor name."""
        readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                readers.setdefault(name, []).append(op)
        return readers

    @cached_property
    def read(self) -> frozenset[str]:
        """Names that an operator, a subgraph or an output reads."""
        names = {name for op in self.ops for name in (*op.inputs, *outer_names(op)) if name}
        return frozenset({*names, *self.outputs})

    @cached_property
    def _known(self) -> set[str]:
        return {*self.inputs, *self.initializers, *self.outer, *self.producers}

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what was worked out, which a copy works out again if it needs it."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith(_MEMO)}

    def memo(self, name: str) -> dict[Any, Any]:
        """What has been worked out of this graph, which never changes, under a name."""
        return self.__dict__.setdefault(f"{_MEMO}{name}", {})

    def of_op(self, name: str, op: Op, work_out: Callable[[Op, Graph], Found]) -> Found:
        """What a function finds of an operator of this graph, worked out once.

        Args:
            name: Name of the result.
            op: Operator; never changed.
            work_out: Function of the operator and this graph.
        """
        known: dict[int, tuple[Op, Found]] = self.memo(name)
        held = known.get(id(op))
        if held is None or held[0] is not op:
            held = known[id(op)] = op, work_out(op, self)
        return held[1]

    def type_of(self, name: str) -> TensorType:
        """Type of a tensor; dtype and shape are unknown if inference could not tell them."""
        return self.tensors.get(name, UNKNOWN)

    def input_types(self, op: Op) -> list[TensorType | None]:
        """Types of an operator's inputs; None for an omitted input."""
        return [self.type_of(name) if name else None for name in op.inputs]

    def output_types(self, op: Op) -> list[TensorType]:
        """Types of an operator's outputs, without omitted ones."""
        return [self.type_of(name) for name in op.outputs if name]

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initializer or the output of a Constant operator."""
        return name in self.initializers or name in self._constants

    def constant(self, name: str) -> np.ndarray | None:
        """Value of a small constant in memory, else None."""
        initializer = self.initializers.get(name)
        if initializer is not None:
            return initializer.value
        op = self._constants.get(name)
        return constant_value(op) if op is not None else None

    @cached_property
    def _constants(self) -> dict[str, Op]:
        """The Constant operators, by what they produce."""
        found = (op for op in self.ops if op.op_type == "Constant" and not op.domain)
        return {name: op for op in found for name in op.outputs}

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the trained weights among the initializers, in order (see `is_parameter`).

        Inputs that an operator takes as settings, which training does not change, are not counted
        (see `Operator.fixed_inputs`), as is usual in papers.
        """
        fixed = self._fixed
        return tuple(
            name
            for name, init in self.initializers.items()
            if is_parameter(init.type) and name not in fixed
        )

    @cached_property
    def _fixed(self) -> set[str]:
        settings = {n for op in self.ops for n in op.inputs[fixed_inputs(op.qualified_type)]}
        return settings | self.buffers

    @cached_property
    def parameter_count(self) -> int:
        """Number of trained values in `parameters` and Constant operators, bodies included."""
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
        idle = sum(self._idle_weights(op) for op in self.ops if op.op_type in _EXPERTS)
        bodies = (body for op in self.ops for body in op.subgraphs)
        idle += sum(self._weights_in(n) for n in self.parameters if not self._is_read(n))
        idle += sum(body.parameter_count - body.active_parameter_count for body in bodies)
        return self.parameter_count - idle

    def _is_read(self, name: str) -> bool:
        """Whether an operator reads a tensor; those with bodies may do so inside."""
        return name in self.consumers or any(op.subgraphs for op in self.ops)

    def _idle_weights(self, op: Op) -> int:
        """Weights of the experts that a token does not go through."""
        router = self.type_of(op.inputs[1]).shape or (None,)
        count, chosen = router[-1], op.attrs.get("k", 1)
        if op.op_type == "MoEMatMul":  # the choices themselves come in, not the router's scores
            count, chosen = (self.type_of(op.inputs[2]).shape or (None,))[0], router[-1]
        if not isinstance(count, int) or not isinstance(chosen, int) or not count:
            return 0
        held = sum(self._weights_in(n) for n in op.inputs[2:] if n and self.is_constant(n))
        return held * max(0, count - chosen) // count

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all initializers, those of bodies included."""
        bodies = sum(body.parameter_bytes for op in self.ops for body in op.subgraphs)
        return bodies + sum(init.type.nbytes or 0 for init in self.initializers.values())

    @property
    def open_dims(self) -> list[str]:
        """Names of the symbolic sizes in the inputs."""
        names = (d for n in self.inputs for d in self.type_of(n).shape or () if isinstance(d, str))
        return list(dict.fromkeys(names))

    def renamed(self, name: str) -> Graph:
        """The same graph under another name."""
        named = copy(self)  # without what was worked out, which may tell the name
        object.__setattr__(named, "name", name)
        return named

    def walk(self) -> Iterator[Op]:
        """All operators; those of subgraphs follow the operator that holds them."""
        for op in self.ops:
            yield op
            for body in op.subgraphs:
                yield from body.walk()

    def headline(self) -> str:
        """Name, number of operators and number of inputs, in one line."""
        return f"{self.name}: {len(self.ops)} operators, {len(self.inputs)} inputs"


UNKNOWN = TensorType("", None)


def constant_value(op: Op) -> np.ndarray | None:
    """The tensor that a Constant operator produces; None if it is text or sparse."""
    value = op.attrs.get("value")
    if isinstance(value, np.ndarray):
        return value
    for attr in ("value_int", "value_ints", "value_float", "value_floats"):
        if attr in op.attrs:
            return np.array(op.attrs[attr], np.int64 if "int" in attr else np.float32)
    return None


def is_parameter(type_: TensorType) -> bool:
    """Whether a constant of this type is a weight rather than an index, a mask or a scalar."""
    return type_.dtype not in ("int32", "int64", "bool", "string") and type_.shape != ()


def outer_names(op: Op) -> Set[str]:
    """Names that an operator's subgraphs take from enclosing graphs."""
    bodies = op.subgraphs
    return {name for body in bodies for name in body.outer} if bodies else _NO_NAMES


_NO_NAMES: frozenset[str] = frozenset()


def _sorted_ops(graph: Graph) -> tuple[Op, ...]:
    ready = {*graph.inputs, *graph.initializers, *graph.outer}
    if _in_order(graph.ops, ready):
        return graph.ops
    made: dict[str, str] = {}
    for op in graph.ops:
        for name in op.outputs:
            if name and (name in made or name in ready):
                raise GraphError(
                    f"the tensor '{name}' is produced twice, by "
                    f"'{made.get(name, 'the inputs')}' and by '{op.name}'",
                    where=graph.name,
                )
            if name:
                made[name] = op.name
    for op in graph.ops:
        around = outer_names(op)
        for name in (*op.inputs, *sorted(around)) if around else op.inputs:
            if name and name not in made and name not in ready:
                raise GraphError(
                    f"operator '{op.name}' ({op.op_type}) reads '{name}', which nothing produces",
                    where=graph.name,
                )
    return _kahn(graph)


def _in_order(ops: Sequence[Op], ready: set[str]) -> bool:
    """Whether each operator reads what there is before it, and nothing is produced twice."""
    known = {"", *ready}  # "" stands for what is left out
    count = len(known)
    for op in ops:
        if not known.issuperset(op.inputs) or not outer_names(op) <= known:
            return False
        known.update(op.outputs)
        count += len(op.outputs) - op.outputs.count("")
    return len(known) == count


def _kahn(graph: Graph) -> tuple[Op, ...]:
    index = {name: i for i, op in enumerate(graph.ops) for name in op.outputs if name}
    reads = {
        i: {index[name] for name in {*op.inputs, *outer_names(op)} if name in index}
        for i, op in enumerate(graph.ops)
    }
    try:
        return tuple(graph.ops[i] for i in TopologicalSorter(reads).static_order())
    except CycleError as error:
        names = ", ".join(f"'{graph.ops[i].name}'" for i in error.args[1][:4])
        raise GraphError(
            f"the operators {names} wait for each other in a cycle", where=graph.name
        ) from error
