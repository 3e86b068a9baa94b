"""Pages by key, and names of devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import select

from lydite.api.dashboard.reader import Reader
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.store import schema

T = TypeVar("T")
PAGE_ROWS = 100
MOST_KEY = 400


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of many.

    Attributes:
        rows: The rows, in order.
        after: Key of the last row, from which the next page starts; None if this is the last page.
    """

    rows: Sequence[T]
    after: str | None


def device_names(reader: Reader) -> list[str]:
    """Names of all devices, in order."""
    with reader.reading() as connection:
        return list(connection.execute(select(schema.devices.c.name).order_by("name")).scalars())


def split_key(key: str | None, parts: int) -> list[str] | None:
    """The parts of a page's key, which are joined by "~"; None for the first page.

    Raises:
        InputError: the key has another number of parts, or is too long.
    """
    if not key:
        return None
    found = key.split("~")
    if len(found) != parts or len(key) > MOST_KEY:
        raise InputError(
            f"'{key[:80]}' is no place in this list",
            allowed="the links of its pages",
            hint="go back to the first page",
        )
    return found


def cut(rows: Sequence[T], limit: int, key: Any) -> Page[T]:
    """A page of at most `limit` rows, from a query for one more."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], key(rows[limit - 1]))
