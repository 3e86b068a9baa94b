"""Bulk import of tables of others: described as patterns, deduplicated, written a table at a time.

Every table is one transaction: completely there or not at all. Importing again adds nothing and
so goes on where an import was interrupted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.store.database import Database
from lydite.store.foreign.forms import Pattern
from lydite.store.foreign.tables import Table
from lydite.store.records import Software
from lydite.store.rows import ForeignRows

Progress = Callable[[int, int, str], None]
_MOST_SIZE = 1 << 40
_MOST_S = 1e5
_MOST_FLOPS = 3e16
"""No device is as fast: a row beyond it is in another unit."""
_MOST_ODD = 0.01
_CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class Found:
    """Rows of a table that a pattern describes.

    Attributes:
        pattern: Text of their operators, with names of sizes.
        sizes: Column of each size.
        milliseconds: Times.
        kernels: Name of the kernel of each row; None where the table has none.
        flops: Floating-point operations, to notice times in other units; None where not known.
    """

    pattern: Pattern
    sizes: Mapping[str, np.ndarray]
    milliseconds: np.ndarray
    kernels: np.ndarray | None = None
    flops: np.ndarray | None = None


@dataclass(frozen=True)
class Skipped:
    """Rows that no operator describes, and why."""

    reason: str
    rows: int


@dataclass(frozen=True)
class Source:
    """One table of measurements with all its versions.

    Attributes:
        table: Name of the table, for the report.
        device: Name of the device in the catalog.
        origin: Layout that it came from, such as "aiconfigurator".
        versions: For each version, newest first: the software, and a function that reads and
            describes the table.
    """

    table: str
    device: str
    origin: str
    versions: Sequence[tuple[Software, Callable[[], tuple[Table, Iterable[Found | Skipped]]]]]


@dataclass
class Counts:
    """What an import did.

    Attributes:
        read: Rows read, by table.
        added: New rows, by table of the database.
        duplicates: Rows of an operator that a newer version, or a faster kernel, has too.
        known: Rows that the database had before.
        skipped: Rows by table and reason.
        softwares: Rows added, by software and device.
        ignored: Files that were not read, by reason.
    """

    read: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    known: int = 0
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    softwares: Counter[str] = field(default_factory=Counter)
    ignored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """A layout of folders that others publish, for the registry of importers.

    Attributes:
        sources: The tables of a folder, and the number of files by reason why they are not read.
    """

    sources: Callable[[Path], tuple[list[Source], dict[str, int]]]

    def load(self, database: Database, folder: Path, progress: Progress) -> Counts:
        """Import a folder; as `load`."""
        if not folder.is_dir():
            raise InputError("is not a folder", where=str(folder), allowed="the folder of tables")
        tables, ignored = self.sources(folder)
        counts = load(database, tables, progress)
        counts.ignored = dict(sorted(ignored.items()))
        return counts


def load(database: Database, sources: Sequence[Source], progress: Progress) -> Counts:
    """Import all tables.

    Raises:
        InputError: a table is damaged, lacks a column, or is in several units; those before it
            stay imported.
    """
    counts = Counts()
    seen: dict[str, set[str]] = {}
    device = ""
    for at, source in enumerate(sorted(sources, key=lambda source: source.device)):
        progress(at, len(sources), f"{source.table}, {source.device}")
        if source.device != device:
            seen, device = {}, source.device
        _one(database, source, counts, seen)
    progress(len(sources), len(sources), "")
    return counts


def _one(database: Database, source: Source, counts: Counts, seen: dict[str, set[str]]) -> None:
    counted = Counts()
    with database.foreign_writer() as put:
        for software, read in source.versions:
            table, parts = read()
            known = seen.setdefault(_unversioned(software), set())
            counted.read[source.table] += table.rows
            for part in parts:
                if isinstance(part, Skipped):
                    counted.skipped[source.table, part.reason] += part.rows
                    continue
                for rows in _sound_rows(part, table, source, software, known, counted):
                    added = put(rows)
                    counted.added.update(added)
                    counted.known += len(rows.texts) - added["measurements"]
                    label = f"{_named(software)} on {source.device}"
                    counted.softwares[label] += added["measurements"]
    counts.read.update(counted.read)
    counts.added.update(counted.added)
    counts.skipped.update(counted.skipped)
    counts.softwares.update(counted.softwares)
    counts.duplicates += counted.duplicates
    counts.known += counted.known


def _unversioned(software: Software) -> str:
    """The software without its version; what else is said of it, such as the box, counts."""
    rest = {name: value for name, value in software.versions.items() if name != software.backend}
    return f"{software.backend} {sorted(rest.items())}"


def _named(software: Software) -> str:
    version = software.versions.get(software.backend, "")
    return f"{software.backend} {version}".strip()


def _sound_rows(
    part: Found,
    table: Table,
    source: Source,
    software: Software,
    seen: set[str],
    counts: Counts,
) -> Iterator[ForeignRows]:
    """Chunks of rows that are sound and new; the fastest row of an operator comes first."""
    kept = _sound(part, table, source, counts)
    order = kept[np.argsort(part.milliseconds[kept], kind="stable")]
    kernels = None if part.kernels is None else part.kernels[order]
    seconds = part.milliseconds[order] * 1e-3
    sizes = {name: part.sizes[name][order].astype(np.int64) for name in part.pattern.names}
    for start in range(0, len(order), _CHUNK):
        piece = slice(start, start + _CHUNK)
        texts = part.pattern.texts({name: column[piece] for name, column in sizes.items()})
        places: list[int] = []
        digests: list[str] = []
        for at, text in enumerate(texts):
            digest = hashlib.sha256(text.encode()).hexdigest()[:32]
            if digest in seen:
                continue
            seen.add(digest)
            places.append(at)
            digests.append(digest)
        counts.duplicates += len(texts) - len(places)
        if places:
            key = part.pattern.key
            yield ForeignRows(
                source.device,
                software,
                source.origin,
                key.domain,
                key.op_type,
                [texts[at] for at in places],
                digests,
                seconds[piece][places],
                None if kernels is None else kernels[piece][places].tolist(),
            )


def _sound(part: Found, table: Table, source: Source, counts: Counts) -> np.ndarray:
    """Places of the rows with a time and sizes that can be; the others are counted."""
    name, times = source.table, part.milliseconds
    timed = np.isfinite(times) & (times > 0) & (times < _MOST_S * 1e3)
    whole = np.full(len(times), fill_value=True)
    for size in set(part.pattern.names):
        column = part.sizes[size]
        whole &= (column >= 1) & (column < _MOST_SIZE) & (np.floor(column) == column)
    good = timed & whole
    for reason, bad in (
        ("the time is missing, zero, negative or longer than a day", ~timed),
        ("a size is missing, below 1 or not whole", timed & ~whole),
    ):
        if count := int(np.count_nonzero(bad)):
            counts.skipped[name, reason] += count
    if part.flops is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            odd = good & (part.flops > _MOST_FLOPS * 1e-3 * times)
        count = int(np.count_nonzero(odd))
        if count > _MOST_ODD * max(1, np.count_nonzero(good)):
            raise InputError(
                f"{count} of {len(times)} rows are faster than any device",
                where=table.where,
                allowed="times in milliseconds, all of them",
            )
        if count:
            counts.skipped[name, "faster than any device: another unit?"] += count
        good &= ~odd
    return np.flatnonzero(good)
