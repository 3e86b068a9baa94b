"""A net in which ONNX Runtime's segments and tuned kernels take turns on shared buffers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np

from lydite.backends.base import Prepared, Settings, check_feeds
from lydite.backends.onnxruntime import OnnxRuntimeBackend, failures, first_line
from lydite.backends.tuned.choice import SEGMENT_S, Choice
from lydite.backends.tuned.kernel import Kernel, aligned, moving, tensor
from lydite.backends.tuned.task import task_of
from lydite.backends.tuned.toolchain import Machine
from lydite.errors import BackendError
from lydite.graph import Graph, Op, OpKey, keys_of
from lydite.graph.dtypes import numpy_dtype
from lydite.records import dataclass

_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")


@dataclass
class Step:
    """Operators that run together: a segment of ONNX Runtime, or one tuned kernel.

    Attributes:
        ops: Operators in order.
        choice: Schedule of a tuned kernel; None for a segment.
        reads, writes: Tensors from and to other steps.
    """

    ops: list[Op]
    choice: Choice | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


@dataclass
class Plan:
    """Order of the steps, and which tensors are views of others.

    Attributes:
        steps: Steps in order.
        root: The tensor whose memory a view shares, by name of the view.
    """

    steps: list[Step]
    root: dict[str, str] = field(default_factory=dict)

    @property
    def tuned(self) -> list[str]:
        """Names of the operators that run tuned."""
        return [step.ops[0].name for step in self.steps if step.choice is not None]

    def memory_of(self, name: str) -> str:
        """Name of the tensor that owns the memory."""
        while name in self.root:
            name = self.root[name]
        return name


def can_be_cut(graph: Graph) -> bool:
    """Whether every operator names all that it reads, and every tensor is an array."""
    arrays = all(
        graph.type_of(name).is_static and "(" not in graph.type_of(name).dtype
        for op in graph.ops
        for name in op.outputs
        if name
    )
    return arrays and not any(op.subgraphs for op in graph.ops) and not graph.functions


def plan(graph: Graph, chosen: Mapping[str, Choice]) -> Plan:
    """Cut a lowered graph; runs of tuned kernels that gain less than a call are left out.

    Args:
        graph: Lowered graph.
        chosen: Choice by name of the operator.
    """
    chosen = dict(chosen)
    while True:
        made = _cut(graph, chosen)
        losing = [op for run in _runs(made.steps) for op in run if _gain(run, chosen) < SEGMENT_S]
        if not losing or len(made.steps) == len(_runs(made.steps)):
            return made
        for op in losing:
            del chosen[op]


def _runs(steps: Sequence[Step]) -> list[list[str]]:
    """Names of tuned operators that follow each other."""
    runs: list[list[str]] = []
    before = False
    for step in steps:
        if step.choice is not None:
            if not before:
                runs.append([])
            runs[-1].append(step.ops[0].name)
        before = step.choice is not None
    return runs


def _gain(run: Sequence[str], chosen: Mapping[str, Choice]) -> float:
    return sum(chosen[name].gain_s for name in run)


def _cut(graph: Graph, chosen: Mapping[str, Choice]) -> Plan:
    """Run what is ready of one sort before switching to the other, so that segments are few."""
    made = Plan([])
    done = {*graph.inputs, *graph.initializers, ""}
    waiting = list(graph.ops)
    tuned = False
    while waiting:
        segment: list[Op] = []
        within: set[str] = set()
        rest: list[Op] = []
        for op in waiting:
            ready = all(name in done for name in op.inputs)
            # A view of what the same segment makes is an operator of that segment.
            apart = made.memory_of(op.inputs[0]) not in within if op.inputs else False
            if ready and apart and _is_view(graph, op):
                made.root[op.outputs[0]] = op.inputs[0]
            elif ready and (op.name in chosen) == tuned:
                if tuned:
                    made.steps.append(Step([op], chosen[op.name]))
                else:
                    segment.append(op)
                    within |= set(op.outputs)
            else:
                rest.append(op)
                continue
            done |= set(op.outputs)
        if segment:
            made.steps.append(Step(segment))
        tuned, waiting = not tuned, rest
    _connect(graph, made)
    return made


def _is_view(graph: Graph, op: Op) -> bool:
    if op.op_type not in _VIEWS or op.domain or not op.inputs[0]:
        return False
    return op.inputs[0] not in graph.initializers and op.outputs[0] not in graph.outputs


def _connect(graph: Graph, made: Plan) -> None:
    """Say what each step reads and writes."""
    used: dict[str, int] = {}
    for step in made.steps:
        own = {name for op in step.ops for name in op.outputs if name}
        reads = dict.fromkeys(name for op in step.ops for name in op.inputs if name)
        step.reads = tuple(n for n in reads if n not in own and n not in graph.initializers)
        for name in step.reads:
            used[made.memory_of(name)] = 1
    for name in graph.outputs:
        used[made.memory_of(name)] = 1
    for step in made.steps:
        outputs = [name for op in step.ops for name in op.outputs if name]
        step.writes = tuple(name for name in outputs if name in used)


def buffers(graph: Graph, made: Plan) -> dict[str, np.ndarray]:
    """Memory by tensor that owns some; what nobody reads any more is used again.

    A step's outputs never share memory with its inputs.
    """
    last: dict[str, int] = {}
    for index, step in enumerate(made.steps):
        for name in (*step.reads, *step.writes):
            last[made.memory_of(name)] = index
    kept = {made.memory_of(name) for name in (*graph.inputs, *graph.outputs)}
    memory: dict[str, np.ndarray] = {}
    free: list[np.ndarray] = []
    owner: dict[str, np.ndarray] = {}

    def take(name: str) -> None:
        wanted = graph.type_of(name)
        size = -(-(wanted.nbytes or 0) // 4)
        fitting = [block for block in free if block.size >= size]
        if fitting and name not in kept:
            block = min(fitting, key=lambda b: b.size)
            free[:] = [other for other in free if other is not block]
        else:
            block = aligned(max(size, 16))
        owner[name] = block
        shape = [int(dim) for dim in wanted.shape or ()]
        raw = block.view(np.uint8)[: wanted.nbytes or 0]
        memory[name] = raw.view(numpy_dtype(wanted.dtype)).reshape(shape)

    for name in graph.inputs:
        take(name)
    for index, step in enumerate(made.steps):
        for name in step.writes:
            take(name)
        for name in {made.memory_of(name) for name in (*step.reads, *step.writes)}:
            if last[name] == index and name not in kept and name in owner:
                free.append(owner[name])
    return memory


class Hybrid(Prepared):
    """A net ready to run.

    Args:
        graph: Lowered graph with its weights.
        made: Order of the steps.
        settings: Settings.
        here: Processor.
    """

    def __init__(self, graph: Graph, made: Plan, settings: Settings, here: Machine) -> None:
        self._graph, self._plan = graph, made
        self._memory = buffers(graph, made)
        self._backend, self._settings = OnnxRuntimeBackend(), replace(settings, optimise=False)
        self._keys, self._kernels = keys_of(graph), dict[tuple[str, Any], Kernel]()
        self._kept: list[Any] = []
        self._calls = [
            self._segment(step) if step.choice is None else self._tuned(step, here)
            for step in made.steps
        ]
        random = np.random.default_rng(settings.seed)
        for name in graph.inputs:
            into = self._memory[name]
            if into.dtype.kind == "f":
                into[...] = random.standard_normal(into.shape, dtype=np.float32)
            else:
                into[...] = 1

    @property
    def tuned(self) -> Counter[str]:
        """Number of calls that run tuned, by digest of the operator."""
        return Counter(self._keys[name].digest for name in self._plan.tuned)

    def _view(self, name: str) -> np.ndarray:
        memory = self._memory[self._plan.memory_of(name)]
        return memory.reshape([int(dim) for dim in self._graph.type_of(name).shape or ()])

    def _tuned(self, step: Step, here: Machine) -> Any:
        op = step.ops[0]
        key: OpKey = self._keys[op.name]
        task = task_of(key)
        assert task is not None and step.choice is not None
        known = key.text, step.choice.config
        if known not in self._kernels:
            self._kernels[known] = Kernel(task, step.choice.config, here)
        kernel = self._kernels[known]
        constants = {i: self._graph.initializers[op.inputs[i]].array() for i in task.constants}
        packed = kernel.pack(constants)
        inputs = [tensor(self._view(op.inputs[i])) for i in moving(task)]
        output = tensor(self._view(op.outputs[0]))
        return lambda: kernel.call(inputs, packed, output)

    def _segment(self, step: Step) -> Any:
        graph = self._graph
        names = dict.fromkeys(
            n for op in step.ops for n in (*op.inputs, *op.outputs) if n and n in graph.tensors
        )
        part = replace(
            graph,
            ops=tuple(step.ops),
            tensors={name: graph.type_of(name) for name in names},
            inputs=step.reads,
            outputs=step.writes,
            initializers={n: i for n, i in graph.initializers.items() if n in names},
            buffers=frozenset(),
        )
        session = self._backend.session(part, self._settings)
        binding = session.io_binding()
        for name, bind in [
            *((name, binding.bind_input) for name in step.reads),
            *((name, binding.bind_output) for name in step.writes),
        ]:
            array = self._view(name)
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._kept += [session, binding]
        return lambda: session.run_with_iobinding(binding)

    def run(self) -> None:
        """Run the steps in order."""
        try:
            for call in self._calls:
                call()
        except failures() as error:
            raise BackendError(first_line(error)) from error

    def synchronize(self) -> None:
        """Nothing is left to wait for."""

    def bind(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Set inputs by name, for all following calls."""
        check_feeds(feeds, self._graph)
        for name, array in feeds.items():
            self._memory[name][...] = array

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name."""
        return {name: self._view(name).copy() for name in self._graph.outputs}

    def close(self) -> None:
        """Release sessions and buffers."""
        self._calls, self._kept = [], []
        self._memory.clear()
