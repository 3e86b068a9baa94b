"""Profile a model: measure every distinct operator that the backend runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.backends import NodeTime
from lydite.backends.isolate import calls
from lydite.backends.lowered import lowered
from lydite.errors import BackendError
from lydite.graph import Graph, OpKey, all_keys, keys_of, spans_of
from lydite.measure.isolation import footprint_bytes, layout_for
from lydite.measure.session import Failure, MeasuringSession, Progress, silent
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.store import Conditions, Measurement


@dataclass(frozen=True, repr=False)
class Profile(OneLine):
    """Outcome of profiling a model.

    Attributes:
        graph: Lowered graph.
        distinct: Number of distinct operators.
        measured: Number of operators newly measured.
        reused: Number of operators already in the database, with the same software and conditions.
        failures: Operators that could not be measured, now or before.
        untyped: Operators without a key, because their types are unknown.
    """

    graph: Graph
    distinct: int
    measured: int
    reused: int
    failures: tuple[Failure, ...]
    untyped: tuple[str, ...]

    def headline(self) -> str:
        """Number of operators measured and reused."""
        counts = f"{self.measured} measured, {self.reused} reused, {len(self.failures)} failed"
        return f"{self.graph.name}: {self.distinct} distinct operators, {counts}"


def profile(
    graph: Graph, session: MeasuringSession, *, again: bool = False, progress: Progress = silent
) -> Profile:
    """Measure the distinct operators of `graph` that are not yet in the database.

    Each row is committed before the next operator, so that an interrupted run resumes where it
    stopped.

    Args:
        again: Whether to measure known operators again.
        progress: Called before each operator.
    """
    low = lowered(session.backend, graph, session.settings)
    keys, distinct = keys_of(low), all_keys(low)
    done = profile_keys(distinct, session, spans_of(low), again=again, progress=progress)
    return Profile(
        low,
        len(distinct),
        done.measured,
        done.reused,
        done.failures,
        tuple(op.name for op in low.ops if op.name not in keys and not op.subgraphs),
    )


@dataclass(frozen=True)
class Profiled:
    """Outcome of measuring operators: numbers of new and of known ones, and the failures."""

    measured: int
    reused: int
    failures: tuple[Failure, ...]


def profile_keys(
    keys: Sequence[OpKey],
    session: MeasuringSession,
    spans: Mapping[OpKey, int],
    *,
    again: bool = False,
    progress: Progress = silent,
) -> Profiled:
    """Measure the operators that are not yet in the database; see `profile`.

    Args:
        keys: Distinct operators.
        session: Measuring session.
        spans: Bytes between two uses of what an operator reads.
        again: Whether to measure known operators again.
        progress: Called before each operator.
    """
    known = {} if again else session.known(keys, spans)
    todo = [key for key in keys if key not in known]
    failures = [Failure(k, row.status, row.error) for k, row in known.items() if row.status != "ok"]
    measured = 0
    for done, key in enumerate(todo):
        progress(done, len(todo), key.qualified_type)
        if footprint_bytes(key, layout_for(key, "cold")) > session.memory_bytes:
            failures.append(Failure(key, "skipped", "does not fit in memory"))
            continue
        rows, _ = session.measure([key], spans=spans)
        for row in rows:
            measured += row.status == "ok"
            if row.status != "ok":
                failures.append(Failure(row.key, row.status, row.error))
    progress(len(todo), len(todo), "")
    return Profiled(measured, len(known), tuple(failures))


def profiler_cost_s(session: MeasuringSession) -> float:
    """Seconds that the backend's profiler adds to a node: what it says of one that does nothing.

    ONNX Runtime's adds about 2 us, as much as a small operator takes.
    """
    try:
        runs = session.backend.profile(calls(60, "mixed"), session.settings, 10)
    except BackendError:  # a backend that plays recorded times has no chain, and no profiler
        return 0.0
    return float(np.median([node.seconds for nodes in runs for node in nodes] or [0.0]))


def in_graph_seconds(
    low: Graph, session: MeasuringSession, *, runs: int = 20
) -> dict[OpKey, float]:
    """Median seconds of each operator within runs of the whole, without the profiler's cost.

    Args:
        low: A lowered graph.
        session: Measuring session.
        runs: Number of runs.
    """
    keys = keys_of(low)
    cost = profiler_cost_s(session)
    times: dict[OpKey, list[float]] = {}
    for nodes in session.backend.profile(low, session.settings, runs):
        for node in nodes:
            if node.op_name in keys:
                times.setdefault(keys[node.op_name], []).append(node.seconds)
    return {key: max(0.0, float(np.median(values)) - cost) for key, values in times.items()}


def profile_in_graph(
    graph: Graph, session: MeasuringSession, *, runs: int = 10
) -> Sequence[Sequence[NodeTime]]:
    """Store the backend's own operator times of whole runs, with scope "in_graph".

    A sample is the mean over the operators with the same key in one run, without what the profiler
    itself adds to each.
    """
    low = lowered(session.backend, graph, session.settings)
    keys = keys_of(low)
    cost = profiler_cost_s(session)
    seen = session.backend.profile(low, session.settings, runs)
    samples: dict[OpKey, list[float]] = {}
    for nodes in seen:
        own: dict[OpKey, list[float]] = {}
        for node in nodes:
            if node.op_name in keys:
                own.setdefault(keys[node.op_name], []).append(max(0.0, node.seconds - cost))
        for key, times in own.items():
            samples.setdefault(key, []).append(float(np.mean(times)))
    session.database.add(
        Measurement(
            key,
            session.device,
            session.software,
            Conditions(session.settings.threads, "hot", "in_graph"),
            np.array(times),
            environment={
                "clock": "wall",
                "profiler": session.backend.name,
                "profiler_cost_s": cost,
            },
            run=session.run,
        )
        for key, times in samples.items()
    )
    return seen
