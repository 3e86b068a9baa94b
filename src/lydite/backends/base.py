"""Interface of backends, which run graphs on this machine.

capabilities   versions, devices and element types that are available lower          returns the
graph as the backend executes it, after its own fusion and layout passes prepare        loads a
graph, binds its inputs and returns it ready to run
  run             executes the graph once
  synchronize     waits until the device has finished
  device_seconds  times calls with the device's own clock, where it has one
  bind, outputs   set the inputs and read the outputs of the last call
  close           releases memory and threads
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from lydite.errors import BackendError, InputError
from lydite.graph import Graph, Operand, OpKey, TensorType
from lydite.graph.dtypes import numpy_dtype
from lydite.records import dataclass

Chain: TypeAlias = Literal["same", "mixed"]
"""Tiny operators of one type, of a dozen types in turn, these with a sweep of the caches before
each dozen, or the sweeps alone."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings for running a graph.

    Attributes:
        threads: Number of CPU threads per operator.
        device: Name of the device, such as "cpu" or "cuda".
        seed: Random seed for weights and inputs that have no values.
        optimise: Whether the backend may fuse operators; off for graphs that are already lowered.
        tf32: Whether an NVIDIA GPU may round float32 products to TF32; None as the backend has it
            by default (ONNX Runtime: yes; PyTorch: convolutions only).
        resident: Whether inputs and outputs stay on the device between calls, where the backend
            would copy them (ONNX Runtime).
    """

    threads: int = 1
    device: str = "cpu"
    seed: int = 0
    optimise: bool = True
    tf32: bool | None = None
    resident: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of a backend on this machine.

    Attributes:
        available: Whether the backend can run.
        versions: Version by package name, for every package that affects its speed.
        devices: Supported values of `Settings.device`.
        dtypes: Element types with compute kernels.
        reason: Why the backend is not available.
        hint: Command that installs the missing package.
    """

    available: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class NodeTime:
    """Time of one operator within a run of the whole graph, from the backend's own profiler."""

    op_name: str
    start_s: float
    seconds: float


@runtime_checkable
class Prepared(Protocol):
    """A loaded graph with its inputs bound."""

    @property
    def device_seconds(self) -> Callable[[int], float] | None:
        """Function that times n calls with the device's clock and returns seconds per call.

        None if only the host's clock is available.
        """
        return None

    def run(self) -> None:
        """Run the graph once."""
        ...

    def synchronize(self) -> None:
        """Wait until all submitted work has finished."""
        ...

    def bind(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Set inputs by name, for all following calls.

        Raises:
            BackendError: the backend does not accept inputs, or the graph has no such input.
        """
        raise BackendError(f"does not accept inputs: {', '.join(feeds)}")

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name, in host memory.

        Raises:
            BackendError: the backend does not return outputs.
        """
        raise BackendError("does not return outputs")

    def close(self) -> None:
        """Release memory and threads."""
        ...


def check_feeds(feeds: Mapping[str, np.ndarray], graph: Graph) -> None:
    """Check that arrays match a graph's inputs in name, shape and element type.

    Raises:
        BackendError: an unknown input, or an array of another shape or type.
    """
    for name, array in feeds.items():
        if name not in graph.inputs:
            raise BackendError(
                f"'{name}' is not an input", where=graph.name, allowed=", ".join(graph.inputs)
            )
        wanted = graph.type_of(name)
        if tuple(array.shape) != wanted.shape or array.dtype != numpy_dtype(wanted.dtype):
            given = f"{array.dtype}{list(array.shape)}"
            raise BackendError(
                f"the input '{name}' has the type {given}", where=graph.name, allowed=str(wanted)
            )


def square_product(op_type: str, domain: str = "", version: int = 13) -> OpKey:
    """Key of a 256 x 256 matrix product, the reference operator that tracks the machine's pace."""
    square = TensorType("float32", (256, 256))
    operands = (Operand(square), Operand(square, const=True))
    return OpKey(op_type, operands, (square,), domain=domain, version=version)


def check_runnable(graph: Graph) -> None:
    """Refuse a graph that cannot run on this machine, before anything is allocated.

    Raises:
        InputError: a symbolic size is not bound.
        BackendError: twice the weights (the backend keeps a packed copy) do not fit in memory.
    """
    import psutil  # slow, and often not needed

    if graph.open_dims:
        names = " ".join(f"--dim {name}=SIZE" for name in graph.open_dims)
        raise InputError("symbolic sizes are not bound", where=graph.name, hint=f"add {names}")
    needed, free = 2 * graph.parameter_bytes, psutil.virtual_memory().available
    if needed > free:
        raise BackendError(
            f"needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            where=graph.name,
            hint="use a smaller batch or model",
        )


@runtime_checkable
class Backend(Protocol):
    """A program that runs graphs on this machine."""

    name: str
    pace_key: OpKey
    """Reference operator timed next to every measured one, to track the machine's current speed."""

    def capabilities(self) -> Capabilities:
        """Capabilities of the backend on this machine."""
        ...

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        """The graph as the backend executes it.

        Raises:
            BackendError: the backend refuses the graph.
        """
        ...

    def prepare(self, graph: Graph, settings: Settings) -> Prepared:
        """Load a graph.

        Raises:
            BackendError: the graph cannot run, or not on the requested device.
        """
        ...

    def prepare_op(self, key: OpKey, settings: Settings, copies: int, turns: int = 1) -> Prepared:
        """Load `copies` of one operator, each with its own weights, to run in sequence.

        Copies reuse one output buffer, as neighbours in a graph do; their weights are distinct, so
        that together they exceed the caches that a single copy would fit in.

        Args:
            key: Operator.
            settings: Settings of the backend.
            copies: Number of calls in sequence.
            turns: Number of buffers that the inputs of the copies alternate between.

        Raises:
            BackendError: the operator cannot run.
        """
        ...

    def prepare_calls(self, settings: Settings, copies: int, chain: Chain = "same") -> Prepared:
        """Load a graph of `copies` trivial operators, to measure the cost of a call.

        Time is linear in `copies`: the intercept is the cost of a call into the backend, the slope
        the cost of dispatching one operator. `chain` says which operators.
        """
        ...

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """Per-operator times of whole runs of a lowered graph, from the backend's own profiler."""
        ...
