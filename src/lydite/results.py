"""What every verb answers with: one small base, from which text, tables and documents follow.

A verb's result says three things: `document()`, all of it with units in the keys; `summary()`, what
people read; and `rows()`, what a table of it holds. The rest is the same for all of them.
"""

from __future__ import annotations

import html
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from lydite.errors import MissingExtra
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.exhibits import Exhibit

REPR_WIDTH = 200
HTML_ROWS = 50
FRAMES = ("pandas", "polars", "pyarrow")
"""Packages whose data frames `Result.to_frame` can make, in order of preference."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that reverse the direction of text."""


@dataclass(frozen=True, slots=True)
class Span:
    """When a verb began, in UTC, and how long it took by a clock that nobody sets."""

    started_at: datetime
    seconds: float


class Result:
    """Base of all results.

    Attributes:
        verb: names the form of the document, with hyphens between words: "mlperf-run" in
            "lydite/mlperf-run/1".
        deprecated: keys of older releases, each with the key that replaces it; the old ones stay
            in the document for one release. "ops[].why" is a key of each of the "ops", and
            "load.rate_s" one within "load".
        exhibits: tables and charts of the document that its page shows first.
        span: when the verb began and how long it took; None where no session ran it.
        run_id: id of the run as which the verb recorded it by itself; "" if it did not.
    """

    verb: ClassVar[str]
    deprecated: ClassVar[Mapping[str, str]] = {}
    exhibits: ClassVar[Sequence[Exhibit]] = ()
    span: Span | None = None
    run_id: str = ""

    def document(self) -> Mapping[str, object]:
        """The whole result, units in the keys."""
        raise NotImplementedError

    def summary(self) -> str:
        """The text that the command prints."""
        raise NotImplementedError

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Rows of a table: operators, layers, plans, designs or models, as fits."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The document that `--json` prints; what is not a finite number is None."""
        document = {"schema": f"lydite/{self.verb}/1", **finite(self.document())}
        for old, new in self.deprecated.items():
            _copy(document, old.split("."), new.rpartition(".")[2])
        if self.deprecated:
            document["deprecated"] = dict(self.deprecated)
        if self.exhibits:
            document["exhibits"] = [exhibit.document() for exhibit in self.exhibits]
        return document

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_frame(self, package: str | None = None) -> Any:
        """`rows` as a data frame.

        Args:
            package: "pandas", "polars" or "pyarrow"; None for the first of them that is installed.

        Raises:
            MissingExtra: it is not installed, or none of them is.
        """
        import narwhals

        chosen = package or next((name for name in FRAMES if find_spec(name)), FRAMES[0])
        if find_spec(chosen) is None:
            raise MissingExtra(chosen, chosen if chosen != "pyarrow" else "parquet")
        columns = _columns(self.rows())
        backend: Any = chosen
        return narwhals.from_dict(columns, backend=backend).to_native()

    def __repr__(self) -> str:
        return one_line(f"<{type(self).__name__} {self.headline()}>")

    def headline(self) -> str:
        """The answer in a line."""
        return self.summary().partition("\n")[0]

    def advice(self) -> Sequence[str]:
        """Lines for people, such as what was assumed; the command line prints them apart."""
        return ()

    def _repr_html_(self) -> str:
        rows = self.rows()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        head = _html_row("th", columns)
        body = "".join(
            _html_row("td", [_cell(row.get(name)) for name in columns]) for row in rows[:HTML_ROWS]
        )
        more = f"<p>and {len(rows) - HTML_ROWS} more</p>" if len(rows) > HTML_ROWS else ""
        table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" if rows else ""
        return f"<p><b>{html.escape(self.headline())}</b></p>{table}{more}"


@cache
def clocked(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb, whose result knows when it began and how long it took."""

    @wraps(verb)
    def run(*args: Any, **given: Any) -> Any:
        started_at, begin = datetime.now(UTC), time.perf_counter()
        result = verb(*args, **given)
        if isinstance(result, Result):
            note(result, span=Span(started_at, time.perf_counter() - begin))
        return result

    return run


def note(result: Result, **known: Any) -> None:
    """Set attributes of a result that its verb does not know; results themselves are frozen."""
    for name, value in known.items():
        object.__setattr__(result, name, value)


class OneLine:
    """Mixin of dataclasses whose every field would fill pages: `headline` is their repr."""

    __slots__ = ()

    def headline(self) -> str:
        """What it is, in a line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return one_line(f"<{type(self).__name__} {self.headline()}>")


def one_line(text: str) -> str:
    """The text in one line of at most `REPR_WIDTH` characters."""
    text = " ".join(text.split())
    return text if len(text) <= REPR_WIDTH else f"{text[: REPR_WIDTH - 2]}…>"


def visible(text: str) -> str:
    """The text with control characters spelled out, as they could steer a terminal or a reader.

    Names come from models, logs and databases of others.
    """
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def finite(value: Any) -> Any:
    """Plain dictionaries, lists and scalars for JSON; infinities and NaN are None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _copy(document: Any, old: Sequence[str], new: str) -> None:
    """Give the value of the key `new` under the old name as well."""
    head, *rest = old
    if not rest:
        if new in document:
            document[head] = document[new]
        return
    value = document.get(head.removesuffix("[]")) or ()
    for part in value if head.endswith("[]") else [value]:
        if isinstance(part, Mapping):
            _copy(part, rest, new)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns of scalars; what is nested becomes JSON text."""
    names = dict.fromkeys(name for row in rows for name in row)
    plain = [finite(row) for row in rows]
    return {name: [_scalar(row.get(name)) for row in plain] for name in names}


def _scalar(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(_scalar(finite(value)))
