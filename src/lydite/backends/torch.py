"""Eager PyTorch; a lowered graph holds the aten operators that `torch.export` records."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lydite.backends.base import (
    Capabilities,
    Chain,
    NodeTime,
    Prepared,
    Settings,
    check_feeds,
    check_runnable,
    square_product,
)
from lydite.errors import BackendError, MissingExtra
from lydite.graph import Graph, Op, Operand, OpKey, TensorType
from lydite.graph.dtypes import numpy_dtype
from lydite.graph.operators import BY_DECOMPOSITION, Missing, facet, register_facet
from lydite.graph.passes.decompose import decomposed

try:
    import torch
    from torch._dynamo.exc import TorchDynamoException

    from lydite.backends import torch_functions, torch_sequence, torch_training
    from lydite.backends.torch_aten import DOMAIN, aten_call, aten_graph
    from lydite.backends.torch_ops import RULES, STEERING, torch_dtype
except ImportError:
    raise MissingExtra("torch", "torch") from None

_TRANSLATIONS: dict[str, Callable[..., Any]] = {
    **RULES,
    **torch_functions.RULES,
    **torch_sequence.RULES,
    **torch_training.RULES,
}
"""Translation by operator type; "Type:3" applies to the type with three outputs."""

register_facet("torch", {re.sub(r":\d+$", "", name): rule for name, rule in _TRANSLATIONS.items()})


class TorchBackend:
    """Eager PyTorch on the CPU, or on CUDA with event timing."""

    name = "torch"
    pace_key = square_product("mm.default", DOMAIN, 1)

    def capabilities(self) -> Capabilities:
        """Version, plus CUDA and cuDNN where a device is visible."""
        versions = {"torch": torch.__version__}
        devices = ("cpu",)
        if torch.cuda.is_available():
            devices = ("cpu", "cuda")
            versions |= {
                "cuda": str(torch.version.cuda),
                "cudnn": str(torch.backends.cudnn.version()),
            }
        musa = getattr(torch, "musa", None)  # Moore Threads' torch_musa, where it was imported
        if musa is not None and musa.is_available():
            devices = (*devices, "musa")
        return Capabilities(True, versions, devices, ("float32", "float16", "bfloat16", "float64"))

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        """The aten graph that `torch.export` makes of the graph."""
        self._check(settings)
        module = _Net(graph, settings)
        with torch.no_grad():
            try:
                program = torch.export.export(module, tuple(module.feeds), strict=False)
            except (RuntimeError, ValueError, TypeError, TorchDynamoException) as error:
                reason = str(error).strip().splitlines()[0][:300]
                raise BackendError(f"torch.export failed: {reason}", where=graph.name) from error
        return aten_graph(program, graph.name)

    def prepare(self, graph: Graph, settings: Settings) -> Prepared:
        """Load an ONNX graph as one module, or a lowered graph as one call per operator."""
        self._check(settings)
        if any(op.domain == DOMAIN for op in graph.ops):
            return _Calls(_lowered_calls(graph, settings), settings)
        return _Module(graph, settings)

    def prepare_op(self, key: OpKey, settings: Settings, copies: int, turns: int = 1) -> Prepared:
        """Load copies of one operator (aten's or translated), separated by a trivial operator."""
        self._check(settings)
        tap = _tap(settings)
        inputs = [
            [_operand(operand_type, settings) for operand_type in key.operand_types()]
            for _ in range(min(turns, copies))
        ]
        calls: list[Callable[[], Any]] = []
        for copy in range(copies):
            shared = inputs[copy % len(inputs)]
            tensors = [
                _operand(operand.type, settings) if operand.const and copy else shared[index]
                for index, operand in enumerate(key.inputs)
            ]
            calls.append(_call_of(key, tensors))
            if copy < copies - 1:
                calls.append(tap)
        return _Calls(calls, settings)

    def prepare_calls(self, settings: Settings, copies: int, chain: Chain = "same") -> Prepared:
        """Load a chain of tiny operators, of one type or of several in turn."""
        self._check(settings)
        x = torch.rand(64, device=settings.device)
        aten = torch.ops.aten
        kinds: list[Callable[[], Any]] = [
            *(
                partial(getattr(aten, name).default, x)
                for name in ("abs", "neg", "relu", "sigmoid", "floor", "ceil", "tanh", "exp")
            ),
            *(partial(getattr(aten, name), x, x) for name in ("add", "mul", "sub", "maximum")),
        ]
        tap = _tap(settings)
        calls = [tap if chain == "same" else kinds[i % len(kinds)] for i in range(copies)]
        return _Calls(calls, settings)

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """Time each operator of a lowered graph within whole runs, with the host's clock."""
        import time

        self._check(settings)
        calls = _lowered_calls(graph, settings)
        timed_runs: list[list[NodeTime]] = []
        with torch.inference_mode(), _threads(settings):
            for _ in range(runs + 1):
                nodes: list[NodeTime] = []
                for op, call in zip(graph.ops, calls, strict=True):
                    start = time.perf_counter()
                    call()
                    if settings.device == "cuda":
                        torch.cuda.synchronize()
                    nodes.append(NodeTime(op.name, start, time.perf_counter() - start))
                timed_runs.append(nodes)
        return timed_runs[1:]

    def _check(self, settings: Settings) -> None:
        if settings.device.partition(":")[0] not in self.capabilities().devices:
            raise BackendError(
                f"PyTorch has no device '{settings.device}' here",
                allowed=", ".join(self.capabilities().devices),
            )


class _threads:
    """Context that sets PyTorch's thread count and restores it."""

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.threads

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(self._wanted)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)


class _Calls(Prepared):
    """A sequence of calls; on CUDA with event timing."""

    def __init__(self, calls: Sequence[Callable[[], Any]], settings: Settings) -> None:
        self._calls, self._settings = list(calls), settings
        torch.set_num_threads(settings.threads)
        if settings.tf32 is not None:
            torch.backends.cuda.matmul.allow_tf32 = settings.tf32
            torch.backends.cudnn.allow_tf32 = settings.tf32

    @property
    def device_seconds(self) -> Callable[[int], float] | None:
        """Event timer on CUDA, else None."""
        return self._device_seconds if self._settings.device == "cuda" else None

    def run(self) -> None:
        """Submit all calls once; on CUDA they may still be running when this returns."""
        try:
            with torch.inference_mode():
                for call in self._calls:
                    call()
        except (RuntimeError, TypeError, IndexError, NotImplementedError) as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise BackendError(f"PyTorch: {reason}") from error

    def synchronize(self) -> None:
        """Wait for the device."""
        kind = self._settings.device.partition(":")[0]
        if kind != "cpu":
            getattr(torch, kind).synchronize(self._settings.device)

    def _device_seconds(self, calls: int) -> float:
        """Seconds per call, between two events on the stream."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            self.run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) * 1e-3 / calls

    def close(self) -> None:
        """Release the tensors."""
        self._calls = []


class _Module(_Calls):
    """A graph as one module call whose inputs can be set."""

    def __init__(self, graph: Graph, settings: Settings) -> None:
        self._net, self._graph = _Net(graph, settings), graph
        self._made: tuple[torch.Tensor, ...] = ()
        super().__init__([self._call], settings)

    def _call(self) -> None:
        self._made = self._net(*self._net.feeds)

    def bind(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Set inputs by name, copied to the device."""
        check_feeds(feeds, self._graph)
        for name, array in feeds.items():
            place = self._graph.inputs.index(name)
            self._net.feeds[place] = _tensor(array).to(self._settings.device)

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name, in host memory."""
        arrays = (_numbers(tensor) for tensor in self._made)
        return dict(zip(self._graph.outputs, arrays, strict=True))


class _Net(torch.nn.Module):
    """A graph of ONNX operators as a module; weights without values are drawn at random."""

    def __init__(self, graph: Graph, settings: Settings) -> None:
        super().__init__()
        self.eval()
        graph = decomposed(graph, _needs_primitives)
        unknown = next((op for op in graph.ops if _rule_of(op) is None), None)
        if unknown is not None:
            missing = facet(unknown.qualified_type, "torch")
            reason = f": {missing.reason}" if isinstance(missing, Missing) else ""
            raise BackendError(
                f"no translation to PyTorch for the operator {unknown.qualified_type}{reason}",
                where=f"{graph.name}: {unknown.name}",
                hint="use --backend onnxruntime",
            )
        check_runnable(graph)
        self._graph, self._device = graph, settings.device
        self._names: dict[str, str] = {}
        read = {name for op in graph.ops for name in op.inputs}
        for number, (name, init) in enumerate(graph.initializers.items()):
            if name in read:
                self._names[name] = f"w{number}"
                tensor = _tensor(init.array(settings.seed + number))
                self.register_buffer(f"w{number}", tensor.to(settings.device))
        self._dead_after = _last_reads(graph)
        self.feeds = [_operand(graph.type_of(name), settings, ones=True) for name in graph.inputs]

    def forward(self, *feeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run all operators in order and return the graph's outputs."""
        values: dict[str, Any] = dict(zip(self._graph.inputs, feeds, strict=True))
        for name, attribute in self._names.items():
            values[name] = getattr(self, attribute)
        for op in self._graph.ops:
            given = [self._given(op, index, values) for index in range(len(op.inputs))]
            rule = _rule_of(op)
            assert rule is not None
            result = rule(given, op.attrs)
            results = result if isinstance(result, tuple | list) else (result,)
            # Range and ConstantOfShape produce host tensors
            moved = (self._placed(value) for value in results)
            values.update(zip(op.outputs, moved, strict=False))
            for name in self._dead_after[op.name]:
                values.pop(name, None)  # free memory at once, as a hand-written module does
        return tuple(values[name] for name in self._graph.outputs)

    def _placed(self, value: Any) -> Any:
        on_host = isinstance(value, torch.Tensor) and value.device.type != self._device
        return value.to(self._device) if on_host else value

    def _given(self, op: Op, index: int, values: dict[str, Any]) -> Any:
        """An input: None if absent, an array if it is a constant parameter, else a tensor."""
        name = op.inputs[index]
        if not name:
            return None
        fixed = self._graph.constant(name)
        if fixed is not None:
            picks_one = op.op_type in ("Gather", "GatherGrad") and index == 1 and fixed.ndim == 0
            if picks_one or index in STEERING.get(op.qualified_type, ()):
                return fixed
        return values[name]


def _rule_of(op: Op) -> Any:
    """The translation for this type and number of outputs, else for the type, else None."""
    form = f"{op.qualified_type}:{len(op.outputs)}"
    return _TRANSLATIONS.get(form) or _TRANSLATIONS.get(op.qualified_type)


def _needs_primitives(op: Op) -> bool:
    """Whether the operator runs as its decomposition."""
    return _rule_of(op) is None and facet(op.qualified_type, "torch") == BY_DECOMPOSITION


def _last_reads(graph: Graph) -> dict[str, list[str]]:
    """Tensors that are dead after each operator, by the operator's name."""
    last = {name: op.name for op in graph.ops for name in (*op.outputs, *op.inputs)}
    dead: dict[str, list[str]] = {op.name: [] for op in graph.ops}
    for name, op_name in last.items():
        if name not in graph.outputs and name not in graph.initializers:
            dead[op_name].append(name)
    return dead


def _tensor(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor; bfloat16, which torch cannot take from numpy, is passed as bits."""
    copied = np.array(array)
    if copied.dtype.name == "bfloat16":
        return torch.from_numpy(copied.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(copied)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    on_host = tensor.detach().cpu()
    if on_host.dtype == torch.bfloat16:
        return on_host.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))
    return on_host.numpy()


def _operand(type_: TensorType | None, settings: Settings, ones: bool = True) -> Any:
    """A tensor of the given type, or None; integers are 1, which is a valid index."""
    if type_ is None:
        return None
    if type_.shape is None or not type_.is_static:
        raise BackendError(f"cannot make an operand of the unresolved type {type_}")
    shape, dtype = [int(size) for size in type_.shape], torch_dtype(type_.dtype)
    if type_.layout.startswith("strides:"):
        strides = [int(s) for s in type_.layout.removeprefix("strides:").split(".")]
        extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        flat = torch.rand(max(extent, 1), device=settings.device).to(dtype)
        return flat.as_strided(shape, strides)
    if dtype.is_floating_point:
        scale = 1 / math.sqrt(max(1, shape[-1])) if shape else 1.0
        made = (torch.rand(shape, device=settings.device) * scale).to(dtype)
    else:
        made = torch.full(shape, int(ones), dtype=dtype, device=settings.device)
    channels_last = type_.layout == "channels_last"
    return made.contiguous(memory_format=torch.channels_last) if channels_last else made


def _tap(settings: Settings) -> Callable[[], Any]:
    scalar = torch.zeros(1, device=settings.device)
    return lambda: torch.ops.aten.neg.default(scalar)


def _lowered_calls(graph: Graph, settings: Settings) -> list[Callable[[], Any]]:
    """One call per operator of a lowered graph, on tensors that the graph's edges share."""
    made: dict[str, Any] = {}

    def tensor(name: str) -> Any:
        if name and name not in made:
            made[name] = _operand(graph.type_of(name), settings)
        return made.get(name)

    return [
        aten_call(op.op_type, op.attrs, [tensor(name) for name in op.inputs]) for op in graph.ops
    ]


def _call_of(key: OpKey, tensors: Sequence[Any]) -> Callable[[], Any]:
    """The call for a key: an aten operator, or the translation of an ONNX operator.

    Raises:
        BackendError: there is no translation.
    """
    if key.domain == DOMAIN:
        return aten_call(key.op_type, key.attrs, tensors)
    names = tuple(f"i{i}" if t is not None else "" for i, t in enumerate(tensors))
    outputs = tuple(f"o{i}" for i in range(len(key.outputs)))
    op = Op("key", key.op_type, names, outputs, key.attrs, key.domain)
    rule = _rule_of(op)
    if rule is None:
        raise BackendError(f"no translation to PyTorch for the operator {key.qualified_type}")
    steering = STEERING.get(key.qualified_type, ())
    given = [
        _array(operand) if index in steering and operand.value is not None else tensor
        for index, (operand, tensor) in enumerate(zip(key.inputs, tensors, strict=True))
    ]
    attrs = {name: tuple(v) if isinstance(v, list) else v for name, v in key.attrs.items()}
    return lambda: rule(given, attrs)


def _array(operand: Operand) -> Any:
    """Values of a constant parameter as an array."""
    import numpy as np

    shape = [int(size) for size in (operand.type.shape or ())] if operand.type else []
    dtype = operand.type.dtype if operand.type else "int64"
    return np.array(operand.value, dtype).reshape(shape)
