"""What the performance database keeps: a measurement, the run it came from, the conditions it held.

A record is checked when it is made, so that nothing doubtful reaches the database: samples are
finite and not negative, a success has samples, and a failure has no time at all (never 0).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.opkey import OpKey

SCOPES = ("isolated", "in_graph", "model")
CACHES = ("hot", "rotated", "cold")
STATUSES = ("ok", "crash", "timeout", "out_of_memory", "error", "skipped")
RUN_STATUSES = ("running", "done", "failed", "interrupted")

_set = object.__setattr__
_MAX_THREADS = 2**31 - 1
_CANONICAL_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what an operator was timed.

    Attributes:
        threads: threads that the backend may use for one operator.
        cache: whether the inputs lay in the caches: "hot", "rotated" through buffers, or "cold".
        scope: alone ("isolated"), read from the profile of a whole run ("in_graph"), or a whole
            "model".
    """

    threads: int = 1
    cache: str = "hot"
    scope: str = "isolated"

    def __post_init__(self) -> None:
        if type(self.threads) is not int or not 1 <= self.threads <= _MAX_THREADS:
            raise InputError(f"threads is {self.threads!r}", allowed=f"1 to {_MAX_THREADS}")
        _one_of("cache", self.cache, CACHES)
        _one_of("scope", self.scope, SCOPES)


@dataclass(frozen=True, slots=True)
class Software:
    """Who ran the operator: the backend, and the version of every package that mattered."""

    backend: str
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _text("backend", self.backend)
        if not isinstance(self.versions, Mapping):
            raise InputError(f"versions is {self.versions!r}", allowed="package names to versions")
        for package, version in self.versions.items():
            _text("versions", package)
            _text(f"version of {package}", version)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that stand for backend and versions."""
        return _digest(canonical_json([self.backend, self.versions], "versions"))

    def __hash__(self) -> int:
        return hash((self.backend, frozenset(self.versions.items())))


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One timing of one operator, with its raw samples. Equal when every field is.

    Attributes:
        key: the operator.
        device, software, conditions: where, by whom and under what it ran.
        samples_s: seconds of each repetition, float64, read-only.
        status: "ok", or why there is no time: "crash", "timeout", "out_of_memory", "error",
            "skipped".
        error: what the failure said.
        energy_j: joules for one repetition; None when not measured.
        environment: JSON values recorded beside the samples (load average, clocks, warnings).
        measured_at: UTC, as `utc_now` prints it; another ISO 8601 form with an offset is converted.
        run: id of the run it belongs to.
        source: "measured", or where it was imported from.

    Raises:
        InputError: samples negative or not finite, a success without samples, a field of the wrong
            kind.
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
    measured_at: str = field(default_factory=lambda: utc_now())
    run: str | None = None
    source: str = "measured"

    def __post_init__(self) -> None:
        _text("device", self.device)
        _text("op_type", self.key.op_type)
        _text("domain", self.key.domain, empty=True)
        _sound(self.key)
        _text("source", self.source)
        _one_of("status", self.status, STATUSES)
        if not isinstance(self.error, str):
            raise InputError(f"error is {self.error!r}", allowed="text")
        if not isinstance(self.environment, Mapping):
            raise InputError(f"environment is {self.environment!r}", allowed="names to values")
        if self.run is not None:
            _text("run", self.run)
        _set(self, "error", _printable(self.error))
        _set(self, "energy_j", _joules(self.energy_j))
        _set(self, "measured_at", parse_utc(self.measured_at))
        _set(self, "samples_s", _samples(self.samples_s))
        if self.status == "ok" and not self.samples_s.size:
            raise InputError(
                "a measurement with status 'ok' has no samples",
                allowed="samples, or a status that says why there are none",
            )

    @classmethod
    def trusted(cls, values: tuple[Any, ...]) -> Measurement:
        """A measurement from all its fields in order, unchecked: they were when written."""
        item = object.__new__(cls)
        for put, value in zip(_put_field, values, strict=True):
            put(item, value)
        return item

    def quantiles_s(self) -> tuple[float, float, float]:
        """5th percentile, median and 95th percentile in seconds; NaN unless the status is "ok"."""
        if self.status != "ok":
            return math.nan, math.nan, math.nan
        ranked = np.sort(self.samples_s).tolist()
        return _rank(ranked, 0.05), _rank(ranked, 0.5), _rank(ranked, 0.95)

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
        """32 hexadecimal digits that stand for the whole content.

        Raises:
            InputError: the environment holds something that is no JSON value.
        """
        environment = canonical_json(self.environment, "environment")
        return self.content_id(environment, self.software.digest, self.samples_bytes())

    def samples_bytes(self) -> bytes:
        """The samples as little-endian float64."""
        return self.samples_s.astype("<f8", copy=False).tobytes()

    def content_id(self, environment_json: str, software_digest: str, samples: bytes) -> str:
        """`id`, for a caller that already has the parts that take time."""
        conditions = self.conditions
        # No part can hold a NUL, so that different parts never join to the same text.
        head = "\0".join(
            (self.key.digest, self.device, software_digest, str(conditions.threads),
             conditions.cache, conditions.scope, self.status, self.error, repr(self.energy_j),
             environment_json, self.measured_at, self.run or "", self.source)
        )  # fmt: skip
        return _digest(head, samples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measurement) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


# Reading a database makes many; this takes a tenth of the time of the checks.
_put_field = tuple(getattr(Measurement, name).__set__ for name in Measurement.__slots__)


@dataclass(frozen=True, slots=True)
class Run:
    """One command that took long enough to be kept.

    Attributes:
        id: a UUID.
        command: such as "profile".
        arguments: what it was given, as JSON values.
        started_at, finished_at: UTC as `utc_now` prints it; finished_at is None while it runs.
        status: "running", "done", "failed" or "interrupted".
        result: its JSON document; None while it runs.
    """

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started_at: str = field(default_factory=lambda: utc_now())
    finished_at: str | None = None
    status: str = "running"
    result: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _text("id", self.id)
        _text("command", self.command)
        _one_of("status", self.status, RUN_STATUSES)
        for name in ("arguments", "result"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) and not (name == "result" and value is None):
                raise InputError(f"{name} is {value!r}", allowed="names to values")
        _set(self, "started_at", parse_utc(self.started_at))
        if self.finished_at is not None:
            _set(self, "finished_at", parse_utc(self.finished_at))


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that measurements name, with its specification as JSON values where known."""

    name: str
    spec: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _text("device", self.name)
        if self.spec is not None and not isinstance(self.spec, Mapping):
            raise InputError(f"spec is {self.spec!r}", allowed="names to values")


def utc_now() -> str:
    """The present moment, to the microsecond: "2025-11-22T04:30:00.000000Z"."""
    return _utc_text(datetime.now(UTC))


def parse_utc(text: str) -> str:
    """An ISO 8601 moment with an offset, in the one form that sorts as text.

    Raises:
        InputError: not such a moment.
    """
    try:
        moment = datetime.fromisoformat(text)
        if _CANONICAL_UTC.fullmatch(text):
            return text
        if moment.tzinfo is not None:
            return _utc_text(moment.astimezone(UTC))
    except (ValueError, TypeError, OverflowError):
        pass
    raise InputError(
        f"{text!r} is not a moment with a time zone", allowed="such as 2025-11-22T04:30:00Z"
    )


def canonical_json(value: object, what: str) -> str:
    """JSON text with sorted keys, in ASCII, so that equal values have equal texts.

    Raises:
        InputError: a value that JSON does not have, such as NaN or an array.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{what} cannot be kept as JSON: {error}", allowed="text, finite numbers, lists, null"
        ) from error


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _utc_text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _digest(text: str, data: bytes = b"") -> str:
    return hashlib.sha256(text.encode() + b"\0" + data).hexdigest()[:32]


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}", allowed=", ".join(allowed))


def _text(name: str, value: object, *, empty: bool = False) -> None:
    """Refuse what PostgreSQL could not keep (NUL) or what has no UTF-8 form (half surrogates)."""
    good = isinstance(value, str) and "\0" not in value and value == _printable(value)
    if not good or not (value or empty):
        raise InputError(f"{name} is {value!r}", allowed="text" if empty else "text, not empty")


def _sound(key: OpKey) -> None:
    try:
        _ = key.digest
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the operator key has no text: {error}") from error


def _printable(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _joules(value: float | None) -> float | None:
    if value is None:
        return None
    try:
        joules = float(value)
    except (TypeError, ValueError, OverflowError):
        joules = math.nan
    if isinstance(value, (bool, str)) or not 0 <= joules < math.inf:
        raise InputError(f"energy_j is {value!r}", allowed="finite joules >= 0, or nothing")
    return joules


def _samples(values: object) -> np.ndarray:
    try:
        samples = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"samples_s are not numbers: {error}") from error
    # NaN fails both comparisons, as it should.
    if samples.ndim != 1 or (samples.size and not (samples.min() >= 0 and samples.max() < np.inf)):
        raise InputError(
            "samples_s holds a negative or non-finite number, or is no list",
            allowed="finite seconds >= 0",
        )
    samples.setflags(write=False)
    return samples


def _rank(ranked: list[float], share: float) -> float:
    """`numpy.quantile` of sorted samples, which for one short array costs 50 times as much."""
    place = (len(ranked) - 1) * share
    below = int(place)
    low = ranked[below]
    return low + (place - below) * (ranked[min(below + 1, len(ranked) - 1)] - low)
