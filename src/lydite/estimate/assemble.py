"""The usual chain for a device: own rows, interpolation, imported rows, learned, roofline."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import replace

from lydite.estimate.base import Chain, Estimate, Estimator
from lydite.estimate.imported import Imported
from lydite.estimate.interpolated import Interpolated
from lydite.estimate.learned.estimator import Learned
from lydite.estimate.measured import Measured, Rows, paced
from lydite.estimate.roofline import AchievedEfficiency, Roofline, fit_efficiency
from lydite.graph import OpKey
from lydite.hardware import Device
from lydite.opkey import CALL_KEY, DISPATCH_KEY, LARGE_NETWORK_KEY, SMALL_NETWORK_KEY
from lydite.store import Measurement, Readings
from lydite.units import format_seconds


class Neighbours:
    """Interpolation, then roofline, from all rows of the requested types in the database.

    The rows of a type are read when its first unmeasured operator is requested.
    """

    name = "neighbours"

    def __init__(
        self,
        databases: Sequence[Readings],
        rows: Rows,
        dispatch_s: float,
        achieved: AchievedEfficiency,
        learned: Estimator | None = None,
    ) -> None:
        self._learned = learned
        self._databases, self._select = databases, rows
        self._dispatch_s, self._achieved = dispatch_s, achieved
        self._known: dict[tuple[str, str], list[tuple[OpKey, float]]] = {}

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Interpolated estimates where the families allow, else roofline."""
        rows = self._rows({(key.domain, key.op_type) for key in keys}, device)
        threads = self._select.threads
        fitted = fit_efficiency(rows, device, threads, self._dispatch_s)
        roofline = Roofline(
            threads=threads,
            dispatch_s=self._dispatch_s,
            efficiency=fitted,
            achieved=self._achieved,
        )
        chain: list[Estimator] = [Interpolated(rows, device, threads)]
        if self._learned is not None:
            chain.append(_Unfitted(self._learned, fitted))
        return Chain([*chain, roofline]).estimate(keys, device)

    def _rows(self, types: set[tuple[str, str]], device: Device) -> list[tuple[OpKey, float]]:
        missing = sorted(types - self._known.keys())
        if missing:
            estimates: dict[str, list[Measurement]] = {}
            for database in self._databases:
                for row in database.rows_for(
                    missing,
                    device=device.name,
                    backend=self._select.backend,
                    threads=self._select.threads,
                    scope="isolated",
                ):
                    estimates.setdefault(row.key.digest, []).append(row)
            self._known |= {kind: [] for kind in missing}
            for rows in estimates.values():
                chosen = self._select.select(rows)
                if chosen:
                    key = chosen[0].key
                    seconds = sorted(float(x) for row in chosen for x in paced(row))
                    self._known[key.domain, key.op_type].append((key, seconds[len(seconds) // 2]))
        return [pair for kind in types for pair in self._known[kind]]


class _Unfitted:
    """An estimator for the types that were not measured on the device, where rows say more."""

    name = "unfitted"

    def __init__(self, estimator: Estimator, fitted: Container[str]) -> None:
        self._estimator, self._fitted = estimator, fitted

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """The inner estimator's estimates, without those of fitted types."""
        answers = self._estimator.estimate(keys, device)
        return [
            None if key.qualified_type in self._fitted else answer
            for key, answer in zip(keys, answers, strict=True)
        ]


def usual_chain(
    databases: Sequence[Readings],
    device: Device,
    rows: Rows,
    achieved: AchievedEfficiency | None = None,
) -> tuple[Estimator, Estimate | None]:
    """The chain, and the cost of one call into the backend (None if never measured).

    Args:
        databases: Databases; the first with rows of an operator answers for it, and interpolation
            uses all.
        device: Device to estimate for.
        rows: Selection of rows.
        achieved: Efficiency of an accelerator without measurements; None for the learned model
            where it knows the operator, else the usual efficiency.
    """
    others: list[Estimator] = []
    if rows.software is not None and device.kind != "cpu":
        others.append(Imported(databases, rows.software))
    if achieved is None and device.kind == "gpu":
        others.append(Learned())
    measured = Chain([Measured(database, rows) for database in databases])
    call, dispatch = measured.estimate([CALL_KEY, DISPATCH_KEY], device)
    achieved = achieved or AchievedEfficiency()
    learned = Chain(others) if others else None
    dispatch_s = dispatch.seconds if dispatch else achieved.kernel_s
    return Chain([measured, Neighbours(databases, rows, dispatch_s, achieved, learned)]), call


def call_within_network(
    call: Estimate | None,
    databases: Sequence[Readings],
    device: Device,
    rows: Rows,
    nodes: int,
) -> Estimate | None:
    """The cost of a call, with what its nodes cost in addition to their times alone.

    The addition per node was measured in a small and in a large network; in between the logarithm
    of the number of nodes decides. With fewer nodes than the small network it falls in proportion:
    what twenty nodes need stays at hand.

    Args:
        call: Cost of a call; None if it was never measured.
        databases: Databases, as in `usual_chain`.
        device: Device to estimate for.
        rows: Selection of rows.
        nodes: Number of nodes of the lowered graph.
    """
    measured = Chain([Measured(database, rows) for database in databases])
    small, large = measured.estimate([SMALL_NETWORK_KEY, LARGE_NETWORK_KEY], device)
    if call is None or small is None or large is None or not nodes:
        return call
    few, many = (key.attrs["nodes"] for key in (SMALL_NETWORK_KEY, LARGE_NETWORK_KEY))
    share = min(1.0, max(0.0, math.log(nodes / few) / math.log(many / few)))

    def between(first_s: float, second_s: float) -> float:
        return nodes * min(1.0, nodes / few) * (first_s + share * (second_s - first_s))

    added_s = between(small.seconds, large.seconds)
    return replace(
        call,
        seconds=call.seconds + added_s,
        low=call.low + 0.5 * between(small.low, large.low),
        high=call.high + between(small.high, large.high),
        detail=f"{call.detail}; {format_seconds(added_s)} for {nodes} nodes in one network",
    )
