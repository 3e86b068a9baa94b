"""One operator on a bench: ONNX Runtime's kernel and tuned ones on the same inputs and weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lydite.backends import Prepared, Settings, find_backend
from lydite.backends.isolate import replicated
from lydite.backends.tuned.kernel import Kernel, aligned, constant, moving, tensor
from lydite.backends.tuned.space import Config
from lydite.backends.tuned.task import Task, task_of
from lydite.backends.tuned.toolchain import Machine
from lydite.errors import InputError
from lydite.graph import Graph, OpKey
from lydite.records import dataclass

_COLD_BYTES, _MOST_COPIES = 64 << 20, 9
"""Weights taken in turn come to so many bytes, as a net's do, or to so many sets.

A Winograd kernel with 9.4 MB of weights takes 640 us on two sets in turn, 1020 us on eight and 1000
us in ResNet-18.
"""
_SAMPLE_S = 1.5e-3
"""Least duration of a sample, so that the clock's resolution does not show."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a configuration.

    Attributes:
        status: "ok" or why there is no time.
        error: Message of the failure.
        seconds: CPU time per call.
        reference_s: CPU time per call of ONNX Runtime's kernel, in turns with it.
        deviation: Largest difference of the results, in standard deviations of the output.
        compile_s: CPU time of the compiler.
    """

    status: str
    error: str = ""
    seconds: float | None = None
    reference_s: float | None = None
    deviation: float | None = None
    compile_s: float | None = None


class Rig:
    """ONNX Runtime's kernel of one operator, its inputs and its result.

    Args:
        key: Operator.
        here: Processor.
        seed: Random seed of inputs and weights.

    Raises:
        InputError: no schedule space is for this operator.
    """

    def __init__(self, key: OpKey, here: Machine, seed: int = 0) -> None:
        task = task_of(key)
        if task is None:
            raise InputError(f"no schedule space for {key.qualified_type}")
        self.task, self.here, self.seed = task, here, seed
        self._backend = find_backend("onnxruntime")
        self._settings = Settings(optimise=False, seed=seed)
        self.single = replicated(key, 1)
        self.reference = self._prepared(1)
        self.feeds = _inputs(self.single, seed)
        self.reference.bind(self.feeds)
        self.reference.run()
        self.expected = next(iter(self.reference.outputs().values()))
        self._output = aligned(self.expected.size)
        names = self.single.ops[0].inputs
        self._inputs = [tensor(self.feeds[names[i]]) for i in moving(task)]

    @cached_property
    def constants(self) -> dict[int, np.ndarray]:
        """The operator's constants by position."""
        return _constants(self.single, self.task, self.seed)

    def _prepared(self, copies: int) -> Prepared:
        graph = replicated(self.task.key, copies)
        return self._backend.prepare(graph, self._settings)

    def attempt(self, config: Config, tell: Callable[[str], None] = lambda _: None) -> Outcome:
        """Compile, check and time a configuration; hangs and crashes are the caller's to catch.

        Args:
            config: Configuration.
            tell: Called with "compile", "check" and "time" as these begin.
        """
        tell("compile")
        began = time.thread_time()
        kernel = Kernel(self.task, config, self.here)
        compile_s = time.thread_time() - began
        tell("check")
        packed = kernel.pack(self.constants)
        self._call(kernel, packed)()
        deviation = self.deviation()
        if not deviation <= kernel.bound:
            reason = f"deviates by {deviation:.1e} standard deviations of the output"
            reason += f"; allowed {kernel.bound:.0e}"
            return Outcome("wrong", reason, deviation=deviation, compile_s=compile_s)
        tell("time")
        every, count = self._rotated(kernel, packed)
        ours, theirs = in_turns(every, self._chain.run, rounds=3)
        return Outcome(
            "ok",
            seconds=float(np.median(ours)) / count,
            reference_s=float(np.median(theirs)) / self._copies,
            deviation=deviation,
            compile_s=compile_s,
        )

    @cached_property
    def _copies(self) -> int:
        """Number of sets of weights that are as cold together as those of a net."""
        weights = sum(array.nbytes for array in self.constants.values())
        return _times(weights)

    @cached_property
    def _chain(self) -> Prepared:
        chain = self._prepared(self._copies)
        chain.bind(self.feeds)
        return chain

    def _rotated(self, kernel: Kernel, packed: Sequence[Any]) -> tuple[Callable[[], None], int]:
        """Calls with copies of the weights in turn, and their number."""
        arrays = [part.numpy() for part in packed]
        count = _times(sum(array.nbytes for array in arrays))
        sets = [packed, *([constant(array) for array in arrays] for _ in range(count - 1))]
        calls = [self._call(kernel, each) for each in sets]

        def every() -> None:
            for call in calls:
                call()

        return every, count

    def deviation(self) -> float:
        """Largest difference from ONNX Runtime's result, in standard deviations of that result."""
        got = self._output.reshape(self.expected.shape)
        if not np.isfinite(got).all():
            return math.inf
        return float(np.abs(got - self.expected).max() / max(float(self.expected.std()), 1e-30))

    def _call(self, kernel: Kernel, packed: Sequence[Any]) -> Callable[[], None]:
        output = tensor(self._output)
        return lambda: kernel.call(self._inputs, packed, output)

    def paired(self, config: Config, rounds: int = 15) -> tuple[np.ndarray, np.ndarray]:
        """Seconds per call in a net, ours and ONNX Runtime's, round by round.

        Both are slopes of chains of 1 and n copies with weights of their own, so that the cost of
        a call into ONNX Runtime does not count, and caches are as cold as in a net.
        """
        kernel = Kernel(self.task, config, self.here)
        packed = kernel.pack(self.constants)
        every, count = self._rotated(kernel, packed)
        single = self._call(kernel, packed)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            many, many_theirs = in_turns(every, self._chain.run, rounds=1)
            _, one_theirs = in_turns(single, self.reference.run, rounds=1)
            ours.append(many[0] / count)
            theirs.append((many_theirs[0] - one_theirs[0]) / (self._copies - 1))
        return np.array(ours), np.array(theirs)

    def close(self) -> None:
        """Release the session."""
        self.reference.close()
        if "_chain" in self.__dict__:
            self._chain.close()


def _times(nbytes: int) -> int:
    return int(np.clip(-(-_COLD_BYTES // max(1, nbytes)), 2, _MOST_COPIES))


def in_turns(
    first: Callable[[], None], second: Callable[[], None], rounds: int
) -> tuple[list[float], list[float]]:
    """CPU seconds per call of two functions, sampled in turns after one call to warm up."""
    samples: tuple[list[float], list[float]] = ([], [])
    calls: list[int] = []
    for function in (first, second):
        function()
        seconds = _sample(function, 1)
        calls.append(max(1, min(1000, round(_SAMPLE_S / max(seconds, 1e-7)))))
    for _ in range(rounds):
        for kept, function, count in zip(samples, (first, second), calls, strict=True):
            kept.append(_sample(function, count))
    return samples


def _sample(function: Callable[[], None], calls: int) -> float:
    began = time.thread_time()
    for _ in range(calls):
        function()
    return (time.thread_time() - began) / calls


def _inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {name: graph.type_of(name).shape or () for name in graph.inputs}
    return {
        name: random.standard_normal([int(dim) for dim in shape], dtype=np.float32)
        for name, shape in shapes.items()
    }


def _constants(graph: Graph, task: Task, seed: int) -> dict[int, np.ndarray]:
    """The numbers that the backend gives the weights of this graph with this seed."""
    numbers = {name: number for number, name in enumerate(graph.initializers)}
    names = graph.ops[0].inputs
    return {
        index: graph.initializers[names[index]].array(seed + numbers[names[index]])
        for index in task.constants
    }
