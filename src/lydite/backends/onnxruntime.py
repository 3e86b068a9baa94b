"""ONNX Runtime: lowers, runs and profiles graphs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx

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
from lydite.backends.isolate import calls, replicated
from lydite.errors import BackendError, MissingExtra
from lydite.graph import Graph, Initializer, Op, OpKey, TensorType, model_to_proto, read_onnx
from lydite.graph.dtypes import numpy_dtype
from lydite.graph.graph import may_be_subnormal, stored_subnormal
from lydite.graph.onnx_writer import UNALLOCATED

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


class OnnxRuntimeBackend:
    """ONNX Runtime with one execution provider; falling back to another is an error."""

    name = "onnxruntime"
    pace_key = square_product("MatMul")

    def __init__(self) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra("onnxruntime", "onnxruntime") from None
        self._ort: Any = onnxruntime
        onnxruntime.set_default_logger_severity(3)

    def capabilities(self) -> Capabilities:
        """Version, devices (by execution provider) and element types of the default kernels."""
        present = self._ort.get_available_providers()
        devices = tuple(name for name, provider in PROVIDERS.items() if provider in present)
        return Capabilities(
            True,
            {"onnxruntime": self._ort.__version__},
            devices,
            ("float32", "float16", "float64", "int8", "uint8"),
        )

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        """The optimised graph (fusions and NCHWc layout included), typed, without weight values.

        Of weights that the graph stores, it is kept how many are subnormal, which processors are
        slow with.
        """
        stored = any(map(may_be_subnormal, graph.initializers.values()))
        marked = stored and settings.device.partition(":")[0] == "cpu"
        return self._lowered(graph, settings, partial(_without_large_values, marked=marked))

    def lower_with_weights(self, graph: Graph, settings: Settings) -> Graph:
        """The optimised graph with its weights in memory, in the layouts that its kernels read."""
        return self._lowered(graph, settings, _with_large_values)

    def _lowered(
        self, graph: Graph, settings: Settings, weights: Callable[[Graph], Graph]
    ) -> Graph:
        with tempfile.TemporaryDirectory(prefix="lydite-") as folder:
            path = Path(folder) / "optimised.onnx"
            options = self._options(settings)
            options.optimized_model_filepath = str(path)
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", "weights"
            )
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
            )
            self.session(graph, settings, options)
            lowered = read_onnx(path)
            types = self._missing_types(lowered, settings)  # reads weights from the folder
            lowered = weights(lowered)
        used = {domain for domain in lowered.opsets} & {"", *(op.domain for op in lowered.ops)}
        return replace(
            lowered,
            name=graph.name,
            ops=_uniquely_named(lowered.ops),
            tensors={**lowered.tensors, **types},
            opsets={domain: lowered.opsets[domain] for domain in lowered.opsets if domain in used},
        )

    def _missing_types(self, graph: Graph, settings: Settings) -> dict[str, TensorType]:
        """Types that shape inference left open, taken from the arrays of a run."""
        unknown = [
            name
            for op in graph.ops
            for name in op.outputs
            if name
            and not graph.type_of(name).is_static
            and not graph.type_of(name).dtype.startswith("s")
        ]
        if not unknown:
            return {}
        tapped = replace(graph, outputs=(*graph.outputs, *unknown))
        session = self.session(tapped, replace(settings, optimise=False))
        feeds = {n: input_array(graph.type_of(n), settings.seed) for n in graph.inputs}
        try:
            values = session.run(unknown, feeds)
        except failures() as error:
            raise BackendError(first_line(error), where=graph.name) from error
        return {
            name: TensorType(value.dtype.name, tuple(value.shape))
            for name, value in zip(unknown, values, strict=True)
            if isinstance(value, np.ndarray)
        }

    def prepare(self, graph: Graph, settings: Settings) -> Prepared:
        """Create a session with its inputs bound."""
        session = self.session(graph, settings)
        return _Session(session, graph, settings)

    def prepare_bound(
        self,
        graph: Graph,
        settings: Settings,
        arrays: Mapping[str, np.ndarray],
        cores: Sequence[int] = (),
    ) -> Prepared:
        """Create a session that reads and writes arrays of the caller, without copies.

        Args:
            graph: Graph of static types.
            settings: Threads, seed and whether to optimise.
            arrays: Contiguous array of every input and output by name, kept alive by the session.
            cores: Logical processors of the threads beyond the first, which is the caller's.

        Raises:
            BackendError: the graph cannot run.
        """
        options = self._options(settings)
        if cores and settings.threads > 1:
            spots = ";".join(str(core + 1) for core in cores[: settings.threads - 1])
            options.add_session_config_entry("session.intra_op_thread_affinities", spots)
        return _BoundSession(self.session(graph, settings, options), graph, arrays)

    def prepare_op(self, key: OpKey, settings: Settings, copies: int, turns: int = 1) -> Prepared:
        """Load copies of one operator without graph optimisation."""
        return self.prepare(replicated(key, copies, turns), replace(settings, optimise=False))

    def prepare_calls(self, settings: Settings, copies: int, chain: Chain = "same") -> Prepared:
        """Load a chain of tiny operators, without graph optimisation."""
        graph = calls(copies, chain)
        return self.prepare(graph, replace(settings, optimise=False))

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """Kernel times of a lowered graph from ONNX Runtime's profiler, without the first run."""
        with tempfile.TemporaryDirectory(prefix="lydite-") as folder:
            settings = replace(settings, optimise=False)
            options = self._options(settings)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = _Session(self.session(graph, settings, options), graph, settings)
            for _ in range(runs + 1):
                session.run()
            events = json.loads(Path(session.end_profiling()).read_text())
            session.close()
        return _runs_of(events)[1:]

    def _options(self, settings: Settings) -> Any:
        ort = self._ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        if settings.threads > 1:  # idle sessions must not spin
            options.add_session_config_entry("session.force_spinning_stop", "1")
        level = "ORT_ENABLE_ALL" if settings.optimise else "ORT_DISABLE_ALL"
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        return options

    def session(self, graph: Graph, settings: Settings, options: Any = None) -> Any:
        """An `InferenceSession` of a graph; weights without values are drawn.

        Raises:
            BackendError: the graph cannot run, or not on the requested device.
        """
        kind, _, index = settings.device.partition(":")  # "cuda:1" is the second GPU
        provider = PROVIDERS.get(kind, kind)
        stated = {"device_id": index} if index else {}
        if kind == "cuda" and settings.tf32 is not None:
            stated["use_tf32"] = str(int(settings.tf32))
        options_of = [stated] if stated else None
        if provider not in self._ort.get_available_providers():
            raise BackendError(
                f"ONNX Runtime has no {provider} here",
                allowed=", ".join(self.capabilities().devices),
                hint="install the build of onnxruntime for that device",
            )
        _check_kernels(graph)
        check_runnable(graph)
        options = options or self._options(settings)
        model, arrays = _with_weights(graph, settings.seed)
        values = [_ort_value(array) for array in arrays.values()]
        if arrays:
            options.add_external_initializers(list(arrays), values)
        try:
            session = self._ort.InferenceSession(
                model.SerializeToString(),
                options,
                providers=[provider],
                provider_options=options_of,
            )
        except failures() as error:
            raise BackendError(first_line(error), where=graph.name) from error
        if session.get_providers()[0] != provider:
            raise BackendError(
                f"ONNX Runtime fell back from {provider} to {session.get_providers()[0]}",
                where=graph.name,
            )
        return session


def _with_weights(graph: Graph, seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model without its large weights, and these weights as arrays by name.

    Weights that nothing reads are left out: the runtime removes them, and then misses them.
    """
    read = {name: init for name, init in graph.initializers.items() if name in graph.read}
    model = model_to_proto(replace(graph, initializers=read), with_data=False)
    arrays: dict[str, np.ndarray] = {}
    numbers = {name: number for number, name in enumerate(graph.initializers)}
    for proto in model.graph.initializer:
        if proto.external_data and proto.external_data[0].value == UNALLOCATED:
            proto.external_data[0].value = "weights"
            array = graph.initializers[proto.name].array(seed + numbers[proto.name])
            arrays[proto.name] = np.ascontiguousarray(array)
    return model, arrays


def _without_large_values(graph: Graph, marked: bool) -> Graph:
    """The graph whose large weights, those of bodies included, are declared without numbers.

    Args:
        graph: Graph whose weights can be read.
        marked: Whether to note which share of a weight is subnormal.
    """

    def bare(value: Any) -> Any:
        if isinstance(value, Graph):
            return _without_large_values(value, marked)
        if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
            return tuple(bare(item) for item in value)
        return value

    return replace(
        graph,
        ops=tuple(
            replace(op, attrs={name: bare(value) for name, value in op.attrs.items()})
            if op.subgraphs
            else op
            for op in graph.ops
        ),
        initializers={
            name: Initializer(
                init.type,
                value=init.value,
                subnormal=stored_subnormal(init) if marked else 0.0,
            )
            for name, init in graph.initializers.items()
        },
    )


def _with_large_values(graph: Graph) -> Graph:
    """The graph whose weights are read from their file into memory."""
    read = {
        name: Initializer(init.type, value=init.array(0))
        for name, init in graph.initializers.items()
    }
    return replace(graph, initializers=read)


def _uniquely_named(ops: Sequence[Op]) -> tuple[Op, ...]:
    seen: set[str] = set()
    named: list[Op] = []
    for index, op in enumerate(ops):
        name = op.name if op.name not in seen else f"{op.name}_{index}"
        seen.add(name)
        named.append(replace(op, name=name))
    return tuple(named)


class _Session(Prepared):
    """A session whose inputs and outputs are bound once, before the timed calls."""

    def __init__(self, session: Any, graph: Graph, settings: Settings) -> None:
        self._session, self._graph = session, graph
        kind, _, index = settings.device.partition(":")
        self._place = (kind, int(index or 0)) if settings.resident and kind != "cpu" else ()
        self._pool = [self._bound(settings.seed + 1000 * turn) for turn in range(_turns(graph))]
        self._binding, self._turn = self._pool[0], 0

    def _bound(self, seed: int) -> Any:
        """A binding with inputs of its own."""
        self._binding = self._session.io_binding()
        for number, name in enumerate(self._graph.inputs):
            self._bind(name, input_array(self._graph.type_of(name), seed + number))
        for output in self._session.get_outputs():
            self._binding.bind_output(output.name, *(self._place or ("cpu",)))
        return self._binding

    def run(self) -> None:
        """Run once, on the next of a few inputs; returns when the outputs are in host memory."""
        self._turn = (self._turn + 1) % len(self._pool)
        self._binding = self._pool[self._turn]
        try:
            self._session.run_with_iobinding(self._binding)
        except failures() as error:
            raise BackendError(first_line(error)) from error

    def synchronize(self) -> None:
        """Wait for the device; outputs bound to the host are complete when `run` returns."""
        self._binding.synchronize_outputs()

    def _bind(self, name: str, array: np.ndarray) -> None:
        if array.dtype.kind == "O":  # strings
            self._binding.bind_cpu_input(name, array)
        else:
            self._binding.bind_ortvalue_input(name, _ort_value(array, *self._place))

    def bind(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Set inputs by name, for all calls; arrays of unknown name or type are refused."""
        check_feeds(feeds, self._graph)
        self._pool = [self._binding]
        for name, array in feeds.items():
            self._bind(name, np.ascontiguousarray(array))

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the last call by name."""
        arrays = self._binding.copy_outputs_to_cpu()
        return dict(zip(self._graph.outputs, arrays, strict=True))

    def end_profiling(self) -> str:
        """Stop profiling and return the path of the profile."""
        return self._session.end_profiling()

    def close(self) -> None:
        """Release the session."""
        del self._binding, self._pool, self._session


class _BoundSession(Prepared):
    """A session whose inputs and outputs are arrays of the caller."""

    def __init__(self, session: Any, graph: Graph, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {name: arrays[name] for name in (*graph.inputs, *graph.outputs)}
        self._outputs = graph.outputs
        self._binding = session.io_binding()
        for names, bind in (
            (graph.inputs, self._binding.bind_input),
            (graph.outputs, self._binding.bind_output),
        ):
            for name in names:
                array = arrays[name]
                bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._session = session
        self._run = session.run_with_iobinding

    def run(self) -> None:
        """Run once; the interpreter is free for other threads meanwhile."""
        self._run(self._binding)

    def synchronize(self) -> None:
        """Nothing to wait for: outputs are complete when `run` returns."""

    def outputs(self) -> dict[str, np.ndarray]:
        """The caller's output arrays by name."""
        return {name: self._arrays[name] for name in self._outputs}

    def close(self) -> None:
        """Release the session."""
        del self._run, self._binding, self._session


def _ort_value(array: np.ndarray, *place: Any) -> Any:
    """Convert to an OrtValue, in the memory of a device where one is given by name and number.

    Types that numpy lacks are passed as 16-bit patterns, in host memory.
    """
    from onnxruntime import OrtValue

    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
        number = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), number)
    return OrtValue.ortvalue_from_numpy(array, *place)


POOL_BYTES = 1 << 20
"""Inputs that are taken in turn fill at most this much, so that they stay in the caches."""
_MOST_TURNS = 16


def _turns(graph: Graph) -> int:
    """Number of different inputs, one for each call in turn.

    A branch predictor learns a single input by heart: a PRelu on 28,224 numbers takes 25 us on one
    input again and again, and 135 us on new ones.
    """
    size = sum(graph.type_of(name).nbytes or 0 for name in graph.inputs)
    return int(np.clip(POOL_BYTES // max(1, size), 1, _MOST_TURNS))


def input_array(type_: TensorType, seed: int) -> np.ndarray:
    """Synthetic input: normal floats, as half of what a network computes is negative; or ones.

    Integers of 1 are valid indices.
    """
    if type_.shape is None or not type_.is_static:
        raise BackendError(f"cannot make an input of the unresolved type {type_}")
    dims, dtype = [int(dim) for dim in type_.shape], numpy_dtype(type_.dtype)
    if dtype.kind == "f" or type_.dtype == "bfloat16":
        return np.random.default_rng(seed).standard_normal(dims, dtype=np.float32).astype(dtype)
    if dtype.kind == "O":
        return np.full(dims, "a", dtype=object)
    return np.ones(dims, dtype)


def _runs_of(events: Sequence[dict[str, Any]]) -> list[list[NodeTime]]:
    runs: list[list[NodeTime]] = []
    kernels: list[NodeTime] = []
    suffix = "_kernel_time"
    for event in sorted(events, key=lambda e: e.get("ts", 0) + e.get("dur", 0)):
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(suffix):
            seconds = event["dur"] * 1e-6
            kernels.append(NodeTime(name[: -len(suffix)], event["ts"] * 1e-6, seconds))
        elif name == "model_run":
            runs.append(kernels)
            kernels = []
    return runs


@cache
def failures() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exception types, whose only common base is `Exception`."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    declared = [v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception)]
    return (*declared, RuntimeError, ValueError)


def first_line(error: Exception) -> str:
    """First line of an error's text, or its type where it has none."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _check_kernels(graph: Graph) -> None:
    """Refuse operators from domains for which ONNX Runtime has no kernels.

    Raises:
        BackendError: names the first such operator.
    """
    foreign = ("lydite", "ai.onnx.preview.training", "aten", "smaug", "tensorflow", "aisim")
    unsupported = next((op for op in graph.ops if op.domain in foreign), None)
    if unsupported is not None:
        raise BackendError(
            f"ONNX Runtime has no kernel for {unsupported.qualified_type}",
            where=f"{graph.name}: {unsupported.name}",
            hint=(
                "predict it on a device of the catalog with --on, or time it as an ONNX file"
                if unsupported.domain in ("smaug", "tensorflow", "aisim")
                else "add --backend torch for a training step"
            ),
        )
