"""The backend `tuned`: ONNX Runtime's graph, in which accepted schedules replace its kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lydite.backends.base import Capabilities, Chain, NodeTime, Prepared, Settings
from lydite.backends.isolate import replicated
from lydite.backends.onnxruntime import OnnxRuntimeBackend
from lydite.backends.tuned.choice import Choice, accepted_here
from lydite.backends.tuned.hybrid import Hybrid, can_be_cut, plan
from lydite.backends.tuned.toolchain import Machine, installed, machine, versions
from lydite.errors import BackendError
from lydite.graph import Graph, OpKey, keys_of

AGREEMENT = 1e-3
"""Largest difference of an output from ONNX Runtime's, in units of its largest value."""


class TunedBackend:
    """Runs a net with the schedules that paired runs on this machine have accepted."""

    name = "tuned"
    pace_key = OnnxRuntimeBackend.pace_key

    def __init__(self) -> None:
        self._ort = OnnxRuntimeBackend()

    @cached_property
    def _here(self) -> Machine:
        return machine()

    @cached_property
    def _choices(self) -> Mapping[str, Choice]:
        return accepted_here(self._here)

    def capabilities(self) -> Capabilities:
        """Versions of ONNX Runtime and of the compiler."""
        if not installed():
            hint = "type: pip install 'lydite[tvm]'"
            return Capabilities(False, reason="apache-tvm is not installed", hint=hint)
        below = self._ort.capabilities()
        return Capabilities(True, {**below.versions, **versions()}, ("cpu",), below.dtypes)

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        """ONNX Runtime's graph; which of its operators run tuned does not change it."""
        return self._ort.lower(graph, settings)

    def prepare(self, graph: Graph, settings: Settings) -> Prepared:
        """Load a net with all accepted schedules, or with ONNX Runtime's kernels where none are."""
        return self.prepare_with(graph, settings, self._choices)

    def prepare_with(
        self, graph: Graph, settings: Settings, choices: Mapping[str, Choice]
    ) -> Prepared:
        """Load a net with given schedules, by digest of the operator.

        Where none of them gains what a call costs, ONNX Runtime runs all of it.

        Raises:
            BackendError: more than one thread, a device other than the CPU, or a net whose result
                differs from ONNX Runtime's.
        """
        if settings.threads != 1 or settings.device != "cpu":
            raise BackendError(
                f"tuned kernels do not run on {settings.threads} threads of {settings.device}",
                allowed="one thread of the cpu",
            )
        if not choices or not can_be_cut(graph):
            return self._ort.prepare(graph, settings)
        lowered = self._ort.lower_with_weights(graph, settings) if settings.optimise else graph
        keys = keys_of(lowered)
        chosen = {name: choices[key.digest] for name, key in keys.items() if key.digest in choices}
        if not chosen or not can_be_cut(lowered):
            return self._ort.prepare(graph, settings)
        made = plan(lowered, chosen)
        if not made.tuned:
            return self._ort.prepare(graph, settings)
        hybrid = Hybrid(lowered, made, settings, self._here)
        self._check(hybrid, graph, settings)
        return hybrid

    def _check(self, hybrid: Hybrid, graph: Graph, settings: Settings) -> None:
        """Refuse a net whose outputs differ from ONNX Runtime's by more than `AGREEMENT`."""
        reference = self._ort.prepare(graph, settings)
        try:
            worst = disagreement(hybrid, reference, graph, settings.seed)
        finally:
            reference.close()
        if not worst <= AGREEMENT:
            raise BackendError(
                f"its outputs differ from ONNX Runtime's by {worst:.1e} of their largest value",
                where=graph.name,
                allowed=f"{AGREEMENT:g}",
            )

    def prepare_op(self, key: OpKey, settings: Settings, copies: int, turns: int = 1) -> Prepared:
        """Load copies of one operator, tuned if its schedule is accepted."""
        choice = self._choices.get(key.digest)
        if choice is None:
            return self._ort.prepare_op(key, settings, copies, turns)
        graph = replicated(key, copies, turns)
        return self.prepare_with(graph, replace(settings, optimise=False), {key.digest: choice})

    def prepare_calls(self, settings: Settings, copies: int, chain: Chain = "same") -> Prepared:
        """As ONNX Runtime."""
        return self._ort.prepare_calls(settings, copies, chain)

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """Refused: a tuned kernel is not in ONNX Runtime's profile.

        Raises:
            BackendError: always.
        """
        del graph, settings, runs
        raise BackendError("has no profiler of operators within a run", where=self.name)


def disagreement(first: Prepared, second: Prepared, graph: Graph, seed: int) -> float:
    """Largest difference of any output on the same inputs, in units of its largest value."""
    feeds = _feeds(graph, seed)
    results: list[dict[str, Any]] = []
    for prepared in (first, second):
        prepared.bind(feeds)
        prepared.run()
        results.append(prepared.outputs())
    worst = 0.0
    for name, wanted in results[1].items():
        if wanted.dtype.kind == "f" and wanted.size:
            gap = np.abs(results[0][name] - wanted).max() / max(np.abs(wanted).max(), 1e-30)
            worst = max(worst, float(gap)) if np.isfinite(gap) else np.inf
    return worst


def _feeds(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    from lydite.backends.onnxruntime import input_array

    return {
        name: input_array(graph.type_of(name), seed + number)
        for number, name in enumerate(graph.inputs)
    }
