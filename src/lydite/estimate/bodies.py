"""Time of control flow: its most expensive body, as often as it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from lydite.estimate.base import Estimate, add_up
from lydite.graph import Graph, Op, OpKey, body_runs, keys_of

Answers = Mapping[OpKey, Estimate | None]
"""Estimates by key, of all operators of a graph and of its bodies (`lydite.graph.all_keys`)."""

NOTHING_S = 1e-12
"""Seconds of a body that hands values on and runs nothing, or that never runs."""


def op_estimate(op: Op, graph: Graph, key: OpKey | None, answers: Answers) -> Estimate | None:
    """The estimate of an operator; control flow has that of its most expensive body.

    Args:
        op: Operator of the graph.
        graph: The graph.
        key: Its key; None if the operator's types are unknown.
        answers: Estimates by key.

    Returns:
        The estimate; None if there is none for it, or for a part of a body, or if the number of
        runs depends on the data.
    """
    runs = body_runs(op, graph)
    if runs is None:
        return answers.get(key) if key else None
    if runs.times == 0:
        return Estimate(NOTHING_S, NOTHING_S, NOTHING_S, "roofline", "its body never runs")
    if not runs.bodies or runs.times is None:
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


def op_estimates(
    graph: Graph, answers: Answers
) -> Iterator[tuple[Op, OpKey | None, Estimate | None]]:
    """Every operator of a graph with its key and its estimate."""
    keys = keys_of(graph)
    for op in graph.ops:
        key = keys.get(op.name)
        yield op, key, op_estimate(op, graph, key, answers)


def counted(
    parts: Iterable[tuple[OpKey | None, Estimate | None]],
) -> Iterator[tuple[Estimate, int, Hashable]]:
    """Known estimates with the number of operators that have them, for `add_up`."""
    for (key, estimate), count in Counter(parts).items():
        if estimate is not None:
            yield estimate, count, key


def _of_body(body: Graph, answers: Answers) -> Estimate | None:
    parts = [(key, estimate) for _, key, estimate in op_estimates(body, answers)]
    estimates = [estimate for _, estimate in parts if estimate is not None]
    if len(estimates) < len(parts):
        return None
    if not estimates:
        return Estimate(NOTHING_S, NOTHING_S, NOTHING_S, "roofline", "an empty body")
    total = add_up(counted(parts))
    largest = max(estimates, key=lambda estimate: estimate.seconds)
    low = min(total.seconds, max(total.low, NOTHING_S))
    return Estimate(total.seconds, low, total.high, largest.source, shared=largest.shared)
