"""A whole model, measured as users run it and compared with the sum of its operators."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from lydite.backends import Backend, Settings
from lydite.backends.lowered import lowered
from lydite.errors import InputError
from lydite.estimate import Point, Prediction, Rows, by_digest, predict
from lydite.estimate.assemble import call_within_network, usual_chain
from lydite.graph import Graph, OpKey, all_keys, keys_of, model_key, spans_of, write_onnx
from lydite.hardware import Device
from lydite.measure.isolation import footprint_bytes, layout_for
from lydite.measure.profiling import in_graph_seconds
from lydite.measure.session import MeasuringSession, Progress, silent
from lydite.measure.timing import Timing, TimingPlan, measure
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.store import Conditions, Measurement
from lydite.units import format_seconds

_TOGETHER = 40
"""Maximum number of operators measured together with a model in one process."""


@dataclass(frozen=True, repr=False)
class Bench(OneLine):
    """Latency of whole calls.

    Attributes:
        timing: Raw samples and warnings.
        load_s: Seconds to load the graph into a session that can run.
        memory_bytes: Growth of resident memory from loading and running.
        batch: First dimension of the first input.
    """

    model: str
    timing: Timing
    load_s: float
    memory_bytes: int
    batch: int

    def percentile(self, share: float) -> float:
        """The given percentile of the samples, in seconds."""
        return float(np.percentile(self.timing.samples_s, share))

    def headline(self) -> str:
        """Median latency."""
        return f"{self.model}: {format_seconds(self.timing.median_s)}, measured"


def bench(graph: Graph, backend: Backend, settings: Settings, plan: TimingPlan) -> Bench:
    """Measure calls of a whole model in this process, with one or a few calls per sample."""
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    prepared = backend.prepare(graph, settings)
    load_s = time.perf_counter() - start
    try:
        timing = measure({graph.name: prepared}, plan)[graph.name]
        memory = process.memory_info().rss - before
    finally:
        prepared.close()
    return Bench(graph.name, timing, load_s, max(0, memory), batch_of(graph))


def batch_of(graph: Graph) -> int:
    """First dimension of the first input; 1 if there is none."""
    shape = graph.type_of(graph.inputs[0]).shape if graph.inputs else None
    return shape[0] if shape and isinstance(shape[0], int) else 1


def model_row(
    graph: Graph, samples_s: np.ndarray, session: MeasuringSession, environment: Any
) -> Measurement:
    """A whole model's samples as a row of the database."""
    return Measurement(
        model_key(graph),
        session.device,
        session.software,
        Conditions(session.settings.threads, "hot", "model"),
        samples_s,
        environment={"clock": session.plan.clock, **environment},
        run=session.run,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """An operator timed alone and within the network.

    Attributes:
        op_type: Type of the operator.
        shape: Type of its first input.
        count: Number of such operators in the network.
        alone_s: Seconds of one, timed alone.
        inside_s: Seconds of one within the network, by the backend's profiler.
    """

    op_type: str
    shape: str
    count: int
    alone_s: float
    inside_s: float

    @property
    def total_s(self) -> float:
        """What all of them add to the prediction's error, in seconds."""
        return self.count * (self.alone_s - self.inside_s)


@dataclass(frozen=True, repr=False)
class Validation(OneLine):
    """A model predicted from its operators and measured as a whole, interleaved.

    Attributes:
        prediction: Prediction from the rows that were just measured.
        paired_s: Prediction without the machine's drift: each operator's samples are compared with
            the model's samples of the same round.
        samples_s: The model's own times in all rounds.
        why: Operators of which the prediction and the network's own profile differ, largest first;
            empty where it was not asked for.
    """

    prediction: Prediction
    paired_s: float
    samples_s: np.ndarray
    failures: int
    why: tuple[Difference, ...] = ()

    @property
    def measured_s(self) -> float:
        """Median time of the whole model."""
        return float(np.median(self.samples_s))

    @property
    def point(self) -> Point:
        """The paired prediction against the measurement; bounds scaled from the unpaired ones."""
        total = self.prediction.total
        scale = self.paired_s / total.seconds if total.seconds else 1.0
        return Point(
            self.prediction.model,
            self.paired_s,
            self.measured_s,
            total.low * scale,
            total.high * scale,
        )

    def headline(self) -> str:
        """Measured and predicted time."""
        measured, predicted = format_seconds(self.measured_s), format_seconds(self.paired_s)
        return f"{self.prediction.model}: {measured} measured, {predicted} predicted"


def validate(
    graph: Graph,
    session: MeasuringSession,
    device: Device,
    *,
    why: bool = False,
    progress: Progress = silent,
) -> Validation:
    """Measure a model's operators alternately with the model itself, then predict it from them.

    Args:
        graph: Graph of the model.
        session: Measuring session.
        device: Device of the prediction.
        why: Whether to profile the whole as well, and compare operator by operator.
        progress: Called before each group of operators.
    """
    low = lowered(session.backend, graph, session.settings)
    counts = Counter(keys_of(low).values())
    if not counts:
        raise InputError(
            "has no operators left to measure: it folds away", where=graph.name, hint="lydite bench"
        )
    spans = spans_of(low)
    distinct = all_keys(low)  # those of bodies too, which no key of the whole stands for
    groups = _groups(distinct)
    samples: list[np.ndarray] = []
    ratios: dict[OpKey, float] = {}
    failures = done = 0
    call_s = session.costs()[0]
    session.new_model()
    with tempfile.TemporaryDirectory(prefix="lydite-") as folder:
        path = write_onnx(graph, Path(folder) / "model.onnx", weights=graph_has_data(graph))
        for group in groups:
            progress(done, len(distinct), group[0].qualified_type)
            rows, whole = session.measure(group, str(path), spans)
            samples.append(whole)
            for row in rows:
                if row.status == "ok":
                    ratios[row.key] = _ratio(row.samples_s, whole)
                failures += row.status != "ok"
            done += len(group)
    progress(done, len(distinct), "")
    every = np.concatenate(samples)
    session.database.add([model_row(graph, every, session, {})])
    backend, threads = session.backend.name, session.settings.threads
    rows = Rows(backend, threads, session.plan.clock, spans=by_digest(spans))
    estimator, call = usual_chain([session.database], device, rows)
    call = call_within_network(call, [session.database], device, rows, len(low.ops))
    prediction = predict(low, device, estimator, call)
    median = float(np.median(every))
    paired = (
        sum(counts[key] * ratio for key, ratio in ratios.items()) * median
        + (call.seconds if call is not None else call_s)
        + _unmeasured(prediction, ratios)
    )
    alone = {key: ratio * median for key, ratio in ratios.items()}
    differences = _differences(low, session, counts, alone) if why else ()
    return Validation(prediction, paired, every, failures, differences)


def _differences(
    low: Graph, session: MeasuringSession, counts: Mapping[OpKey, int], alone: Mapping[OpKey, float]
) -> tuple[Difference, ...]:
    """Operators by what they add to the difference between prediction and network."""
    dispatch_s = session.costs()[1]
    inside = in_graph_seconds(low, session)
    rows = [
        Difference(
            key.qualified_type,
            str(key.inputs[0]) if key.inputs else "",
            counts[key],
            alone[key],
            inside[key] + dispatch_s,
        )
        for key in alone
        if key in inside
    ]
    return tuple(sorted(rows, key=lambda row: -abs(row.total_s)))


def graph_has_data(graph: Graph) -> bool:
    """Whether a large weight has values rather than only a type."""
    return any(init.load is not None for init in graph.initializers.values())


def _ratio(alone_s: np.ndarray, whole_s: np.ndarray) -> float:
    """An operator's time over the model's, of the same rounds where they were timed in turn.

    Operators that were measured one by one, as one of their group failed, have rounds of their own.
    """
    if len(alone_s) == len(whole_s):
        return float(np.median(alone_s / whole_s))
    return float(np.median(alone_s) / np.median(whole_s))


def _unmeasured(prediction: Prediction, ratios: dict[OpKey, float]) -> float:
    return sum(
        node.estimate.seconds
        for node in prediction.nodes
        if node.estimate is not None and node.key not in ratios
    )


def _groups(keys: Sequence[OpKey], most_bytes: int = 2 << 30) -> list[list[OpKey]]:
    """Groups of operators that fit in memory together."""
    groups: list[list[OpKey]] = []
    used = 0
    for key in keys:
        need = footprint_bytes(key, layout_for(key, "rotated"))
        if not groups or len(groups[-1]) >= _TOGETHER or used + need > most_bytes:
            groups.append([])
            used = 0
        groups[-1].append(key)
        used += need
    return groups
