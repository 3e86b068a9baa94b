"""Conversion between records and table rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Row

from lydite.errors import InputError, StoreError
from lydite.opkey import OpKey
from lydite.records import dataclass
from lydite.store import schema
from lydite.store.readings import FOREIGN
from lydite.store.records import (
    Conditions,
    DeviceRecord,
    Measurement,
    Run,
    Software,
    parse_key,
)
from lydite.store.values import canonical_json
from lydite.store.values import digest as content_digest

_m = schema.measurements.c

MEASUREMENT_COLUMNS: tuple[ColumnElement[Any], ...] = (
    _m.op,
    _m.device,
    _m.software,
    _m.threads,
    _m.cache,
    _m.scope,
    _m.status,
    _m.error,
    _m.samples,
    _m.energy_j,
    _m.environment,
    _m.measured_at,
    _m.run,
    _m.source,
)
"""What `Decoder.measurements` reads, in its order."""

_ENVIRONMENT = 10


def op_row(key: OpKey) -> tuple[str, ...]:
    """The row of an operator, in the order of the columns."""
    return key.digest, key.domain, key.op_type, key.text


_UNKNOWN_MOMENT = "1970-01-01T00:00:00.000000Z"


@dataclass(frozen=True, eq=False)
class ForeignRows:
    """Times of others for operators of one type on one device: medians, without samples or moment.

    Attributes:
        device: Name of the device.
        software: What ran the operators.
        origin: Whose measurements they are, such as "aiconfigurator".
        domain, op_type: Type of all operators.
        texts, digests: Text of each operator's key, and its digest.
        seconds: Median of each.
        kernels: Name of each one's kernel; None where it is not known.
    """

    device: str
    software: Software
    origin: str
    domain: str
    op_type: str
    texts: Sequence[str]
    digests: Sequence[str]
    seconds: np.ndarray
    kernels: Sequence[str] | None = None

    @property
    def op_rows(self) -> list[tuple[Any, ...]]:
        """Rows of the operators."""
        domain, op_type = self.domain, self.op_type
        return [
            (digest, domain, op_type, text)
            for digest, text in zip(self.digests, self.texts, strict=True)
        ]

    @property
    def measurement_rows(self) -> list[tuple[Any, ...]]:
        """Rows of the measurements, as `batch.measurement_rows` would make them, but faster."""
        device, software, source = self.device, self.software.digest, f"{FOREIGN}{self.origin}"
        environments = {
            name: canonical_json({"kernel": name} if name else {}, "environment")
            for name in set(self.kernels or ("",))
        }
        # device, software, run, scope, threads, cache, status, error, number of samples
        fixed = (device, software, None, "isolated", 1, "hot", "ok", "", 1)
        middle = f"\0{device}\0{software}\0001\0hot\0isolated\0ok\0\0None\0"
        end = f"\0{_UNKNOWN_MOMENT}\0\0{source}"
        samples = np.ascontiguousarray(self.seconds, "<f8").tobytes()
        made: list[tuple[Any, ...]] = []
        for at, (digest, seconds) in enumerate(
            zip(self.digests, self.seconds.tolist(), strict=True)
        ):
            environment = environments[self.kernels[at] if self.kernels else ""]
            sample = samples[8 * at : 8 * at + 8]
            identity = content_digest(f"{digest}{middle}{environment}{end}", sample)
            values = (seconds, seconds, seconds, sample, None, source, environment)
            made.append((identity, digest, *fixed, *values, _UNKNOWN_MOMENT))
        return made


def software_row(item: Software) -> dict[str, Any]:
    """The row of a backend and its versions."""
    versions = canonical_json(item.versions, "versions")
    return {"digest": item.digest, "backend": item.backend, "versions": versions}


def device_row(item: DeviceRecord) -> dict[str, Any]:
    """The row of a device."""
    return {
        "name": item.name,
        "spec": None if item.spec is None else canonical_json(item.spec, "spec"),
    }


def run_row(item: Run) -> dict[str, Any]:
    """The row of a run."""
    return {
        "id": item.id,
        "command": item.command,
        "arguments": canonical_json(item.arguments, "arguments"),
        "started_at": item.started_at,
        "finished_at": item.finished_at,
        "status": item.status,
        "result": None if item.result is None else canonical_json(item.result, "result"),
    }


class RowDecoder:
    """Converts rows to records, many at a time; an operator that rows share is parsed once.

    Args:
        softwares: Backend and versions by digest, for all that the rows may name.
        keys: Known operators by digest, whose text need not be parsed.
    """

    def __init__(
        self, softwares: Mapping[str, Software], keys: Mapping[str, OpKey] | None = None
    ) -> None:
        self._softwares = softwares
        self._keys = dict(keys or {})
        self._conditions: dict[tuple[int, str, str], Conditions] = {}

    def measurements(self, rows: Sequence[Sequence[Any]]) -> Iterator[Measurement]:
        """The measurements in rows of MEASUREMENT_COLUMNS.

        An unknown operator is read from its text, which is then an additional last column.

        Raises:
            LookupError, TypeError, ValueError, InputError: a row is damaged.
        """
        # Parsing all environments as one text takes a third of the time of one by one.
        environments = json.loads(f"[{','.join([row[_ENVIRONMENT] for row in rows])}]")
        for row, environment in zip(rows, environments, strict=True):
            (
                op,
                device,
                software,
                threads,
                cache,
                scope,
                status,
                error,
                samples,
                energy_j,
                _,
                measured_at,
                run,
                source,
                *text,
            ) = row
            key = self._keys.get(op)
            if key is None:
                key = self._keys[op] = parse_key(text[0])
            held = (threads, cache, scope)
            conditions = self._conditions.get(held)
            if conditions is None:
                conditions = self._conditions[held] = Conditions(*held)
            yield Measurement.trusted(
                (
                    key,
                    device,
                    self._softwares[software],
                    conditions,
                    np.frombuffer(samples, dtype="<f8"),
                    status,
                    error,
                    energy_j,
                    environment,
                    measured_at,
                    run,
                    source,
                )
            )


def read_software(backend: str, versions: str) -> Software:
    """The backend and versions in a row."""
    return Software(backend, json.loads(versions))


def read_device(name: str, spec: str | None) -> DeviceRecord:
    """The device in a row."""
    return DeviceRecord(name, None if spec is None else json.loads(spec))


def read_run(row: Row[Any]) -> Run:
    """The run in a row of the whole table."""
    return Run(
        id=row.id,
        command=row.command,
        arguments=json.loads(row.arguments),
        started_at=row.started_at,
        finished_at=row.finished_at,
        status=row.status,
        result=None if row.result is None else json.loads(row.result),
    )


@contextmanager
def sound_rows(where: str) -> Iterator[None]:
    """Report a row that cannot be decoded as damage to the database at `where`."""
    try:
        yield
    except (InputError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise StoreError(
            f"holds a damaged row: {error}",
            where=where,
            hint="restore a copy, or import an export",
        ) from error
