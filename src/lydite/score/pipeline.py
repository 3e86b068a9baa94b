"""What an iteration of a model runs: its networks in a precision, in order, on one backend."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import numpy as np

from lydite.backends import Backend, Prepared, Settings, find_backend
from lydite.errors import InputError
from lydite.graph import Graph, Initializer
from lydite.graph.formats import is_model_file, read_file
from lydite.graph.graph import random_weight
from lydite.graph.passes import in_precision
from lydite.graph.passes.quantise import quantised
from lydite.models import build_model
from lydite.records import dataclass
from lydite.score.bmodel import Bmodel, is_bmodel
from lydite.score.inputs import feeds_of, largest_magnitudes
from lydite.score.sets import DTYPES, Entry, Part

_MOST_SEEDED_BYTES = 6 << 30
"""Bytes of float32 weights up to which they are drawn by name, so that precisions share them."""


@dataclass(frozen=True)
class Task:
    """A model to measure, as its process is told.

    Attributes:
        name: Name in the set.
        precision: Precision that it runs in.
        batch: Batch size.
        parts: Networks of an iteration.
        new_tokens: Number of tokens that an iteration generates.
        prompt_tokens: Number of tokens of the prompt.
        backend, device, threads: What it runs on.
        copied: Whether inputs are copied to the device and outputs back in every run.
        seed: Random seed of weights and inputs.
    """

    name: str
    precision: str
    batch: int
    parts: tuple[Part, ...]
    new_tokens: int
    prompt_tokens: int
    backend: str = "onnxruntime"
    device: str = "cpu"
    threads: int = 1
    copied: bool = False
    seed: int = 0

    @property
    def key(self) -> str:
        """Name of its rows: model, precision and batch."""
        return f"{self.name}/{self.precision}/{self.batch}"

    @property
    def units(self) -> int:
        """Number of units that an iteration makes."""
        return self.batch * (self.new_tokens or 1)

    @property
    def settings(self) -> Settings:
        """Settings of the backend."""
        tf32 = {"fp32": False, "tf32": True}.get(self.precision)
        resident = not self.copied
        return Settings(self.threads, self.device, self.seed, tf32=tf32, resident=resident)

    def to_record(self) -> dict[str, Any]:
        """As plain dictionaries."""
        return {**asdict(replace(self, parts=())), "parts": [p.model_dump() for p in self.parts]}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> Task:
        """The inverse of `to_record`."""
        return Task(**{**record, "parts": tuple(Part(**part) for part in record["parts"])})


def task_of(
    name: str, entry: Entry, precision: str, batch: int, prompt_tokens: int, **settings: Any
) -> Task:
    """The task of a set's model."""
    return Task(name, precision, batch, entry.parts, entry.new_tokens, prompt_tokens, **settings)


def calls_of(part: Part, task: Task) -> int:
    """Number of runs of a network in an iteration."""
    return task.new_tokens if part.phase == "decode" and task.new_tokens else part.calls


def float_graph(part: Part, task: Task) -> Graph:
    """A network in float32.

    A prompt is `task.prompt_tokens` long; a decoding step sees the mean context of those that an
    iteration makes, in which its work is linear.

    Raises:
        InputError: the model is unknown, or a file is invalid.
    """
    batch = task.batch * (part.batch or 1)
    if is_bmodel(part.model):
        raise InputError("a .bmodel is compiled and holds no graph", where=part.model)
    if is_model_file(part.model):
        from lydite.graph import rebatched

        graph = read_file(part.model, dims=_dims(part))
        return graph if batch == 1 else rebatched(graph, batch)
    sizes: dict[str, int | None] = {
        "image_size": part.image_size,
        "sequence": part.sequence,
        "context": part.context,
    }
    phase = {"phase": part.phase} if part.phase else {}
    if task.new_tokens and part.phase == "prefill":
        sizes["sequence"] = part.sequence or task.prompt_tokens
    if task.new_tokens and part.phase == "decode":
        sizes["context"] = part.context or task.prompt_tokens + task.new_tokens // 2
    return build_model(part.model, batch=batch, dtype="float32", **sizes, **phase)


def _dims(part: Part) -> dict[str, int]:
    """Sizes of a file's symbolic dimensions.

    Raises:
        InputError: one is not written NAME=SIZE.
    """
    sizes: dict[str, int] = {}
    for text in part.dim:
        name, _, size = text.partition("=")
        if not (name and size.isdecimal()):
            raise InputError(f"'{text}' binds nothing", where=part.model, allowed="NAME=SIZE")
        sizes[name] = int(size)
    return sizes


def graph_of(part: Part, task: Task) -> Graph:
    """A network in the precision of its task; its weights are those that fp32 has.

    Raises:
        InputError: as `float_graph`.
        GraphError: an operator does not support the precision.
    """
    if task.precision == "int8":
        return _eight_bits(part.model_dump_json(), task)
    graph = float_graph(part, task)
    if task.precision in ("fp32", "tf32"):
        return graph
    return in_precision(seeded(graph, task.seed), DTYPES[task.precision])


@lru_cache(maxsize=8)
def _eight_bits(part: str, task: Task) -> Graph:
    """A network in int8, calibrated on the task's inputs; kept, as that takes a while."""
    graph = seeded(float_graph(Part.model_validate_json(part), task), task.seed)
    return quantised(graph, largest_magnitudes(graph, task.threads, task.seed))


def seeded(graph: Graph, seed: int) -> Graph:
    """The graph with random weights that depend on their names alone, in any precision.

    Networks of more than 6 GiB keep weights without values, which are drawn as they are stored.
    """
    if graph.parameter_bytes > _MOST_SEEDED_BYTES:
        return graph
    return replace(
        graph,
        initializers={
            name: init if init.has_data else _drawn(init, name, seed)
            for name, init in graph.initializers.items()
        },
    )


def _drawn(init: Initializer, name: str, seed: int) -> Initializer:
    number = (zlib.crc32(name.encode()) + seed) & 0x7FFFFFFF
    return Initializer(init.type, load=lambda: random_weight(init.type, number))


class Pipeline:
    """A model in memory.

    Args:
        task: What to run.

    Raises:
        InputError, BackendError: it cannot run; says why.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        backend: Backend = find_backend(task.backend)
        self._stages: list[tuple[Prepared, int]] = []
        self._feeds: list[dict[str, np.ndarray]] = []
        try:
            for part in task.parts:
                self._stages.append((self._prepared(backend, part), calls_of(part, task)))
        except BaseException:
            self.close()
            raise
        self._after_each = bool(task.new_tokens)

    def _prepared(self, backend: Backend, part: Part) -> Prepared:
        if is_bmodel(part.model):  # which copies inputs and outputs in every run
            self._feeds.append({})
            return Bmodel(part.model, self.task.seed)
        graph = graph_of(part, self.task)
        if self.task.precision in ("fp32", "tf32"):
            graph = seeded(graph, self.task.seed)
        if self.task.copied:
            self._feeds.append(feeds_of(graph, self.task.seed))
        return backend.prepare(graph, self.task.settings)

    def iterate(self) -> list[int]:
        """Run once; nanoseconds of each network with all its calls."""
        spent: list[int] = []
        last = time.perf_counter_ns()
        for place, (prepared, calls) in enumerate(self._stages):
            for _ in range(calls):
                if self.task.copied and self._feeds[place]:
                    prepared.bind(self._feeds[place])
                prepared.run()
                if self._after_each or self.task.copied:
                    self._fetch(prepared)
            prepared.synchronize()
            now = time.perf_counter_ns()
            spent.append(now - last)
            last = now
        return spent

    def _fetch(self, prepared: Prepared) -> None:
        """Wait for the answer, as whoever needs a token before the next one does."""
        prepared.synchronize()
        if self.task.copied:
            prepared.outputs()

    def launch_share(self) -> float | None:
        """Share of an iteration that the host takes to submit it; None on a processor."""
        if self.task.device == "cpu":
            return None
        start = time.perf_counter_ns()
        for prepared, calls in self._stages:
            for _ in range(calls):
                prepared.run()
        submitted = time.perf_counter_ns()
        for prepared, _ in self._stages:
            prepared.synchronize()
        return (submitted - start) / max(1, time.perf_counter_ns() - start)

    def close(self) -> None:
        """Release the sessions."""
        for prepared, _ in self._stages:
            prepared.close()
