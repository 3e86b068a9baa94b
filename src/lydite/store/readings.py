"""Measurements as estimators read them, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, Required, TypedDict, Unpack

from lydite.opkey import OpKey
from lydite.store.records import DeviceRecord, Measurement, Run, Software

FOREIGN = "imported:"
"""What the source of rows begins with that others measured."""


class Filters(TypedDict, total=False):
    """Conditions of a query; one that is left out or None matches everything."""

    device: str | None
    backend: str | None
    op_type: str | None
    domain: str | None
    threads: int | None
    scope: str | None
    cache: str | None
    status: str | None
    source: str | None
    run: str | None


class Wanted(TypedDict, total=False):
    """Which measurements of an operator are wanted; None matches everything.

    Unless they are given, `scope` is "isolated", `status` is "ok", and the others are None.
    """

    device: Required[str]
    backend: str | None
    threads: int | None
    scope: str | None
    cache: str | None
    status: str | None


def usually(wanted: Wanted) -> Wanted:
    """The conditions, with those that were not given."""
    return {"scope": "isolated", "status": "ok", **wanted}


class Readings(Protocol):
    """What a database answers to estimators; see `lydite.store.Database` for each method."""

    def device(self, name: str) -> DeviceRecord | None:
        """The device of this name; None without one."""
        ...

    def lookup(
        self, keys: Sequence[OpKey], **wanted: Unpack[Wanted]
    ) -> dict[str, list[Measurement]]:
        """Measurements of exactly these operators, newest first, by digest."""
        ...

    def rows_for(
        self, op_types: Sequence[tuple[str, str]], **wanted: Unpack[Wanted]
    ) -> list[Measurement]:
        """All measurements of operators of these pairs of domain and type, newest first."""
        ...

    def foreign_softwares(self, device: str) -> list[tuple[Software, str]]:
        """What ran the operators that others measured on a device, and whose they are."""
        ...

    def foreign_times(
        self, software: Software, *, device: str, begins: Sequence[tuple[str, str, str]]
    ) -> list[tuple[str, float]]:
        """Text and median in seconds of operators, as others measured them."""
        ...

    def query(
        self, *, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Measurement]:
        """Measurements that match the filters, newest first."""
        ...


def moment(item: Measurement) -> str:
    """When a measurement was made, by which they are ordered."""
    return item.measured_at


class Table:
    """Measurements in memory, which answer as a database with these rows would.

    Args:
        items: Measurements and devices; runs are passed over.
    """

    def __init__(self, items: Iterable[Measurement | Run | DeviceRecord] = ()) -> None:
        self._rows: list[Measurement] = []
        self._devices: dict[str, DeviceRecord] = {}
        for item in items:
            if isinstance(item, Measurement):
                self._rows.append(item)
                self._devices.setdefault(item.device, DeviceRecord(item.device, None))
            elif isinstance(item, DeviceRecord):
                self._devices[item.name] = item
        self._rows.sort(key=moment, reverse=True)

    def device(self, name: str) -> DeviceRecord | None:
        """A device of this name; None without one."""
        return self._devices.get(name)

    def lookup(
        self, keys: Sequence[OpKey], **wanted: Unpack[Wanted]
    ) -> dict[str, list[Measurement]]:
        """As `Database.lookup`."""
        digests = {key.digest for key in keys}
        found: dict[str, list[Measurement]] = {}
        for row in self.query(**usually(wanted)):
            if row.key.digest in digests:
                found.setdefault(row.key.digest, []).append(row)
        return found

    def rows_for(
        self, op_types: Sequence[tuple[str, str]], **wanted: Unpack[Wanted]
    ) -> list[Measurement]:
        """As `Database.rows_for`."""
        rows = self.query(**usually(wanted))
        return [row for row in rows if (row.key.domain, row.key.op_type) in set(op_types)]

    def foreign_softwares(self, device: str) -> list[tuple[Software, str]]:
        """As `Database.foreign_softwares`."""
        rows = (row for row in self.query(device=device) if row.source.startswith(FOREIGN))
        found = {row.software.digest: (row.software, row.source) for row in rows}
        return [(made, whose.removeprefix(FOREIGN)) for _, (made, whose) in sorted(found.items())]

    def foreign_times(
        self, software: Software, *, device: str, begins: Sequence[tuple[str, str, str]]
    ) -> list[tuple[str, float]]:
        """As `Database.foreign_times`."""
        rows = self.query(device=device, scope="isolated", status="ok")
        texts = [(row.key, row.key.text, row.median_s) for row in rows if row.software == software]
        return [
            (text, seconds)
            for key, text, seconds in texts
            if any(
                (key.domain, key.op_type) == (domain, op_type) and text.startswith(begin)
                for domain, op_type, begin in begins
            )
        ]

    def query(
        self, *, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Measurement]:
        """As `Database.query`."""
        wanted = [(name, value) for name, value in filters.items() if value is not None]
        found = (row for row in self._rows if all(_VALUE[n](row) == v for n, v in wanted))
        for number, row in enumerate(found):
            if limit is not None and number >= limit:
                return
            yield row


_VALUE = {
    "device": lambda row: row.device,
    "backend": lambda row: row.software.backend,
    "op_type": lambda row: row.key.op_type,
    "domain": lambda row: row.key.domain,
    "threads": lambda row: row.conditions.threads,
    "scope": lambda row: row.conditions.scope,
    "cache": lambda row: row.conditions.cache,
    "status": lambda row: row.status,
    "source": lambda row: row.source,
    "run": lambda row: row.run,
}
