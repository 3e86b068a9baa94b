"""A measuring session: a backend, a device, a set of conditions, the worker and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from lydite.backends import Backend, Settings
from lydite.errors import BackendError
from lydite.estimate.measured import same_span, span_bytes
from lydite.graph import OpKey
from lydite.measure.client import Worker, WorkerLost
from lydite.measure.environment import platform_versions
from lydite.measure.isolation import cache_state, layout_for
from lydite.measure.timing import TimingPlan
from lydite.measure.worker import MODEL, PACE, Request
from lydite.opkey import BACKEND_KEYS, CALL_KEY, DISPATCH_KEY
from lydite.records import dataclass
from lydite.store import Conditions, Database, Measurement, Software

_USUAL_QUANTILE = 25
"""Percentile of the reference operator's times that counts as the machine's undisturbed pace."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An operator that could not be measured."""

    key: OpKey
    status: str
    error: str


class MeasuringSession:
    """Measures operators in a worker process and commits each row immediately.

    Args:
        backend: Backend that runs the operators.
        database: Database that receives the rows.
        device: Device name in the rows.
        settings: Threads, device and seed.
        plan: Amount of measurement per request.
        cache: Cache state of the weights: "hot", "rotated" or "cold".
        run: Id of the run that the rows belong to.
        timeout_s, memory_bytes: Limits of the worker.

    Attributes:
        keep: Function that receives the rows; adds them to the database unless replaced.
    """

    def __init__(
        self,
        backend: Backend,
        database: Database,
        device: str,
        settings: Settings,
        plan: TimingPlan,
        *,
        cache: str = "rotated",
        run: str | None = None,
        timeout_s: float = 120.0,
        memory_bytes: int | None = None,
    ) -> None:
        self.backend, self.database, self.device = backend, database, device
        self.keep: Callable[[Sequence[Measurement]], object] = database.add
        self.settings, self.plan, self.cache, self.run = settings, plan, cache, run
        versions = {**backend.capabilities().versions, **platform_versions()}
        self.software = Software(backend.name, versions)
        self._worker = Worker(timeout_s=timeout_s, memory_bytes=memory_bytes)
        self._costs: tuple[float, ...] | None = None
        self._paces: dict[str, list[float]] = {}

    def __enter__(self) -> MeasuringSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    @property
    def memory_bytes(self) -> int:
        """Maximum resident memory of the worker in bytes."""
        return self._worker.memory_bytes

    def known(
        self, keys: Sequence[OpKey], spans: Mapping[OpKey, int] | None = None
    ) -> dict[OpKey, Measurement]:
        """The newest rows with this software and these conditions, failures included.

        Args:
            keys: Operators.
            spans: Bytes between two uses of what they read; rows of other spans are not known.
        """
        return known_rows(
            self.database,
            keys,
            device=self.device,
            backend=self.backend.name,
            threads=self.settings.threads,
            cache=self.cache,
            clock=self.plan.clock,
            spans=spans,
            runs_as=lambda software: software == self.software,
        )

    def interrupt(self) -> None:
        """Kill the measuring process, from any thread; `measure` then gives failed rows."""
        self._worker.interrupt()

    def new_model(self) -> None:
        """Forget the pace of the previous model."""
        self._paces.pop(MODEL, None)

    def measure(
        self, keys: Sequence[OpKey], model: str = "", spans: Mapping[OpKey, int] | None = None
    ) -> tuple[list[Measurement], np.ndarray]:
        """Measure operators interleaved with each other (and a whole model); rows are committed.

        An operator that kills the worker becomes a failed row, and the others are measured again
        without it.

        Returns:
            The rows, failures among them, and the model's samples in seconds (empty without a
                model).

        Raises:
            BackendError: the model itself cannot be run.
        """
        left, rows = list(keys), []
        while True:
            request = Request(
                self.backend.name,
                self.settings,
                self.plan,
                tuple(key.text for key in left),
                self.cache,
                model,
                tuple((spans or {}).get(key, 0) for key in left),
                self._costs,
            )
            try:
                results = self._worker.request(request)
                break
            except WorkerLost as lost:
                culprit = next((key for key in left if key.text == lost.at), None)
                if lost.at == MODEL or (culprit is None and len(left) <= 1):
                    raise BackendError(f"the run ended with {lost.status}: {lost}") from lost
                if culprit is None:  # several were being timed
                    return self._one_by_one(left, model, spans, rows)
                rows.append(self._failed(culprit, lost.status, str(lost)))
                self.keep(rows[-1:])
                left.remove(culprit)
                if not left and not model:
                    return rows, np.array([])
            except BackendError as error:  # while it was timed, not while it was loaded
                if not left:
                    raise
                if len(left) > 1:
                    return self._one_by_one(left, model, spans, rows)
                if model:
                    self.measure([], model)  # raises if it is the model that cannot be run
                rows.append(self._failed(left[0], "error", str(error)))
                self.keep(rows[-1:])
                return rows, np.array([])
        for result in results:
            if result["key"] in (MODEL, PACE):  # before the rows, which are compared with it
                self._paces.setdefault(result["key"], []).extend(result["samples_s"])
        fresh = [row for result in results if (row := self._row(result)) is not None]
        self.keep(fresh)
        samples = next((r["samples_s"] for r in results if r["key"] == MODEL), [])
        operators = [row for row in fresh if row.key not in BACKEND_KEYS]
        return rows + operators, np.array(samples)

    def _one_by_one(
        self,
        keys: Sequence[OpKey],
        model: str,
        spans: Mapping[OpKey, int] | None,
        rows: list[Measurement],
    ) -> tuple[list[Measurement], np.ndarray]:
        """Rows so far and those of every operator by itself, so that the culprit shows."""
        parts = [self.measure([key], model, spans) for key in keys]
        samples = [values for _, values in parts]
        return rows + [row for part, _ in parts for row in part], np.concatenate(samples)

    def costs(self) -> tuple[float, ...]:
        """Seconds of call, dispatch and tap; measured at the first request and cached."""
        if self._costs is None:
            self.measure([])
        assert self._costs is not None
        return self._costs

    def _row(self, result: Mapping[str, Any]) -> Measurement | None:
        name = result["key"]
        environment = dict(result.get("environment", {}))
        if name in (MODEL, PACE):
            return None
        key = OpKey.parse(name)
        if result["status"] != "ok":
            return self._failed(key, result["status"], result["error"])
        median = float(np.median(result["samples_s"]))
        if key == CALL_KEY:
            self._costs = (median, 0.0, 0.0)
        elif key == DISPATCH_KEY and self._costs is not None:
            self._costs = (self._costs[0], median, environment["tap_s"])
        if "pace_s" in environment:
            every = self._paces[environment["pace_of"]]
            environment["pace_usual_s"] = float(np.percentile(every, _USUAL_QUANTILE))
        return Measurement(
            key,
            self.device,
            self.software,
            Conditions(self.settings.threads, cache_state(key, self.cache)),
            np.array(result["samples_s"]),
            environment=environment,
            run=self.run,
        )

    def _failed(self, key: OpKey, status: str, error: str) -> Measurement:
        return Measurement(
            key,
            self.device,
            self.software,
            Conditions(self.settings.threads, cache_state(key, self.cache)),
            np.array([]),
            status=status,
            error=error,
            environment={"clock": self.plan.clock},
            run=self.run,
        )


def known_rows(
    database: Database,
    keys: Sequence[OpKey],
    *,
    device: str,
    backend: str,
    threads: int,
    cache: str,
    clock: str,
    spans: Mapping[OpKey, int] | None,
    runs_as: Callable[[Software], bool],
) -> dict[OpKey, Measurement]:
    """The newest row of each operator under these conditions, failures included.

    Args:
        database: Database that is searched.
        keys: Operators.
        device, backend, threads, cache, clock: Conditions of the rows.
        spans: Bytes between two uses of what they read; rows of other spans are not known.
        runs_as: Whether rows of a software count.
    """
    rows = database.lookup(keys, device=device, backend=backend, threads=threads, status=None)
    found: dict[OpKey, Measurement] = {}
    for key in keys:
        for row in rows.get(key.digest, []):
            if (
                runs_as(row.software)
                and row.environment.get("clock") in (clock, None)
                and row.conditions.cache == cache_state(key, cache)
                and _spans_agree(row, (spans or {}).get(key, 0), cache)
            ):
                found.setdefault(key, row)
    return found


def _spans_agree(row: Measurement, wanted_bytes: int, cache: str) -> bool:
    """Whether a row was measured with its operands about as far apart as wanted."""
    if not wanted_bytes or row.status != "ok":
        return True
    return same_span(span_bytes(row), layout_for(row.key, cache, wanted_bytes).span_bytes)


Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with (number done, total number, name of the next item)."""


def silent(_done: int, _total: int, _next: str) -> None:
    """Ignore progress."""
