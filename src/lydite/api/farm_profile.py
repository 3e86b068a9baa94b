"""`farm_profile`: measure models on the machines of a farm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.coverage import several
from lydite.api.devices import device_named
from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.measuring import CACHES, check_clock
from lydite.api.options import ModelOptions, chosen
from lydite.api.profile import FailedOperator
from lydite.errors import BackendError, InputError, unknown_name
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.farm import Job
    from lydite.graph import OpKey
    from lydite.hardware import Device
    from lydite.store import Database, Software

_POLL_S = 0.5


class FarmModel(TypedDict):
    """Measurements of a model on a device; `reused` operators were already in the database."""

    model: str
    device: str
    dtype: str
    operators: int
    distinct: int
    measured: int
    reused: int
    failed: list[FailedOperator]
    untyped: list[str]
    notes: list[str]


class FarmProfileDocument(TypedDict):
    """Measurements of each model on each device."""

    run: str
    backend: str
    versions: dict[str, str]
    models: list[FarmModel]


@dataclass(frozen=True, eq=False, repr=False)
class FarmProfileResult(Result):
    """Outcome of a profile on a farm.

    Attributes:
        run: Id of the run.
        backend: Name of the backend that ran the operators.
        versions: Versions that the workers had to have.
        models: One row per device and model.
    """

    verb = "farm-profile"

    run: str
    backend: str
    versions: Mapping[str, str]
    models: tuple[FarmModel, ...]

    def document(self) -> FarmProfileDocument:
        """All devices and models with their failures."""
        return {
            "run": self.run,
            "backend": self.backend,
            "versions": dict(self.versions),
            "models": list(self.models),
        }

    def summary(self) -> str:
        """A table with one line per device and model."""
        from lydite.report.text.farm import profile_text

        return profile_text(self.models)

    def headline(self) -> str:
        """Numbers of operators measured and known before."""
        measured = sum(row["measured"] for row in self.models)
        reused = sum(row["reused"] for row in self.models)
        return f"{measured} operators measured by the farm, {reused} known before"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per device and model."""
        return self.models


@dataclass(frozen=True)
class _Wanted:
    """The distinct operators of one model on one device."""

    model: Model
    device: Device
    operators: int
    untyped: list[str]
    spans: Mapping[OpKey, int]
    known: set[OpKey]

    @property
    def new(self) -> list[OpKey]:
        return [key for key in self.spans if key not in self.known]


def farm_profile(
    session: Session,
    models: ModelLike | Sequence[ModelLike],
    *,
    on: str | Sequence[str],
    backend: str = "onnxruntime",
    software: Mapping[str, str] | None = None,
    threads: int = 1,
    cache: str = "rotated",
    clock: str = "wall",
    budget: float = 0.5,
    again: bool = False,
    timeout: float = 120.0,
    memory: str | None = None,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> FarmProfileResult:
    """Measure operators on machines of a farm that have the devices, one job per operator.

    The operators are those that the backend makes of a model on this machine. Interrupting it
    leaves the jobs queued; the same call goes on with them.

    Args:
        session: Session whose database is the farm's, on a PostgreSQL server.
        models: One model or several; see `load`.
        on: Names of devices, as a list or separated by commas.
        backend: Backend that runs the operators.
        software: Versions of packages that a worker must have; None for the backend's own here.
        threads, cache, clock, budget, timeout, memory: As for `profile`.
        again: Whether to measure known operators again.
        options: Options of the models.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: a model or device is unknown, or an option is out of range.
        BackendError: the backend is not installed here.
        StoreError: the database is not on a PostgreSQL server.
    """
    from lydite.farm import enqueue
    from lydite.farm.jobs import check_server

    check_clock(clock)
    if cache not in CACHES:
        raise unknown_name("cache state", cache, CACHES)
    names = [part.strip() for part in on.split(",")] if isinstance(on, str) else list(on)
    if not names or not all(names):
        raise InputError("no device is named", where="on", allowed="such as l4,h100")
    versions = _versions(backend) if software is None else dict(software)
    conditions = {
        "threads": threads,
        "cache": cache,
        "clock": clock,
        "budget": budget,
        "seed": session.seed,
        "timeout": timeout,
        "memory": memory,
    }
    with session.database() as database:
        check_server(database)
        made = [
            _wanted(database, model, device_named(name, [database]), backend, versions, conditions)
            for name in dict.fromkeys(names)
            for model in _resolved(session, database, name, models, options, given)
        ]
        arguments = {
            "models": list(dict.fromkeys(each.model.label for each in made)),
            "devices": list(dict.fromkeys(each.device.name for each in made)),
            "backend": backend,
            "versions": versions,
            "again": again,
            **conditions,
        }
        run = database.resume_run("profile", arguments)
        enqueue(database, _jobs(made, run, backend, versions, conditions, again))
        failures = _awaited(session, database, run)
        result = FarmProfileResult(
            run,
            backend,
            versions,
            tuple(_row(database, e, backend, versions, conditions, again, failures) for e in made),
        )
        database.finish_run(run, "done", result.to_dict())
    return result


def _versions(backend: str) -> dict[str, str]:
    from lydite.backends import find_backend

    capabilities = find_backend(backend).capabilities()
    if not capabilities.available:
        raise BackendError(
            f"{backend} is needed here too, to see its operators: {capabilities.reason}",
            hint=capabilities.hint,
        )
    return dict(capabilities.versions)


def _resolved(
    session: Session,
    database: Database,
    name: str,
    models: ModelLike | Sequence[ModelLike],
    options: ModelOptions | None,
    given: Any,
) -> list[Model]:
    device = device_named(name, [database])
    wanted = chosen(ModelOptions, options, given)
    del session
    return [resolve(model, wanted, device) for model in several(models)]


def _wanted(
    database: Database,
    model: Model,
    device: Device,
    backend: str,
    versions: Mapping[str, str],
    conditions: Mapping[str, Any],
) -> _Wanted:
    from lydite.backends import Settings, find_backend
    from lydite.backends.lowered import lowered
    from lydite.graph import all_keys, keys_of, spans_of

    settings = Settings(threads=conditions["threads"], seed=conditions["seed"])
    low = lowered(find_backend(backend), model.graph, settings)
    keys, spans = keys_of(low), spans_of(low)
    distinct = {key: spans.get(key, 0) for key in all_keys(low)}
    rows = _known(database, distinct, device, backend, versions, conditions)
    untyped = [op.name for op in low.ops if op.name not in keys and not op.subgraphs]
    return _Wanted(model, device, len(low.ops), untyped, distinct, set(rows))


def _known(
    database: Database,
    spans: Mapping[OpKey, int],
    device: Device,
    backend: str,
    versions: Mapping[str, str],
    conditions: Mapping[str, Any],
) -> dict[OpKey, Any]:
    """Rows of operators by any worker that has the versions."""
    from lydite.measure import known_rows

    def runs_as(software: Software) -> bool:
        return versions.items() <= dict(software.versions).items()

    return known_rows(
        database,
        list(spans),
        device=device.name,
        backend=backend,
        threads=conditions["threads"],
        cache=conditions["cache"],
        clock=conditions["clock"],
        spans=spans,
        runs_as=runs_as,
    )


def _jobs(
    made: Sequence[_Wanted],
    run: str,
    backend: str,
    versions: Mapping[str, str],
    conditions: Mapping[str, Any],
    again: bool,
) -> list[Job]:
    from lydite.farm import Job

    jobs: dict[str, Job] = {}
    for each in made:
        for key in each.spans if again else each.new:
            with_span = {**conditions, "span_bytes": each.spans[key]}
            job = Job(run, each.device.name, backend, versions, key.text, with_span)
            # An operator that several models have is measured once, with the first one's span.
            jobs.setdefault(f"{each.device.name} {key.text}", job)
    return list(jobs.values())


def _awaited(session: Session, database: Database, run: str) -> Mapping[str, str]:
    """Wait for the jobs of a run; returns reasons by the key of operators that failed."""
    from lydite.farm import progress

    said: set[str] = set()
    now = progress(database, run)
    try:
        with session.bar("profile on the farm") as show:
            while now.ended < now.total:
                show(now.ended, now.total, f"{now.by_status['running']} running")
                for note in _reasons(database, now.notes, run):
                    if note not in said:
                        said.add(note)
                        session.say(note)
                time.sleep(_POLL_S)
                now = progress(database, run)
            show(now.ended, now.total, "")
    except KeyboardInterrupt:
        left = now.total - now.ended
        session.say(f"{left} jobs stay queued; the same command goes on with them")
        raise
    return dict(now.failed)


def _reasons(database: Database, notes: Mapping[str, int], run: str) -> list[str]:
    """Why jobs wait: what workers said of them, and devices that nobody offers."""
    from lydite.farm import worker_rows
    from lydite.farm.jobs import UNSEEN_S, devices_waited_for

    live = {row.device for row in worker_rows(database) if row.seen_s <= UNSEEN_S}
    missing = [name for name in devices_waited_for(database, run) if name not in live]
    return [
        *(f"{count} jobs: {note}" for note, count in notes.items()),
        *(f"no worker offers {name}; there: lydite farm worker --db URL" for name in missing),
    ]


def _row(
    database: Database,
    each: _Wanted,
    backend: str,
    versions: Mapping[str, str],
    conditions: Mapping[str, Any],
    again: bool,
    failures: Mapping[str, str],
) -> FarmModel:
    rows = _known(database, each.spans, each.device, backend, versions, conditions)
    failed: list[FailedOperator] = []
    for key in each.spans:
        row = rows.get(key)
        if row is None:
            failed.append(_failure(key, "error", failures.get(key.text, "not measured")))
        elif row.status != "ok":
            failed.append(_failure(key, row.status, row.error))
    reused = 0 if again else len(each.known)
    return {
        "model": each.model.graph.name,
        "device": each.device.name,
        "dtype": each.model.dtype,
        "operators": each.operators,
        "distinct": len(each.spans),
        "measured": len(each.spans) - reused - len(failed),
        "reused": reused,
        "failed": failed,
        "untyped": each.untyped,
        "notes": list(each.model.notes),
    }


def _failure(key: OpKey, status: str, error: str) -> FailedOperator:
    return {"op_type": key.qualified_type, "status": status, "error": error, "key": key.text}
