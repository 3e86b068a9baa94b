"""Engines: a model ready to run in batches, kept in a cache that is addressed by content.

An engine is one graph for each batch size that is a power of two, up to the largest; a smaller
batch is filled up. Its name is a digest of the model with its weights, the precision, the shapes,
the backend and its versions, the device, the processor and the calibration, so that whatever
changes makes another engine. ONNX Runtime's graphs are stored as it optimised them for this
processor.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from lydite.backends import Prepared, Settings, find_backend
from lydite.errors import InputError
from lydite.files import write_atomic
from lydite.graph import Graph, TensorType, read_onnx, write_onnx
from lydite.graph.dtypes import numpy_dtype
from lydite.graph.keys import graph_digest
from lydite.hardware import local_processor
from lydite.mlperf.ort import optimised
from lydite.records import dataclass

MANIFEST = "engine.json"
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "float32"}
"""Element type of the graph that an engine is made from, by the engine's precision."""


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is made of.

    Attributes:
        model: Name of the model.
        model_digest: Digest of its graph at a batch of one, and of its weights.
        precision: fp32, fp16, bf16 or int8.
        backend: Backend that runs it.
        versions: Versions of the backend.
        device: Device of the backend.
        sizes: Batch sizes of its graphs, ascending.
        calibration: Digest of the calibration; "" where there is none.
        processor: Processor of the machine that built it.
        optimised: Whether the backend's optimised graphs are stored; the weights of a model without
            any are drawn when it is loaded, and it is optimised then.
    """

    model: str
    model_digest: str
    precision: str
    backend: str
    versions: dict[str, str]
    device: str
    sizes: tuple[int, ...]
    calibration: str = ""
    processor: str = ""
    optimised: bool = False

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the engine."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Where the engine lies."""
        return user_cache_path("lydite") / "engines" / f"{self.model}-{self.digest}"

    def path(self, size: int) -> Path:
        """File of the graph of a batch size."""
        return self.folder / f"batch{size}.onnx"


def sizes_up_to(batch: int) -> tuple[int, ...]:
    """Powers of two below a batch size, and the batch size."""
    powers = [1 << i for i in range(batch.bit_length()) if 1 << i < batch]
    return (*powers, batch)


def spec_of(
    model: str,
    graph: Graph,
    precision: str,
    backend: str,
    device: str,
    batch: int,
    calibration: str = "",
) -> EngineSpec:
    """The engine of a model, built or not."""
    versions = dict(find_backend(backend).capabilities().versions)
    return EngineSpec(
        model,
        model_digest(graph),
        precision,
        backend,
        versions,
        device,
        sizes_up_to(batch),
        calibration,
        local_processor(),
        backend == "onnxruntime" and has_weights(graph),
    )


def has_weights(graph: Graph) -> bool:
    """Whether every weight has values."""
    return all(init.has_data for init in graph.initializers.values())


def model_digest(graph: Graph) -> str:
    """Digest of a graph and of the weights that have values, in the order of their names."""
    digest = hashlib.sha256(graph_digest(graph).encode())
    for name, init in sorted(graph.initializers.items()):
        if init.has_data:
            digest.update(f"{name} {init.type}\n".encode())
            digest.update(np.ascontiguousarray(init.array()).tobytes())
    return digest.hexdigest()[:32]


def is_built(spec: EngineSpec) -> bool:
    """Whether the engine lies in the cache, whole."""
    path = spec.folder / MANIFEST
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return known == json.loads(json.dumps(asdict(spec))) and all(
        spec.path(size).is_file() for size in spec.sizes
    )


def build(spec: EngineSpec, graph_of: Callable[[int], Graph]) -> bool:
    """Build an engine unless it lies in the cache.

    Args:
        spec: What it is made of.
        graph_of: The graph of a batch size, in the engine's precision.

    Returns:
        Whether it was built.
    """
    if is_built(spec):
        return False
    spec.folder.mkdir(parents=True, exist_ok=True)
    (spec.folder / MANIFEST).unlink(missing_ok=True)
    for size in spec.sizes:
        graph = graph_of(size)
        if spec.optimised:
            plain = spec.folder / "plain" / f"batch{size}.onnx"
            optimised(write_onnx(graph, plain), spec.path(size), "all", spec.device)
            shutil.rmtree(plain.parent)
        else:
            write_onnx(graph, spec.path(size), weights=has_weights(graph))
    write_atomic(spec.folder / MANIFEST, json.dumps(asdict(spec), indent=1) + "\n")
    return True


def read_spec(folder: Path) -> EngineSpec:
    """The engine in a folder.

    Raises:
        InputError: none, or one that was built for other versions of its backend.
    """
    try:
        known: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        spec = EngineSpec(**{**known, "sizes": tuple(known["sizes"])})
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError("holds no engine", where=str(folder), hint="lydite mlperf build") from None
    here = dict(find_backend(spec.backend).capabilities().versions)
    if here != spec.versions:
        raise InputError(
            f"was built for {_versions(spec.versions)}",
            where=str(folder),
            allowed=_versions(here),
            hint="lydite mlperf build",
        )
    if spec.processor != local_processor():
        raise InputError(
            f"was built on another processor, {spec.processor or 'an unknown one'}",
            where=str(folder),
            allowed=local_processor(),
            hint="lydite mlperf build",
        )
    return spec


def output_type(spec: EngineSpec) -> TensorType:
    """Type of an engine's first output at its smallest batch size, as its answers have it."""
    graph = read_onnx(spec.path(spec.sizes[0]))
    return graph.type_of(graph.outputs[0])


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


class Loaded:
    """An engine in memory, with the samples that it runs on.

    Args:
        spec: Engine.
        inputs: Samples along the first axis, by name of the input.
        threads: Number of threads.
        answer: What of its outputs is said: "first" output, the index of its "largest" element, or
            "nothing".
        device: Device to run on, such as "cuda:1"; None for the engine's own.
    """

    def __init__(
        self,
        spec: EngineSpec,
        inputs: Mapping[str, np.ndarray],
        threads: int,
        answer: str = "first",
        device: str | None = None,
    ) -> None:
        backend = find_backend(spec.backend)
        settings = Settings(threads, device or spec.device, optimise=not spec.optimised)
        graphs = {size: read_onnx(spec.path(size)) for size in spec.sizes}
        first = graphs[spec.sizes[0]]
        self._sizes, self._answer = spec.sizes, answer
        self._inputs = {
            name: _in_type(array, first.type_of(name).dtype)
            for name, array in inputs.items()
            if name in first.inputs
        }
        self._prepared: dict[int, Prepared] = {
            size: backend.prepare(graph, settings) for size, graph in graphs.items()
        }

    def run(self, indices: Sequence[int]) -> np.ndarray | None:
        """Outputs by sample, along the first axis of one contiguous array."""
        count = len(indices)
        size = next(s for s in self._sizes if s >= count)
        rows = [*indices, *([indices[-1]] * (size - count))]
        prepared = self._prepared[size]
        prepared.bind({name: array[rows] for name, array in self._inputs.items()})
        prepared.run()
        if self._answer == "nothing":
            return None
        return self._answers(next(iter(prepared.outputs().values())), count)

    def _answers(self, output: np.ndarray, count: int) -> np.ndarray:
        if self._answer == "largest":
            best = output.reshape(len(output), -1).argmax(axis=1).astype(np.int64)
            return best[:count, np.newaxis]
        output = output if output.dtype.kind in "iubS" else output.astype(np.float32, copy=False)
        return np.ascontiguousarray(output[:count])

    def warm_up(self) -> None:
        """Run each batch size once: a session takes its memory in the first run, twice as slow."""
        for size in self._sizes:
            self.run([0] * size)

    def close(self) -> None:
        """Release the sessions."""
        for prepared in self._prepared.values():
            prepared.close()


def _in_type(array: np.ndarray, dtype: str) -> np.ndarray:
    """Samples in the element type of the engine's input; floats of other widths are cast."""
    wanted = numpy_dtype(dtype)
    return array if array.dtype == wanted else array.astype(wanted)


def answers(
    spec: EngineSpec,
    inputs: Mapping[str, np.ndarray],
    threads: int,
    answer: str = "first",
    count: int | None = None,
) -> list[np.ndarray]:
    """What an engine says to the first samples, run here and now.

    Args:
        spec: Engine.
        inputs: Samples along the first axis, by name of the input.
        threads: Number of threads.
        answer: As for `Loaded`.
        count: Number of samples; None for all.
    """
    total = len(next(iter(inputs.values()))) if count is None else count
    engine = Loaded(spec, inputs, threads, answer)
    try:
        said: list[np.ndarray] = []
        for start in range(0, total, spec.sizes[-1]):
            part = engine.run(range(start, min(total, start + spec.sizes[-1])))
            said += () if part is None else [np.atleast_1d(row).copy() for row in part]
        return said
    finally:
        engine.close()
