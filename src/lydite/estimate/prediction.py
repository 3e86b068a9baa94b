"""A model's time from its operators: the sum over what the backend runs, plus one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lydite.errors import InputError
from lydite.estimate.base import Estimate, Estimator, Sum, add_up
from lydite.estimate.bodies import counted, op_estimates
from lydite.graph import Graph, OpKey, all_keys
from lydite.hardware import Device
from lydite.records import dataclass
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


def uncovered_note(coverage: Coverage) -> str:
    """Which operators have no estimate, in a sentence; "" where all have one."""
    if not coverage.uncovered:
        return ""
    count = sum(coverage.uncovered.values())
    names = ", ".join(f"{name} ({number})" for name, number in coverage.uncovered.items())
    what = "operators have" if count > 1 else "operator has"
    return f"{count} {what} no estimate, so the prediction is a lower bound: {names}"


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
    nodes = tuple(
        PredictedNode(op.name, op.qualified_type, key, estimate)
        for op, key, estimate in op_estimates(graph, answers)
    )
    parts = list(counted((node.key, node.estimate) for node in nodes))
    if call is not None:
        parts.append((call, 1, "call"))
    return Prediction(
        graph.name, device, nodes, add_up(parts, ISOLATION_ERROR), call, coverage(nodes)
    )


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
