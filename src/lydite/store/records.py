"""Records of the performance database: measurements, their conditions, software, runs and devices.

Records are validated on construction, so nothing invalid reaches the database: samples are finite
and not negative, a success has samples, and a failure has no time at all (never 0).
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.opkey import OpKey
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.store import values

SCOPES = ("isolated", "in_graph", "model")
CACHES = ("hot", "rotated", "cold")
STATUSES = ("ok", "crash", "timeout", "out_of_memory", "error", "skipped")
RUN_STATUSES = ("running", "done", "failed", "interrupted")

_set = object.__setattr__
_MAX_THREADS = 2**31 - 1
_FEW = 100
"""Samples that Python sorts faster than NumPy, which has to be called."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions under which an operator was timed.

    Attributes:
        threads: Number of threads that the backend may use for one operator.
        cache: State of the processor's caches: "hot", "rotated" through several buffers, or "cold".
        scope: What was timed: one operator alone ("isolated"), an operator within the profile of a
            whole run ("in_graph"), or a whole "model".
    """

    threads: int = 1
    cache: str = "hot"
    scope: str = "isolated"

    def __post_init__(self) -> None:
        if type(self.threads) is not int or not 1 <= self.threads <= _MAX_THREADS:
            raise InputError(f"threads is {self.threads!r}", allowed=f"1 to {_MAX_THREADS}")
        values.one_of("cache", self.cache, CACHES)
        values.one_of("scope", self.scope, SCOPES)


@dataclass(frozen=True, slots=True)
class Software:
    """Software that ran the operator: the backend, and the versions of the packages involved."""

    backend: str
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values.check_text("backend", self.backend)
        if not isinstance(self.versions, Mapping):
            raise InputError(f"versions is {self.versions!r}", allowed="package names to versions")
        for package, version in self.versions.items():
            values.check_text("versions", package)
            values.check_text(f"version of {package}", version)

    @property
    def digest(self) -> str:
        """Digest of the backend and versions: 32 hexadecimal digits."""
        return values.digest(values.canonical_json([self.backend, self.versions], "versions"))

    def __hash__(self) -> int:
        return hash((self.backend, frozenset(self.versions.items())))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Measurement(OneLine):
    """One timing of one operator, with its raw samples. Equal when every field is.

    Attributes:
        key: Key of the operator.
        device: Name of the device that it ran on.
        software: Backend and package versions that ran it.
        conditions: Threads, cache state and scope of the timing.
        samples_s: Time of each repetition in seconds, float64, read-only.
        status: "ok", or why there is no time: "crash", "timeout", "out_of_memory", "error",
            "skipped".
        error: Message of the failure.
        energy_j: Energy of one repetition in joules; None when not measured.
        environment: JSON values recorded with the samples (load average, clocks, warnings).
        measured_at: Time of the measurement in UTC, as `utc_now` prints it; another ISO 8601 form
            with an offset is converted.
        run: Id of the run that it belongs to.
        source: "measured", or the origin of an import.

    Raises:
        InputError: samples are negative or not finite, a success has no samples, or a field has the
            wrong type.
    """

    key: OpKey
    device: str
    software: Software
    conditions: Conditions
    samples_s: np.ndarray
    status: str = "ok"
    error: str = ""
    energy_j: float | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    measured_at: str = field(default_factory=values.utc_now)
    run: str | None = None
    source: str = "measured"

    def __post_init__(self) -> None:
        values.check_text("device", self.device)
        values.check_text("op_type", self.key.op_type)
        values.check_text("domain", self.key.domain, empty=True)
        _sound(self.key)
        values.check_text("source", self.source)
        values.one_of("status", self.status, STATUSES)
        if not isinstance(self.error, str):
            raise InputError(f"error is {self.error!r}", allowed="text")
        if not isinstance(self.environment, Mapping):
            raise InputError(
                f"environment is {self.environment!r}", allowed="an object of names and values"
            )
        if self.run is not None:
            values.check_text("run", self.run)
        _set(self, "error", values.printable(self.error))
        _set(self, "energy_j", values.joules(self.energy_j))
        _set(self, "measured_at", values.parse_utc(self.measured_at))
        _set(self, "samples_s", values.samples(self.samples_s))
        if self.status == "ok" and not self.samples_s.size:
            raise InputError(
                "a measurement with status 'ok' must have samples",
                allowed="samples, or a status that says why there are none",
            )

    @classmethod
    def trusted(cls, fields: tuple[Any, ...]) -> Measurement:
        """Build a measurement from all its fields, in order, that were checked when written."""
        item = object.__new__(cls)
        for put, value in zip(_put_field, fields, strict=True):
            put(item, value)
        return item

    def quantiles_s(self) -> tuple[float, float, float]:
        """5th percentile, median and 95th percentile in seconds; NaN unless the status is "ok"."""
        if self.status != "ok":
            return math.nan, math.nan, math.nan
        few = self.samples_s.size <= _FEW
        ranked = sorted(self.samples_s.tolist()) if few else np.sort(self.samples_s).tolist()
        return values.rank(ranked, 0.05), values.rank(ranked, 0.5), values.rank(ranked, 0.95)

    @property
    def low_s(self) -> float:
        """5th percentile of the samples in seconds; NaN for a failure."""
        return self.quantiles_s()[0]

    @property
    def median_s(self) -> float:
        """Median of the samples in seconds; NaN for a failure."""
        return self.quantiles_s()[1]

    @property
    def high_s(self) -> float:
        """95th percentile of the samples in seconds; NaN for a failure."""
        return self.quantiles_s()[2]

    @property
    def id(self) -> str:
        """Digest of the whole content: 32 hexadecimal digits.

        Raises:
            InputError: the environment holds a value that is not JSON.
        """
        environment = values.canonical_json(self.environment, "environment")
        return self.content_id(environment, self.software.digest, self.samples_bytes())

    def samples_bytes(self) -> bytes:
        """The samples as little-endian float64."""
        return self.samples_s.astype("<f8", copy=False).tobytes()

    def content_id(self, environment_json: str, software_digest: str, samples: bytes) -> str:
        """`id`, for a caller that already has the expensive parts."""
        held = self.conditions
        # No part can hold a NUL, so that different parts never join to the same text.
        head = (
            f"{self.key.digest}\0{self.device}\0{software_digest}\0{held.threads}\0{held.cache}\0"
            f"{held.scope}\0{self.status}\0{self.error}\0{self.energy_j!r}\0{environment_json}\0"
            f"{self.measured_at}\0{self.run or ''}\0{self.source}"
        )
        return values.digest(head, samples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measurement) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def headline(self) -> str:
        """Operator, device, number of samples and status, in one line."""
        samples = f"{len(self.samples_s)} samples, {self.status}"
        return f"{self.key.qualified_type} on {self.device}: {samples}"


# Reading a database creates many measurements; this takes a tenth of the time of the checks.
_put_field = tuple(getattr(Measurement, name).__set__ for name in Measurement.__slots__)


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded execution of a command.

    Attributes:
        id: UUID of the run.
        command: Name of the command, such as "profile".
        arguments: Arguments of the command, as JSON values.
        started_at: Start in UTC, as `utc_now` prints it.
        finished_at: End in UTC, likewise; None while it runs.
        status: "running", "done", "failed" or "interrupted".
        result: Result of the command as a JSON document; None while it runs.
    """

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started_at: str = field(default_factory=values.utc_now)
    finished_at: str | None = None
    status: str = "running"
    result: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        values.check_text("id", self.id)
        values.check_text("command", self.command)
        values.one_of("status", self.status, RUN_STATUSES)
        for name in ("arguments", "result"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) and not (name == "result" and value is None):
                raise InputError(f"{name} is {value!r}", allowed="names to values")
        _set(self, "started_at", values.parse_utc(self.started_at))
        if self.finished_at is not None:
            _set(self, "finished_at", values.parse_utc(self.finished_at))


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that measurements name, with its specification as JSON values where known."""

    name: str
    spec: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        values.check_text("device", self.name)
        if self.spec is not None and not isinstance(self.spec, Mapping):
            raise InputError(f"spec is {self.spec!r}", allowed="names to values")


def _sound(key: OpKey) -> None:
    try:
        _ = key.digest
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the operator key has no text: {error}") from error


def parse_key(text: str) -> OpKey:
    """Read an operator key that a file or a database holds.

    Raises:
        InputError: the text is not an operator key.
    """
    try:
        key = OpKey.parse(text)
        kinds = (
            isinstance(key.op_type, str),
            isinstance(key.domain, str),
            type(key.version) is int,
            isinstance(key.attrs, Mapping),
            all(isinstance(part, str) for part in key.fused),
        )
        if all(kinds) and key.digest:
            return key
    except (TypeError, ValueError, AttributeError, RecursionError):
        pass
    raise InputError(f"not an operator key: {text[:80]!r}")
