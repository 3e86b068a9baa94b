"""Times of a language model's tokens: stated, or recorded sample by sample.

One table serves both clocks: a system in virtual time is played with it, and a system under
LoadGen sleeps until its times.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass

TOKENS = "tokens.npy"
"""Sample index, nanoseconds to the first token, nanoseconds from it to the last, number of tokens
and nanoseconds of waiting of every sample of a run: int64[samples, 5]."""
COLUMNS = ("ttft_ms", "tpot_ms", "tokens")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class TokenService:
    """Times of the tokens of each sample, once a place is free.

    Attributes:
        first_ns: Nanoseconds to the first token: int64[rows].
        per_output_ns: Nanoseconds per further token: int64[rows].
        count: Number of output tokens: int64[rows].
        source: Where the times come from: "stated" or "recorded".
    """

    first_ns: np.ndarray
    per_output_ns: np.ndarray
    count: np.ndarray
    source: str

    def __post_init__(self) -> None:
        for name, least in (("first_ns", 1), ("per_output_ns", 0), ("count", 1)):
            column = getattr(self, name)
            if not len(column) or int(column.min()) < least:
                raise InputError(
                    "the times of tokens are impossible",
                    allowed="ttft above 0, tpot of 0 or more, 1 token or more",
                )

    @property
    def whole_ns(self) -> np.ndarray:
        """Nanoseconds from the start of a sample to its last token: int64[rows]."""
        return self.first_ns + (self.count - 1) * self.per_output_ns

    def rows_of(self, samples: np.ndarray) -> np.ndarray:
        """Row of each sample; a table that is shorter than the data set begins again."""
        return np.asarray(samples) % len(self.count)

    def save(self, path: Path) -> None:
        """Write the table, for the process of a run."""
        table = np.stack([self.first_ns, self.per_output_ns, self.count], axis=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, table.astype(np.int64), allow_pickle=False)

    @staticmethod
    def load(path: Path) -> TokenService:
        """The inverse of `save`."""
        first, further, count = np.load(path, allow_pickle=False).T
        return TokenService(first, further, count, "stated")


def stated(first_ns: int, per_output_ns: int, count: int) -> TokenService:
    """The same times for every sample."""
    first, further, tokens = np.array([[first_ns], [per_output_ns], [count]], np.int64)
    return TokenService(first, further, tokens, "stated")


def from_csv(path: Path) -> TokenService:
    """A table with the columns ttft_ms, tpot_ms and tokens, one row a sample.

    Raises:
        InputError: no such columns, or a value that is no number.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"has {path.stat().st_size:,} bytes", where=str(path), allowed="64 MiB")
    rows: list[tuple[int, int, int]] = []
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise InputError("lacks columns", where=str(path), allowed=",".join(COLUMNS))
        for number, row in enumerate(reader, 2):
            try:
                first, further, tokens = (float(row[name]) for name in COLUMNS)
                rows.append((round(first * 1e6), round(further * 1e6), int(tokens)))
            except (TypeError, ValueError, OverflowError):
                raise InputError(
                    "holds no times of tokens", where=f"{path}:{number}", allowed=",".join(COLUMNS)
                ) from None
    first_ns, per_output_ns, count = np.array(rows, np.int64).reshape(-1, 3).T
    return TokenService(first_ns, per_output_ns, count, "stated")


def recorded(folder: Path) -> TokenService:
    """Times of the tokens of a run under LoadGen, by sample; a sample's last run counts.

    Samples that the run did not issue take the median of the others.

    Raises:
        InputError: the folder holds no record.
    """
    path = folder / TOKENS
    if not path.is_file():
        raise InputError(
            f"holds no {TOKENS}", where=str(folder), hint="the folder of a run that counts tokens"
        )
    try:
        index, first, rest, count = np.load(path, allow_pickle=False)[:, :4].T
        table = np.tile(
            np.median([first, rest, count], axis=1).astype(np.int64), (max(index) + 1, 1)
        )
        table[index] = np.stack([first, rest, count], axis=1)
    except (ValueError, IndexError, OSError) as error:
        raise InputError(f"is no record of tokens: {error}", where=str(path)) from None
    further = np.maximum(table[:, 2] - 1, 1)
    per_output = np.where(table[:, 2] > 1, table[:, 1] // further, 0)
    return TokenService(np.maximum(table[:, 0], 1), per_output, table[:, 2], "recorded")
