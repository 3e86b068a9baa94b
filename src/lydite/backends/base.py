"""Interface of backends, which run graphs on this machine.

capabilities   what is installed, on which device, in which precisions
lower          the graph as the backend executes it, after its own fusion and layout
prepare        a graph loaded, with inputs bound, ready to run
  run             one call
  synchronize     wait until the device has finished
  device_seconds  what calls take by a clock of the device, where it has one
  bind, outputs   inputs from outside, and what the last call made of them
  close           give everything back
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import psutil

from lydite.errors import BackendError, InputError
from lydite.graph import Graph, Operand, OpKey, TensorType
from lydite.graph.dtypes import numpy_dtype


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings for running a graph.

    Attributes:
        threads: Number of CPU threads per operator.
        device: Name of the device, such as "cpu" or "cuda".
        seed: Random seed for weights and inputs without values.
        optimise: Whether the backend may fuse operators; off for a graph that it has lowered.
    """

    threads: int = 1
    device: str = "cpu"
    seed: int = 0
    optimise: bool = True


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of a backend on this machine.

    Attributes:
        available: Whether the backend can run.
        versions: Version by package name, for every package that affects its speed.
        devices: Supported values of `Settings.device`.
        dtypes: Element types that it can compute in.
        reason: Why it is not available.
        hint: Command that installs what is missing.
    """

    available: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One operator's execution inside a whole run, as the backend's own profiler saw it."""

    op_name: str
    start_s: float
    seconds: float


@runtime_checkable
class Prepared(Protocol):
    """A loaded graph with its inputs bound."""

    @property
    def device_seconds(self) -> Callable[[int], float] | None:
        """Function that times a number of calls by the device's clock, in seconds per call.

        None if only the host's clock is available.
        """
        return None

    def run(self) -> None:
        """Run the graph once."""
        ...

    def synchronize(self) -> None:
        """Return when everything that was started has finished."""
        ...

    def bind(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Take these arrays as inputs, by name, from the next call on.

        Raises:
            BackendError: the backend takes no inputs from outside, or not this one.
        """
        raise BackendError(f"takes no inputs from outside: {', '.join(feeds)}")

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name, in host memory.

        Raises:
            BackendError: the backend hands out no results.
        """
        raise BackendError("hands out no results")

    def close(self) -> None:
        """Release memory and threads."""
        ...


def check_feeds(feeds: Mapping[str, np.ndarray], graph: Graph) -> None:
    """Refuse arrays that a graph does not take.

    Raises:
        BackendError: an unknown input, or an array of another type.
    """
    for name, array in feeds.items():
        if name not in graph.inputs:
            raise BackendError(
                f"'{name}' is no input", where=graph.name, allowed=", ".join(graph.inputs)
            )
        wanted = graph.type_of(name)
        if tuple(array.shape) != wanted.shape or array.dtype != numpy_dtype(wanted.dtype):
            given = f"{array.dtype}{list(array.shape)}"
            raise BackendError(
                f"the input '{name}' is given {given}", where=graph.name, allowed=str(wanted)
            )


def square_product(op_type: str, domain: str = "", version: int = 13) -> OpKey:
    """Key of a product of two 256 x 256 matrices, the reference operator of a backend's pace."""
    square = TensorType("float32", (256, 256))
    operands = (Operand(square), Operand(square, const=True))
    return OpKey(op_type, operands, (square,), domain=domain, version=version)


def check_runnable(graph: Graph) -> None:
    """Refuse a graph that cannot run on this machine, before anything is allocated.

    Raises:
        InputError: a symbolic size is not bound.
        BackendError: the weights and the backend's packed copy of them do not fit in memory.
    """
    if graph.open_dims:
        names = " ".join(f"--dim {name}=SIZE" for name in graph.open_dims)
        raise InputError("symbolic sizes are not bound", where=graph.name, hint=f"add {names}")
    needed, free = 2 * graph.parameter_bytes, psutil.virtual_memory().available
    if needed > free:
        raise BackendError(
            f"needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            where=graph.name,
            hint="take a smaller batch or model",
        )


@runtime_checkable
class Backend(Protocol):
    """A program that runs graphs on this machine."""

    name: str
    pace_key: OpKey
    """The reference that runs beside every operator: how fast the machine is at that moment."""

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
            BackendError: it cannot run, or would run elsewhere than asked.
        """
        ...

    def prepare_op(self, key: OpKey, settings: Settings, copies: int) -> Prepared:
        """Load `copies` of one operator, each with weights of its own, run one after another.

        Copies share inputs and reuse one output buffer, as neighbours in a graph do; their weights
        are distinct, so that together they leave the caches that one copy would fit in.
        """
        ...

    def prepare_calls(
        self, settings: Settings, copies: int, *, cold: bool = False, evict: bool = False
    ) -> Prepared:
        """Load a graph of `copies` operators that do next to nothing: what a call costs.

        The time over `copies` is a line: its start is the cost of a call into the backend, its
        slope the cost of dispatching one operator. `cold` puts an operator that sweeps the private
        caches before each, and `evict` leaves only those.
        """
        ...

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """The backend's own per-operator times of whole runs of a lowered graph."""
        ...
