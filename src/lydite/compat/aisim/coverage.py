"""How much of a graph a database covers: AISim's two definitions, and by time.

    node coverage = compute nodes with a time / all nodes except Send, Recv and Allreduce
    op coverage   = (distinct types - types with at least one miss) / distinct types

AISim's manual prints the two under each other's heading; here they stand under their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lydite.compat.aisim.nodes import COMPUTE, GraphNode
from lydite.compat.aisim.times import MEASURED, Timed
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class GraphCoverage:
    """One graph's.

    Attributes:
        model: whose graph.
        nodes, covered_nodes: compute nodes, and those with an entry in the database.
        types, covered_types: distinct operator types, and those without a miss.
        uncovered: missing nodes by type, most first.
        measured_s, estimated_s: sums of the times from the database, and of medians of types.
        unknown_nodes: nodes whose time nothing tells.
    """

    model: str
    nodes: int
    covered_nodes: int
    types: int
    covered_types: int
    uncovered: Mapping[str, int]
    measured_s: float
    estimated_s: float
    unknown_nodes: int

    @property
    def node_share(self) -> float:
        """Node coverage; NaN without compute nodes."""
        return _ratio(self.covered_nodes, self.nodes)

    @property
    def type_share(self) -> float:
        """Op coverage; NaN without compute nodes."""
        return _ratio(self.covered_types, self.types)

    @property
    def time_share(self) -> float:
        """Measured share of the time that is known; an upper bound while nodes are unknown."""
        return _ratio(self.measured_s, self.measured_s + self.estimated_s)

    def to_json(self) -> dict[str, Any]:
        """All figures, units in the keys."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "node_coverage": self.node_share,
            "op_coverage": self.type_share,
            "time_coverage": self.time_share,
            "time_coverage_is_upper_bound": self.unknown_nodes > 0,
        }


def coverage_of(
    model: str, nodes: Sequence[GraphNode], times: Mapping[str, Timed]
) -> GraphCoverage:
    """Count what has an entry in the database."""
    compute = [node for node in nodes if node.kind == COMPUTE]
    timed = [times[node.name] for node in compute]
    missing = Counter(node.op for node in compute if times[node.name].source != MEASURED)
    types = {node.op for node in compute}
    return GraphCoverage(
        model=model,
        nodes=len(compute),
        covered_nodes=len(compute) - missing.total(),
        types=len(types),
        covered_types=len(types - missing.keys()),
        uncovered=dict(missing.most_common()),
        measured_s=sum(t.seconds or 0.0 for t in timed if t.source == MEASURED),
        estimated_s=sum(t.seconds or 0.0 for t in timed if t.source != MEASURED),
        unknown_nodes=sum(t.seconds is None for t in timed),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
