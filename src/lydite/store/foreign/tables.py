"""Tables of others as columns: CSV, gzipped CSV and Parquet, read within limits.

The files are untrusted: sizes are checked before they are unpacked, a damaged file is one clear
error, and what is no number becomes NaN, for the caller to count.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, MissingExtra, unknown_name
from lydite.files import refuse_special
from lydite.records import dataclass

MOST_ROWS = 5_000_000
"""Rows of one file: what fits into memory beside everything else."""
_MOST_BYTES = 2 << 30
_MOST_TEXT_BYTES = 512 << 20
_MOST_CELL = 1 << 17
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one file, all of one length.

    Attributes:
        where: Path of the file.
        columns: Numbers as float64, words as arrays of text.
        rows: Number of rows.
    """

    where: str
    columns: dict[str, np.ndarray]
    rows: int

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def number(self, name: str, default: float) -> np.ndarray:
        """A column of numbers; one of `default` where the table lacks it."""
        return self.columns.get(name, np.full(self.rows, default))

    def word(self, name: str, default: str = "") -> np.ndarray:
        """A column of words; one of `default` where the table lacks it."""
        return self.columns.get(name, np.full(self.rows, default, dtype=object))

    def where_true(self, chosen: np.ndarray) -> Table:
        """The rows of a mask."""
        kept = {name: column[chosen] for name, column in self.columns.items()}
        return Table(self.where, kept, int(np.count_nonzero(chosen)))


def read_table(
    path: Path,
    numbers: Sequence[str],
    words: Sequence[str] = (),
    *,
    more_numbers: Sequence[str] = (),
    more_words: Sequence[str] = (),
) -> Table:
    """Read some columns of a file.

    Args:
        path: File that ends in .parquet, .csv, .csv.gz or .txt.
        numbers, words: Columns that must be there.
        more_numbers, more_words: Columns that are read where they are there.

    Raises:
        InputError: the file cannot be read, is too large, or lacks a column.
        MissingExtra: Parquet needs pyarrow, which is not installed.
    """
    refuse_special(path)
    reader = _parquet if path.suffix == ".parquet" else _csv
    names, rows, column = reader(path)
    for name in (*numbers, *words):
        if name not in names:
            raise InputError(
                f"lacks the column '{name}'{_near(name, names)}",
                where=str(path),
                allowed=f"columns {', '.join((*numbers, *words)[:_SHOWN])}",
            )
    wanted = [(n, True) for n in (*numbers, *more_numbers)] + [
        (n, False) for n in (*words, *more_words)
    ]
    columns = {name: column(name, number) for name, number in wanted if name in names}
    return Table(str(path), columns, rows)


def _near(name: str, names: Sequence[str]) -> str:
    """A column whose name says that it is the same in another unit."""
    # The names come from a file: one that spans lines or hides characters is shown without them.
    shown = ["".join(c if c.isprintable() else "?" for c in n[:60]) for n in names]
    alike = [n for n in shown if n.startswith(name) and n != name]
    if alike:
        return f", but has '{alike[0]}'"
    hint = unknown_name("column", name, shown).hint
    return f" ({hint})" if hint else ""


_Columns = tuple[Sequence[str], int, Callable[[str, bool], np.ndarray]]


def _parquet(path: Path) -> _Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet") from None
    damaged: tuple[type[BaseException], ...] = (pyarrow.ArrowException, OSError, ValueError)

    try:
        # Words as dictionaries: a few names, repeated in every row.
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        described = file.metadata
        size = sum(described.row_group(at).total_byte_size for at in range(file.num_row_groups))
        _check(path, described.num_rows, size)
    except damaged as error:
        if isinstance(error, InputError):
            raise
        raise _unreadable(path, error) from None

    def column(name: str, number: bool) -> np.ndarray:
        try:
            read: Any = parquet.read_table(
                path, columns=[name], read_dictionary=[] if number else [name], use_threads=False
            )
            values = read.column(name)
            if number:
                return values.cast(pyarrow.float64()).to_numpy()
            coded = values.combine_chunks()
            if not pyarrow.types.is_dictionary(coded.type):
                coded = coded.dictionary_encode()
            known = np.array([str(word) for word in coded.dictionary.to_pylist()] + [""], object)
            return known[coded.indices.fill_null(len(known) - 1).to_numpy()]
        except damaged as error:
            raise _unreadable(path, error) from None

    return names, described.num_rows, column


def _csv(path: Path) -> _Columns:
    lines = _lines(path)
    names = [name.strip() for name in next(lines, [])]
    if len(set(names)) < len(names) or not any(names):
        raise InputError("is no table with a header", where=str(path))
    kept: list[list[str]] = []
    for number, line in enumerate(islice(lines, MOST_ROWS + 1), 2):
        if len(line) != len(names):
            raise InputError(
                f"{len(line)} cells under {len(names)} names", where=f"{path}, line {number}"
            )
        kept.append(line)
    _check(path, len(kept), 0)

    def column(name: str, number: bool) -> np.ndarray:
        place = names.index(name)
        if number:
            return np.array([_number(line[place]) for line in kept])
        return np.array([line[place] for line in kept], dtype=object)

    return names, len(kept), column


def _lines(path: Path) -> Iterator[list[str]]:
    unpack = gzip.open if path.suffix == ".gz" else open
    try:
        with (
            unpack(path, "rb") as raw,
            TextIOWrapper(BufferedReader(_Limited(raw, path)), "utf-8", newline="") as text,
        ):
            csv.field_size_limit(_MOST_CELL)
            yield from (line for line in csv.reader(text) if line)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None


class _Limited(RawIOBase):
    """A file that refuses to unpack to more than `_MOST_TEXT_BYTES`."""

    def __init__(self, raw: Any, path: Path) -> None:
        self._raw, self._path, self._read = raw, path, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer."""
        size = self._raw.readinto(buffer)
        self._read += size
        if self._read > _MOST_TEXT_BYTES:
            raise InputError(
                f"unpacks to more than {_MOST_TEXT_BYTES:,} bytes", where=str(self._path)
            )
        return size


def _check(path: Path, rows: int, size: int) -> None:
    if rows > MOST_ROWS or size > _MOST_BYTES:
        raise InputError(
            f"holds {rows:,} rows, {size:,} bytes unpacked",
            where=str(path),
            allowed=f"{MOST_ROWS:,} rows and {_MOST_BYTES:,} bytes a file",
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return InputError(f"cannot be read: {reason}", where=str(path))
