"""Measurements of a run, of a device or of an operator type, and one with its raw samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, or_, select, tuple_

from lydite.api.dashboard.paging import PAGE_ROWS, Page, cut, split_key
from lydite.api.dashboard.reader import NoSuchRecord, Reader
from lydite.errors import InputError
from lydite.opkey import OpKey
from lydite.records import dataclass
from lydite.store import schema

_m, _o, _s = schema.measurements.c, schema.ops.c, schema.softwares.c


@dataclass(frozen=True, slots=True)
class Selection:
    """Which measurements to list; "" or None matches all.

    Attributes:
        run: Id of a run; pages go by the measurement's id.
        device: Name of a device.
        op_type, domain: Type of an operator on the device, and its domain; pages go by operator.
        op: Digest of an operator's key.
        status: "ok", or how a measurement failed.
    """

    run: str = ""
    device: str = ""
    op_type: str = ""
    domain: str | None = None
    op: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementLine:
    """A measurement without samples; times in seconds, None for a failure.

    Attributes:
        id, run: Ids of the measurement and of its run.
        operator: Operator type with its domain.
        shapes: Types of the inputs, as text.
        device, backend, threads, cache, scope: What ran it, and how.
        status, error: "ok", or how it failed.
        n_samples: Number of samples.
        median_s, low_s, high_s: Median, 5th and 95th percentile.
        measured_at: Time in UTC.
    """

    id: str
    run: str | None
    operator: str
    shapes: str
    device: str
    backend: str
    threads: int
    cache: str
    scope: str
    status: str
    error: str
    n_samples: int
    median_s: float | None
    low_s: float | None
    high_s: float | None
    measured_at: str


@dataclass(frozen=True, slots=True)
class MeasurementDetail:
    """A measurement with all that was recorded.

    Attributes:
        line: The measurement.
        op: Digest of the operator's key.
        attrs: Attributes of the operator that are not at their default.
        inputs, outputs: Their types, as text.
        samples_s: Samples in seconds, in the order of measuring.
        versions: Version by package.
        environment: What was recorded beside the samples.
        energy_j: Energy of one repetition in joules; None if not measured.
        source: "measured", or where it was imported from.
    """

    line: MeasurementLine
    op: str
    attrs: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    samples_s: np.ndarray
    versions: Mapping[str, str]
    environment: Mapping[str, Any]
    energy_j: float | None
    source: str


_LINE = (
    _m.id,
    _m.run,
    _m.op,
    _m.device,
    _m.threads,
    _m.cache,
    _m.scope,
    _m.status,
    _m.error,
    _m.n_samples,
    _m.median_s,
    _m.low_s,
    _m.high_s,
    _m.measured_at,
    _o.text,
    _s.backend,
)
_JOINED = schema.measurements.join(schema.ops).join(schema.softwares)


def measurements(
    reader: Reader,
    chosen: Selection,
    *,
    after: str | None = None,
    limit: int = PAGE_ROWS,
) -> Page[MeasurementLine]:
    """Measurements by key: of a run by id, of a device by operator, else the newest first.

    Raises:
        InputError: `after` is no key of such a page, or an operator type is given without a device.
    """
    if chosen.op_type and not chosen.device:
        raise InputError("an operator type is given without a device", allowed="device and op_type")
    query = select(*_LINE).select_from(_JOINED).where(*_conditions(chosen)).limit(limit + 1)
    if chosen.run:
        order: tuple[Any, ...] = (_m.id,)
        place = split_key(after, 1)
        if place is not None:
            query = query.where(_m.id > place[0])
    elif chosen.device or chosen.op:
        order = (_m.op, _m.id)
        place = split_key(after, 2)
        if place is not None:
            query = query.where(_m.op >= place[0], tuple_(_m.op, _m.id) > tuple_(*place))
    else:
        order = (_m.measured_at.desc(), _m.id)
        place = split_key(after, 2)
        if place is not None:
            moment, identity = place
            same = and_(_m.measured_at == moment, _m.id > identity)
            query = query.where(_m.measured_at <= moment, or_(_m.measured_at < moment, same))
    with reader.reading() as connection:
        found = connection.execute(query.order_by(*order)).all()

    def key(row: Any) -> str:
        if chosen.run:
            return row.id
        return f"{row.op if chosen.device or chosen.op else row.measured_at}~{row.id}"

    page = cut(found, limit, key)
    return Page([_line(row) for row in page.rows], page.after)


def _conditions(chosen: Selection) -> list[ColumnElement[bool]]:
    made: list[ColumnElement[bool]] = []
    for name in ("run", "device", "op", "status"):
        value = getattr(chosen, name)
        if value:
            made.append(_m[name] == value)
    if chosen.op_type:
        of_type = select(_o.digest).where(_o.op_type == chosen.op_type)
        if chosen.domain is not None:
            of_type = of_type.where(_o.domain == chosen.domain)
        made.append(_m.op.in_(of_type))
    return made


def new_measurements(
    reader: Reader, run: str, known: Set[str], limit: int = PAGE_ROWS
) -> list[MeasurementLine]:
    """Measurements of a run whose ids are not among the known ones, oldest first."""
    with reader.reading() as connection:
        ids = connection.execute(select(_m.id).where(_m.run == run)).scalars()
        fresh = [identity for identity in ids if identity not in known][:limit]
        query = select(*_LINE).select_from(_JOINED).where(_m.id.in_(fresh))
        return [_line(row) for row in connection.execute(query.order_by(_m.measured_at, _m.id))]


def measured_until(reader: Reader, run: str, moment: str) -> set[str]:
    """Ids of a run's measurements up to a time in UTC; none if it is ""."""
    query = select(_m.id).where(_m.run == run, _m.measured_at <= moment)
    with reader.reading() as connection:
        return set(connection.execute(query).scalars())


def measurement(reader: Reader, identity: str) -> MeasurementDetail:
    """One measurement with its raw samples.

    Raises:
        NoSuchRecord: the database has no measurement of this id.
    """
    more = (_m.samples, _m.energy_j, _m.environment, _m.source, _s.versions)
    query = select(*_LINE, *more).select_from(_JOINED).where(_m.id == identity)
    with reader.reading() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NoSuchRecord(f"no measurement '{identity}'", where=reader.where)
    key = OpKey.parse(row.text)
    return MeasurementDetail(
        _line(row),
        row.op,
        key.attrs,
        tuple(map(str, key.inputs)),
        tuple(map(str, key.outputs)),
        np.frombuffer(row.samples, dtype="<f8"),
        json.loads(row.versions),
        json.loads(row.environment),
        row.energy_j,
        row.source,
    )


def named(text: str) -> tuple[str, str]:
    """Type of an operator with its domain, and the types of its inputs, from its key's text."""
    record = json.loads(text)
    domain, op_type = record["domain"], record["op"]
    inputs = ", ".join(map(str, record["inputs"]))
    return f"{domain}:{op_type}" if domain else op_type, inputs


def _line(row: Any) -> MeasurementLine:
    return MeasurementLine(
        row.id,
        row.run,
        *named(row.text),
        row.device,
        row.backend,
        row.threads,
        row.cache,
        row.scope,
        row.status,
        row.error,
        row.n_samples,
        row.median_s,
        row.low_s,
        row.high_s,
        row.measured_at,
    )
