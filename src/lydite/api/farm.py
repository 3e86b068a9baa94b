"""`farm_worker`, `farm_status`, `farm_drain`: machines that measure for others."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.devices import THIS_MACHINE
from lydite.api.measuring import make_measuring, measured_device
from lydite.errors import BackendError, InputError, LyditeError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.farm import Job, Queue, Stop, WorkerRow
    from lydite.measure import MeasuringSession
    from lydite.store import Database, Measurement

LEASE_S = 60.0
_RECONNECT_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Waits before each try to connect again, as the server or the network may be restarting."""


class FarmWorkerDocument(TypedDict):
    """What a worker did."""

    host: str
    devices: list[str]
    backend: str
    versions: dict[str, str]
    jobs: int


@dataclass(frozen=True, eq=False, repr=False)
class FarmWorkerResult(Result):
    """What a worker did until it stopped.

    Attributes:
        host: Name of the machine.
        devices: Names of the devices that it offered.
        backend: Backend that ran the operators.
        versions: Versions of the software.
        jobs: Number of operators measured.
    """

    verb = "farm-worker"

    host: str
    devices: tuple[str, ...]
    backend: str
    versions: Mapping[str, str]
    jobs: int

    def document(self) -> FarmWorkerDocument:
        """Devices, software and number of jobs."""
        return {
            "host": self.host,
            "devices": list(self.devices),
            "backend": self.backend,
            "versions": dict(self.versions),
            "jobs": self.jobs,
        }

    def summary(self) -> str:
        """Number of operators measured, in one line."""
        return f"{self.jobs} operators measured on {', '.join(self.devices)} of {self.host}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per device."""
        return [{"host": self.host, "device": device} for device in self.devices]


class FarmDevice(TypedDict):
    """A device that a host offers; `state` is "live", "draining" or "gone"."""

    host: str
    device: str
    backend: str
    versions: dict[str, str]
    seen_s: float
    state: str


class FarmStatusDocument(TypedDict):
    """Devices offered, and numbers of jobs."""

    devices: list[FarmDevice]
    jobs: dict[str, int]
    notes: dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class FarmStatusResult(Result):
    """Devices offered to a farm, and its jobs.

    Attributes:
        devices: One row per host and device.
        jobs: Number of jobs by status.
        notes: Why jobs wait or failed, each with the number of jobs.
    """

    verb = "farm-status"

    devices: tuple[FarmDevice, ...]
    jobs: Mapping[str, int]
    notes: Mapping[str, int]

    def document(self) -> FarmStatusDocument:
        """Devices and jobs."""
        return {
            "devices": list(self.devices),
            "jobs": dict(self.jobs),
            "notes": dict(self.notes),
        }

    def summary(self) -> str:
        """A table with one line per device, and the numbers of jobs."""
        from lydite.report.text.farm import status_text

        return status_text(self.document())

    def headline(self) -> str:
        """Numbers of live devices and of jobs."""
        live = sum(row["state"] != "gone" for row in self.devices)
        waiting = self.jobs["queued"] + self.jobs["running"]
        return f"{live} devices live, {waiting} jobs to do"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per device."""
        return self.devices


def farm_status(session: Session) -> FarmStatusResult:
    """Show which machines offer devices to the farm, and how many jobs there are.

    Args:
        session: Session whose database is the farm's.

    Raises:
        StoreError: the database is not on a PostgreSQL server.
    """
    from lydite.farm import worker_rows

    with session.database() as database:
        return _status(database, worker_rows(database))


def farm_drain(session: Session, host: str) -> FarmStatusResult:
    """Tell the worker of a host to stop once its current operator is measured.

    Args:
        session: Session whose database is the farm's.
        host: Name of the machine, as `farm_status` lists it.

    Raises:
        InputError: no machine of that name offers a device.
        StoreError: the database is not on a PostgreSQL server.
    """
    from lydite.farm import drain

    with session.database() as database:
        return _status(database, drain(database, host))


def _status(database: Database, rows: Sequence[WorkerRow]) -> FarmStatusResult:
    from lydite.farm import progress
    from lydite.farm.jobs import UNSEEN_S

    devices: list[FarmDevice] = [
        {
            "host": row.host,
            "device": row.device,
            "backend": row.backend,
            "versions": row.versions,
            "seen_s": row.seen_s,
            "state": "gone" if row.seen_s > UNSEEN_S else "draining" if row.draining else "live",
        }
        for row in rows
    ]
    jobs = progress(database)
    return FarmStatusResult(tuple(devices), jobs.by_status, jobs.notes)


def farm_worker(
    session: Session,
    *,
    device: str = "here",
    backend: str = "onnxruntime",
    host: str | None = None,
    idle: float | None = None,
) -> FarmWorkerResult:
    """Offer this machine's devices to a farm, and measure operators for it until told to stop.

    SIGTERM, or `farm_drain`, stops it after its current operator. Only one worker can have a
    device.

    Args:
        session: Session whose database is the farm's, on a PostgreSQL server.
        device: "here" for all devices of the backend, "cpu", or "cuda".
        backend: Backend that runs the operators.
        host: Name of this machine in the farm; None for its host name.
        idle: Seconds without a job after which to stop; None to wait for ever.

    Raises:
        StoreError: the database is not on a PostgreSQL server, or cannot be reached.
        DeviceTaken: another worker has the device.
        BackendError: the backend cannot run here.
        Changed: the device, its driver or the software changed; the current job is given back.
    """
    from lydite.farm import Queue, Stop

    name = host or socket.gethostname()
    stop = Stop()
    with session.database() as database, _stopped_by_sigterm(stop):
        from lydite.farm.jobs import check_server

        check_server(database)
        offer = _Offer(backend, device)
        for spec in offer.specs:
            database.add_device(spec.name, spec.to_json())

        def connect() -> Queue:
            return Queue(
                database,
                host=name,
                devices=list(offer.places),
                backend=backend,
                versions=offer.versions,
                lease_s=LEASE_S,
            )

        done = _worked(session, offer, database, connect, stop, idle)
    return FarmWorkerResult(name, tuple(offer.places), backend, offer.versions, done)


class _Offer:
    """Devices and software of this machine, as they were when the worker started."""

    def __init__(self, backend: str, device: str) -> None:
        from lydite.backends import find_backend

        self.backend = backend
        capabilities = find_backend(backend).capabilities()
        if not capabilities.available:
            raise BackendError(
                f"{backend} cannot run here: {capabilities.reason}", hint=capabilities.hint
            )
        places = capabilities.devices if device in ("here", "local") else (device,)
        if not set(places) <= set(capabilities.devices):
            allowed = ", ".join(("here", *capabilities.devices))
            raise BackendError(f"{backend} has no device '{device}' here", allowed=allowed)
        self.specs = [measured_device(place) for place in places]
        self.places = {spec.name: place for spec, place in zip(self.specs, places, strict=True)}
        self.versions = self._now()

    def check(self) -> None:
        """Refuse to go on where something changed.

        Raises:
            Changed: a device, its driver, or a version is another than at the start.
        """
        from lydite.farm import Changed

        now = self._now()
        for name in sorted({*self.versions, *now}):
            before, after = self.versions.get(name, "nothing"), now.get(name, "nothing")
            if before != after:
                raise Changed(f"{name} was {before} and is {after}", hint="start the worker again")

    def _now(self) -> dict[str, str]:
        from lydite.backends import find_backend
        from lydite.hardware.accelerators import accelerators
        from lydite.measure.environment import platform_versions

        versions = {**find_backend(self.backend).capabilities().versions, **platform_versions()}
        if set(self.places.values()) - set(THIS_MACHINE):
            boards = accelerators()
            versions["driver"] = boards[0].driver if boards else "gone, with its device"
        return {**versions, **_installed(versions)}


def _installed(versions: Mapping[str, str]) -> dict[str, str]:
    """Versions of packages as installed now, which may be newer than what this process loaded."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for package, loaded in versions.items():
        try:
            now = version(package)
        except PackageNotFoundError:
            continue
        # A local part such as "+cpu" is often in one of the two only.
        if now.partition("+")[0] != loaded.partition("+")[0]:
            found[package] = now
    return found


def _worked(
    session: Session,
    offer: _Offer,
    database: Database,
    connect: Callable[[], Queue],
    stop: Stop,
    idle: float | None,
) -> int:
    """Work until told to stop; connects again where the connection is lost."""
    from lydite.farm import ConnectionLost, work

    done, queue = 0, connect()
    session.say(f"offers {', '.join(offer.places)} as {queue.host}")
    while True:
        with queue, _Measurer(session, offer, database, queue) as measurer:
            try:
                return done + work(
                    queue,
                    measurer.measure,
                    stop=stop,
                    interrupt=measurer.interrupt,
                    check=offer.check,
                    say=session.say,
                    idle_s=idle,
                )
            except ConnectionLost as error:
                session.say(f"{error}; connects again")
                done += measurer.done
        queue = _again(connect, stop)


def _again(connect: Callable[[], Queue], stop: Stop) -> Queue:
    """A new connection; waits for the server, and for it to notice that the old one is gone."""
    for wait_s in _RECONNECT_S:
        stop.wait(wait_s)
        try:
            return connect()
        except LyditeError:
            if stop:
                raise
    return connect()


class _Measurer:
    """Measures jobs, with a measuring process per device and conditions."""

    def __init__(self, session: Session, offer: _Offer, database: Database, queue: Queue) -> None:
        self._session, self._offer = session, offer
        self._database, self._queue = database, queue
        self._open: dict[str, MeasuringSession] = {}
        self._current: MeasuringSession | None = None
        self.done = 0

    def __enter__(self) -> _Measurer:
        return self

    def __exit__(self, *_: object) -> None:
        for measuring in self._open.values():
            measuring.__exit__()

    def interrupt(self) -> None:
        """Kill the process that measures."""
        if self._current is not None:
            self._current.interrupt()

    def measure(self, job: Job) -> Sequence[Measurement]:
        """The rows of a job.

        Raises:
            LyditeError: it cannot be measured.
        """
        from lydite.measure import profile_keys
        from lydite.store.records import parse_key

        rows: list[Measurement] = []
        key = parse_key(job.operator)
        measuring = self._current = self._measuring(job)
        measuring.run, measuring.keep = job.run, rows.extend
        span = int(job.conditions.get("span_bytes", 0))
        outcome = profile_keys([key], measuring, {key: span}, again=True)
        if not rows and outcome.failures:
            failure = outcome.failures[0]
            raise BackendError(f"{failure.status}: {failure.error}")
        self.done += 1
        return [row for row in rows if row.key == key]

    def _measuring(self, job: Job) -> MeasuringSession:
        conditions = {name: v for name, v in job.conditions.items() if name != "span_bytes"}
        name = repr((job.device, sorted(conditions.items())))
        if name not in self._open:
            if len(self._open) >= 2:  # processes of other conditions are not kept for ever
                self._open.pop(next(iter(self._open))).__exit__()
            try:
                measuring = make_measuring(
                    job.backend,
                    self._database,
                    device=self._offer.places[job.device],
                    record=False,
                    **conditions,
                )
            except TypeError as error:
                raise InputError(f"the job's conditions are of another version: {error}") from None
            measuring.keep = self._queue.add
            measuring.costs()
            self._open[name] = measuring
        return self._open[name]


@contextmanager
def _stopped_by_sigterm(stop: Stop) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
