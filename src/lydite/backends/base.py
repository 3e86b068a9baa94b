"""What a backend is: who can run a graph here, and what it really runs.

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
    """How a graph is to be run.

    Attributes:
        threads: CPU threads inside an operator.
        device: "cpu", "cuda", ...
        seed: for weights and inputs that have no numbers.
        optimise: whether the backend may fuse; off for a graph that it has lowered itself.
    """

    threads: int = 1
    device: str = "cpu"
    seed: int = 0
    optimise: bool = True


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do here.

    Attributes:
        available: whether it can run at all.
        versions: package name -> version, of everything that decides its speed.
        devices: what `Settings.device` may be.
        dtypes: element types it computes in.
        reason: why it is not available.
        hint: the command that adds what is missing.
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
        """Seconds per call over so many calls, by a clock of the device itself.

        None where only the host's clock can tell.
        """
        return None

    def run(self) -> None:
        """One call."""
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
        """What the last call computed, by output name, in host memory.

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
    """A product of two 256 x 256 matrices under the name that a backend gives it: its pace."""
    square = TensorType("float32", (256, 256))
    operands = (Operand(square), Operand(square, const=True))
    return OpKey(op_type, operands, (square,), domain=domain, version=version)


def check_runnable(graph: Graph) -> None:
    """Refuse, before anything is allocated, what cannot be run anywhere here.

    Raises:
        InputError: a size is a name that is not bound.
        BackendError: the weights and the copy that a backend packs do not fit in memory.
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
    """See the module's docstring."""

    name: str
    pace_key: OpKey
    """The reference that runs beside every operator: how fast the machine is at that moment."""

    def capabilities(self) -> Capabilities:
        """What is here."""
        ...

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        """The graph as it is really executed.

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
