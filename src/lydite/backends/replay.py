"""A backend that needs no hardware: it replays recorded times.

It runs graphs unchanged (nothing is fused). Each call takes the recorded seconds according to the
backend's own clock, so nothing waits and every machine gives the same figures. The times come from
a performance database (named by `LYDITE_REPLAY`) or from the caller.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from lydite.backends.base import (
    Capabilities,
    Chain,
    NodeTime,
    Prepared,
    Settings,
    check_runnable,
    square_product,
)
from lydite.errors import BackendError
from lydite.graph import Graph, OpKey, keys_of

RECORDING = "LYDITE_REPLAY"
"""Environment variable that holds the path of the database to replay."""


class ReplayBackend:
    """Backend that answers with recorded seconds, by operator key digest.

    Args:
        seconds: seconds by `OpKey.digest`; by default the medians of the isolated rows of the
            database that LYDITE_REPLAY names.
        call_s, dispatch_s: seconds of a call, and of dispatching an operator that does nothing.
    """

    name = "replay"
    pace_key = square_product("MatMul")

    def __init__(
        self,
        seconds: Mapping[str, float] | None = None,
        *,
        call_s: float = 2e-6,
        dispatch_s: float = 2e-7,
    ) -> None:
        recorded = _recorded() if seconds is None else seconds
        self.seconds = {self.pace_key.digest: 2e-4, **recorded}
        self.call_s, self.dispatch_s = call_s, dispatch_s

    def capabilities(self) -> Capabilities:
        """Always available."""
        return Capabilities(True, {"replay": "1"}, ("cpu",), ("float32",))

    def lower(self, graph: Graph, settings: Settings) -> Graph:
        """The graph, unchanged."""
        del settings
        check_runnable(graph)
        return graph

    def prepare(self, graph: Graph, settings: Settings) -> Prepared:
        """Load a graph; a run costs the call plus the sum over its operators."""
        del settings
        check_runnable(graph)
        times = [self._seconds(key) for key in self._keys(graph)]
        return _Replayed(self.call_s + sum(times))

    def prepare_op(self, key: OpKey, settings: Settings, copies: int, turns: int = 1) -> Prepared:
        """Load copies of one operator."""
        del settings, turns
        total = copies * self._seconds(key) + (copies - 1) * self.dispatch_s
        return _Replayed(self.call_s + total)

    def prepare_calls(self, settings: Settings, copies: int, chain: Chain = "same") -> Prepared:
        """Load copies of an operator that does nothing."""
        del settings, chain
        return _Replayed(self.call_s + copies * self.dispatch_s)

    def profile(self, graph: Graph, settings: Settings, runs: int) -> Sequence[Sequence[NodeTime]]:
        """The recorded times, laid out in sequence."""
        del settings
        nodes: list[NodeTime] = []
        at = 0.0
        for op, key in zip(graph.ops, self._keys(graph), strict=True):
            nodes.append(NodeTime(op.name, at, self._seconds(key)))
            at += nodes[-1].seconds
        return [nodes] * runs

    def _keys(self, graph: Graph) -> list[OpKey]:
        keys = keys_of(graph)
        return [keys[op.name] for op in graph.ops]

    def _seconds(self, key: OpKey) -> float:
        if key.digest not in self.seconds:
            raise BackendError(f"no time is recorded for {key.qualified_type}", where="replay")
        return self.seconds[key.digest]


def _recorded() -> dict[str, float]:
    target = os.environ.get(RECORDING)
    if target is None:
        return {}
    from lydite.store import Database

    with Database.open(target, read_only=True) as database:
        rows = database.query(scope="isolated", status="ok")
        medians: dict[str, float] = {}
        for row in rows:
            medians.setdefault(row.key.digest, row.median_s)
        return medians


class _Replayed(Prepared):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def run(self) -> None:
        """Do nothing; `device_seconds` gives the recorded time."""

    @property
    def device_seconds(self) -> Callable[[int], float]:
        """Recorded seconds per call."""
        return lambda _: self._seconds

    def synchronize(self) -> None:
        """Do nothing: no work is pending."""

    def close(self) -> None:
        """Do nothing: no resources are held."""
