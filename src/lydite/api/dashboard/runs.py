"""Runs of a database, and one of them with its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from lydite.api.dashboard.paging import PAGE_ROWS, Page, cut, split_key
from lydite.api.dashboard.reader import NoSuchRecord, Reader, one_value
from lydite.api.measuring import PROCESS, was_killed
from lydite.api.runs import recorded_as, verb_of
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.store import schema, seconds_between

MOST_RESULT_BYTES = 32_000_000
_r = schema.runs.c


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run without its result.

    Attributes:
        id, command: Which run, and of which command.
        arguments: Arguments of the command, as JSON values.
        started_at, finished_at: Times in UTC; None while it runs.
        status: "running", "done", "failed", "interrupted"; or "killed" if its process is gone.
        duration_s: Seconds from start to end by the verb's clock; None while it runs, or where
            nobody knows.
    """

    id: str
    command: str
    arguments: Mapping[str, Any]
    started_at: str
    finished_at: str | None
    status: str
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its result.

    Attributes:
        line: The run.
        result: Document of the result; None while it runs, or if it is larger than 32 MB.
        result_bytes: Size of the document as text; 0 without one.
    """

    line: RunLine
    result: Any
    result_bytes: int


_LINE = (_r.id, _r.command, _r.arguments, _r.started_at, _r.finished_at, _r.status)


def runs(
    reader: Reader,
    *,
    command: str | None = None,
    status: str | None = None,
    after: str | None = None,
    limit: int = PAGE_ROWS,
) -> Page[RunLine]:
    """Runs, newest first.

    Args:
        reader: Database.
        command, status: Only runs of this command or status as recorded; None for all.
        after: `Page.after` of the page before; None for the first.
        limit: Number of runs of a page.

    Raises:
        InputError: `after` is no such key.
    """
    place = split_key(after, 2)
    query = select(*_LINE).order_by(_r.started_at.desc(), _r.id).limit(limit + 1)
    if place is not None:
        started, identity = place
        behind = or_(_r.started_at < started, and_(_r.started_at == started, _r.id > identity))
        # The bound alone lets the database start in the index.
        query = query.where(_r.started_at <= started, behind)
    if command:
        query = query.where(_r.command.in_(recorded_as(verb_of(command))))
    if status:
        query = query.where(_r.status == status)
    with reader.reading() as connection:
        found = [_line(row) for row in connection.execute(query)]
    return cut(found, limit, lambda line: f"{line.started_at}~{line.id}")


def running(reader: Reader, limit: int = PAGE_ROWS) -> Sequence[RunLine]:
    """Runs that have not ended, newest first; those whose process is gone are among them."""
    return runs(reader, status="running", limit=limit).rows


def run(reader: Reader, identity: str) -> RunDetail:
    """One run.

    Raises:
        NoSuchRecord: the database has no run of this id.
    """
    with reader.reading() as connection:
        size = func.coalesce(func.length(_r.result), 0)
        row = connection.execute(
            select(*_LINE, size.label("size")).where(_r.id == identity)
        ).first()
        text = None
        if row is not None and 0 < row.size <= MOST_RESULT_BYTES:
            text = one_value(connection, _r.result, _r.id == identity)
    if row is None:
        raise NoSuchRecord(f"no run '{identity}'", where=reader.where, hint="was it deleted?")
    return RunDetail(_line(row), None if text is None else json.loads(text), row.size)


def whole_id(reader: Reader, beginning: str) -> str:
    """The id of the only run whose id begins so.

    Raises:
        NoSuchRecord: there is none.
        InputError: there are several.
    """
    with reader.reading() as connection:
        begins = func.substr(_r.id, 1, len(beginning)) == beginning
        found = list(connection.execute(select(_r.id).where(begins).limit(9)).scalars())
    if not found or not beginning:
        raise NoSuchRecord(f"no run '{beginning}'", where=reader.where, hint="see: lydite runs")
    if len(found) > 1 and beginning not in found:
        raise InputError(f"'{beginning}' begins several runs", allowed=", ".join(found))
    return beginning if beginning in found else found[0]


def kind_of(reader: Reader, identity: str) -> str | None:
    """What an id is the id of: "run", "measurement", "operator", "device"; None if of nothing."""
    columns: dict[str, ColumnElement[Any]] = {
        "run": _r.id,
        "measurement": schema.measurements.c.id,
        "operator": schema.ops.c.digest,
        "device": schema.devices.c.name,
    }
    with reader.reading() as connection:
        for kind, column in columns.items():
            if one_value(connection, column, column == identity) is not None:
                return kind
    return None


def _line(row: Any) -> RunLine:
    arguments = json.loads(row.arguments)
    killed = row.status == "running" and was_killed(arguments.get(PROCESS))
    return RunLine(
        row.id,
        verb_of(row.command),
        {name: value for name, value in arguments.items() if name != PROCESS},
        row.started_at,
        row.finished_at,
        "killed" if killed else row.status,
        seconds_between(row.started_at, row.finished_at),
    )
