"""A model's time from its operators: the sum over what the backend runs, plus one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lydite.errors import InputError
from lydite.estimate.base import Estimate, Estimator, Sum, add_up
from lydite.graph import Graph, Op, OpKey, all_keys, body_runs, keys_of
from lydite.hardware import Device
from lydite.results import OneLine
from lydite.units import format_seconds

ISOLATION_ERROR = 0.08
"""Relative half-width of the error of the method: operators timed alone do not see each other's
effects on caches and predictors. Nine of ten models lie within it (`benchmarks/accuracy.py`).
"""


@dataclass(frozen=True, slots=True, repr=False)
class PredictedNode(OneLine):
    """One operator of the graph with its estimate; None if no estimator has one."""

    name: str
    op_type: str
    key: OpKey | None
    estimate: Estimate | None

    def headline(self) -> str:
        """Name, type and time."""
        time = format_seconds(self.estimate.seconds) if self.estimate else "unknown"
        return f"{self.name}: {self.op_type}, {time}"


@dataclass(frozen=True)
class Coverage:
    """Coverage of a prediction: the share that comes from each source.

    Attributes:
        nodes: Number of operators by source, including "unknown".
        types: Number of operator types whose every node is known, and number of all types.
        seconds: Predicted time by source.
    """

    nodes: dict[str, int]
    types: tuple[int, int]
    seconds: dict[str, float]
    uncovered: dict[str, int]

    @property
    def node_coverage(self) -> float:
        """Share of operators with an estimate (AISim's node coverage)."""
        total = sum(self.nodes.values())
        return (total - self.nodes.get("unknown", 0)) / total if total else 0.0

    @property
    def type_coverage(self) -> float:
        """Share of operator types without a single miss (AISim's OP coverage)."""
        return self.types[0] / self.types[1] if self.types[1] else 0.0

    def time_share(self, source: str) -> float:
        """Share of the predicted time that comes from `source`."""
        total = sum(self.seconds.values())
        return self.seconds.get(source, 0.0) / total if total else 0.0


@dataclass(frozen=True, repr=False)
class Prediction(OneLine):
    """A model's predicted time, operator by operator.

    Attributes:
        total: Time of all known operators and the call, with its 90 % interval; a lower bound if
            `coverage.uncovered` is not empty.
        call: Cost of one call into the backend.
    """

    model: str
    device: Device
    nodes: tuple[PredictedNode, ...]
    total: Sum
    call: Estimate | None
    coverage: Coverage

    @property
    def complete(self) -> bool:
        """Whether every operator has an estimate."""
        return not self.coverage.uncovered

    def headline(self) -> str:
        """Total time and its bounds."""
        low, high = format_seconds(self.total.low), format_seconds(self.total.high)
        return (
            f"{self.model} on {self.device.name}: {format_seconds(self.total.seconds)} "
            f"({low} to {high}, 90 %)"
        )


def predict(
    graph: Graph, device: Device, estimator: Estimator, call: Estimate | None = None
) -> Prediction:
    """Predict a lowered graph on a device.

    Raises:
        InputError: the graph has no operators.
    """
    if not graph.ops:
        raise InputError("has no operators", where=graph.name)
    distinct = all_keys(graph)
    answers = dict(zip(distinct, estimator.estimate(distinct, device), strict=True))
    nodes = _nodes(graph, answers)
    parts = list(_parts(nodes))
    if call is not None:
        parts.append((call, 1, "call"))
    return Prediction(
        graph.name, device, nodes, add_up(parts, ISOLATION_ERROR), call, coverage(nodes)
    )


def _nodes(graph: Graph, answers: Mapping[OpKey, Estimate | None]) -> tuple[PredictedNode, ...]:
    keys = keys_of(graph)
    return tuple(_node(op, graph, keys.get(op.name), answers) for op in graph.ops)


def _node(
    op: Op, graph: Graph, key: OpKey | None, answers: Mapping[OpKey, Estimate | None]
) -> PredictedNode:
    """An operator with its estimate; control flow has that of its most expensive body."""
    if body_runs(op, graph) is not None:
        return PredictedNode(op.name, op.qualified_type, key, _of_bodies(op, graph, answers))
    return PredictedNode(op.name, op.qualified_type, key, answers.get(key) if key else None)


def _of_bodies(op: Op, graph: Graph, answers: Mapping[OpKey, Estimate | None]) -> Estimate | None:
    """The most expensive body as often as it runs; None where a part or the count is unknown."""
    runs = body_runs(op, graph)
    if runs is None or not runs.bodies or not runs.times:
        return None
    bodies = [_of_body(body, answers) for body in runs.bodies]
    known = [estimate for estimate in bodies if estimate is not None]
    if len(known) < len(bodies):
        return None
    each = max(known, key=lambda estimate: estimate.seconds)
    how = f"the slower of {len(known)} branches" if len(known) > 1 else f"{runs.times} x its body"
    low = min(known, key=lambda estimate: estimate.low).low
    return replace(
        each,
        seconds=runs.times * each.seconds,
        low=runs.times * low,
        high=runs.times * each.high,
        detail=how,
    )


_NOTHING = 1e-12
"""Seconds of a body that hands values on and runs nothing."""


def _of_body(body: Graph, answers: Mapping[OpKey, Estimate | None]) -> Estimate | None:
    nodes = _nodes(body, answers)
    estimates = [node.estimate for node in nodes if node.estimate is not None]
    if len(estimates) < len(nodes):
        return None
    if not estimates:
        return Estimate(_NOTHING, _NOTHING, _NOTHING, "roofline", "an empty body")
    total = add_up(_parts(nodes))
    largest = max(estimates, key=lambda estimate: estimate.seconds)
    low = min(total.seconds, max(total.low, _NOTHING))
    return Estimate(total.seconds, low, total.high, largest.source, shared=largest.shared)


def _parts(nodes: Iterable[PredictedNode]) -> Iterable[tuple[Estimate, int, Hashable]]:
    counts = Counter((node.key, node.estimate) for node in nodes if node.estimate is not None)
    for (key, estimate), count in counts.items():
        if estimate is not None:
            yield estimate, count, key


def coverage(nodes: Sequence[PredictedNode]) -> Coverage:
    """Coverage by node, by type and by time."""
    by_source = Counter(n.estimate.source if n.estimate else "unknown" for n in nodes)
    seconds: dict[str, float] = {}
    for node in nodes:
        if node.estimate is not None:
            source = node.estimate.source
            seconds[source] = seconds.get(source, 0.0) + node.estimate.seconds
    types = {node.op_type for node in nodes}
    missed = Counter(node.op_type for node in nodes if node.estimate is None)
    return Coverage(
        dict(by_source), (len(types) - len(missed), len(types)), seconds, dict(missed.most_common())
    )
