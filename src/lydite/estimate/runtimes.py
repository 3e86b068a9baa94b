"""The table of runtimes: fusions, attention and launch cost, for predictions and simulations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, overload

from lydite.errors import GraphError, unknown_name
from lydite.estimate.base import Estimate, Estimator
from lydite.graph import Graph, OpKey
from lydite.hardware import Device
from lydite.records import dataclass
from lydite.store import Readings

_HOST = "assumed"
_AUTOGRAD = "measured: PyTorch 2's eager training steps, about 13 us a kernel"
_OLD_STACK = (
    "fitted to vTrain's public steps on 2 and 4 A100s (github.com/VIA-Research/vTrain, 2024)"
)
_REPLAYED = (
    "assumed: 3.4 us a kernel of 2.9 us in a CUDA graph (NVIDIA, Getting Started with CUDA "
    "Graphs, 2019)"
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What executes a graph on a device: its fusions, attention and launch cost.

    Attributes:
        name: Name of the runtime as the user gives it.
        about: Description in one line.
        fusions: Operators that it fuses: "all" (see `lydite.graph.passes.fused`) or "none".
        attention: "fused" into one operator, or "written" as matrix products and a softmax.
        launch_s: Time in seconds that the host takes to launch a kernel of a forward pass.
        launch_source: Source of that figure.
        training_launch_s: The same in a training step, in which the host also keeps the tape.
        training_source: Source of that figure.
        elementwise: Elementwise operators of a training step: "none" are fused, or "chains".
        ahead: Whether the host launches ahead while the device is busy; else every kernel takes at
            least its launch, unless ranks have waited for each other meanwhile.
    """

    name: str
    about: str
    fusions: Literal["all", "none"]
    attention: Literal["fused", "written"]
    launch_s: float
    launch_source: str
    training_launch_s: float = 4e-6
    training_source: str = _HOST
    elementwise: Literal["none", "chains"] = "chains"
    ahead: bool = True


_EAGER = (4e-6, _HOST, 13e-6, _AUTOGRAD)
_GRAPHS = (0.5e-6, _REPLAYED, 0.5e-6, _REPLAYED)

_ROWS = (
    Runtime("eager", "PyTorch, operator by operator", "none", "written", *_EAGER, "none"),
    Runtime("sdpa", "PyTorch, attention in one kernel", "none", "fused", *_EAGER, "none"),
    Runtime("compile", "torch.compile", "all", "fused", 4e-6, _HOST),
    Runtime("graphs", "torch.compile with CUDA graphs", "all", "fused", *_GRAPHS),
    Runtime("megatron", "Megatron-LM with FlashAttention", "none", "fused", *_EAGER),
    Runtime(
        "megatron-deepspeed",
        "Megatron-DeepSpeed of 2022, attention as products",
        "none",
        "written",
        4e-6,
        _HOST,
        60e-6,
        _OLD_STACK,
        ahead=False,
    ),
    Runtime("onnxruntime", "ONNX Runtime", "all", "fused", 4e-6, _HOST),
    Runtime("tensorrt", "TensorRT", "all", "fused", 4e-6, _HOST),
    Runtime("vllm", "vLLM with CUDA graphs", "all", "fused", *_GRAPHS),
    Runtime("sglang", "SGLang with CUDA graphs", "all", "fused", *_GRAPHS),
    Runtime("trtllm", "TensorRT-LLM with CUDA graphs", "all", "fused", *_GRAPHS),
)
RUNTIMES = {row.name: row for row in _ROWS}


_FOREIGN = {
    "vllm": "vllm",
    "sglang": "sglang",
    "trtllm": "trtllm",
    "eager": "pytorch",
    "sdpa": "pytorch",
}
"""Software, as imported tables name it, by runtime."""


def foreign_software(
    runtime: str | None, databases: Sequence[Readings], device: Device, backend: str
) -> str | None:
    """Software whose imported rows may fill gaps of a prediction: see `Rows.software`.

    A runtime takes the rows of its own software only. Where none is named, any does, but not beside
    rows that were measured here.
    """
    if runtime is not None:
        return _FOREIGN.get(runtime)
    own = (
        row
        for database in databases
        for row in database.query(limit=1, device=device.name, backend=backend, source="measured")
    )
    return None if next(own, None) is not None else "any"


def usual_runtime(dtype: str, attention: str, *, training: bool) -> str:
    """The runtime that is assumed where none is named, by precision and attention."""
    if not training:
        return "compile"
    if dtype in ("float16", "bfloat16"):
        return "megatron" if attention == "fused" else "megatron-deepspeed"
    return "sdpa" if attention == "fused" else "eager"


@overload
def find_runtime(name: str) -> Runtime: ...
@overload
def find_runtime(name: str | None) -> Runtime | None: ...
def find_runtime(name: str | None) -> Runtime | None:
    """The runtime with this name; None for None.

    Raises:
        InputError: the name is unknown (the error suggests the nearest one).
    """
    if name is None:
        return None
    if name not in RUNTIMES:
        raise unknown_name("runtime", name, RUNTIMES)
    return RUNTIMES[name]


def fuse_for_runtime(graph: Graph, runtime: Runtime | None = None) -> Graph:
    """The graph as the runtime runs it; a graph with control flow is not fused.

    Args:
        graph: Graph to run.
        runtime: Runtime to fuse for; None for all fusions of `lydite.graph.passes.fused`.

    Raises:
        GraphError: the runtime does not fuse attention, and the attention cannot be decomposed.
    """
    from lydite.graph.passes import fused
    from lydite.graph.passes.attention import with_attention, written_out

    if runtime is not None and runtime.attention == "written":
        return written_out(graph)
    try:
        all_of_it = runtime is None or runtime.fusions == "all"
        return fused(graph) if all_of_it else with_attention(graph)
    except GraphError:
        return graph


class Launched:
    """Estimates raised to at least the host's launch time per kernel.

    The device idles until the next launch after a kernel that is shorter than one, so the launch
    time is the effective time of such a kernel.
    """

    name = "launched"

    def __init__(self, estimator: Estimator, runtime: Runtime) -> None:
        self._estimator, self._runtime = estimator, runtime

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """The inner estimator's estimates, each at least the launch time."""
        return [self._at_least(one) for one in self._estimator.estimate(keys, device)]

    def _at_least(self, one: Estimate | None) -> Estimate | None:
        least = self._runtime.launch_s
        if one is None or one.source == "measured" or one.seconds >= least:
            return one
        detail = f"launch {least * 1e6:g} us, {self._runtime.launch_source}; {one.detail}"
        return replace(one, seconds=least, high=max(one.high, least), detail=detail)
