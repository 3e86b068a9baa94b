"""Results of one verb side by side: a column for each run, as their documents declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lydite.api import dashboard
from lydite.api.dashboard import Reader, RunDetail
from lydite.exhibits import Found, found_in, text_at
from lydite.report.view import Cell, Field, Form, Table, Text, View
from lydite.web import exhibits
from lydite.web.pages.parameters import needed
from lydite.web.pages.runs import moment
from lydite.web.urls import Urls

MOST_RUNS = 12
_USUAL = 6
_MOST_BYTES = 64_000_000


def beside(reader: Reader, urls: Urls, *, command="", runs="") -> View:
    """Runs of a command, each a column; the newest ones with a result if none are named."""
    needed("command", command)
    given = [word.strip() for word in runs.split(",") if word.strip()][:MOST_RUNS]
    if not given:
        newest = dashboard.runs(reader, command=command, status="done", limit=_USUAL).rows
        given = [line.id for line in newest]
    kept = [one for one in _read(reader, given) if one.line.command == command and one.result]
    form = Form(
        "Choose runs",
        urls.to("beside"),
        [Field("runs", f"Runs, at most {MOST_RUNS}, with commas", ",".join(i[:8] for i in given))],
        [("command", command)],
    )
    tables = list(_tables(kept, urls))
    blocks: list[Any] = [form, *tables]
    if not tables:
        blocks.append(Text(f"No result of {command} declares what can stand side by side."))
    lead = f"{len(kept)} of {len(given)} runs" if len(kept) < len(given) else f"{len(kept)} runs"
    return View(f"{command}, side by side", blocks, lead, "runs")


def _read(reader: Reader, given: Sequence[str]) -> Iterable[RunDetail]:
    """The runs, until their results together are too large for a page."""
    size = 0
    for identity in given:
        one = dashboard.run(reader, dashboard.whole_id(reader, identity))
        size += one.result_bytes
        if size > _MOST_BYTES:
            return
        yield one


def _tables(kept: list[RunDetail], urls: Urls) -> Iterable[Table]:
    """A table for each exhibit that is to stand side by side, in the order of the first run."""
    together: dict[str, dict[int, Found]] = {}
    for number, one in enumerate(kept):
        for found in found_in(one.result):
            if found.declared["beside"]:
                together.setdefault(found.caption, {})[number] = found
    for caption, by_run in together.items():
        yield _table(caption, by_run, kept, urls)


def _table(caption: str, by_run: dict[int, Found], kept: list[RunDetail], urls: Urls) -> Table:
    first = next(iter(by_run.values()))
    name, keys = first.declared["beside"], _key(by_run.values())
    values = {
        number: {_named(row, keys): row.get(name) for row in found.rows}
        for number, found in by_run.items()
    }
    rows = [[Cell("run"), *(_run_cell(kept[number], urls) for number in by_run)]]
    for each in dict.fromkeys(key for known in values.values() for key in known):
        cells = [exhibits.cell(name, values[n].get(each), first.declared["good"]) for n in by_run]
        rows.append([Cell(each), *cells])
    heads = [_label(kept[number], found) for number, found in by_run.items()]
    what = first.columns.get(name, name)
    corner = ", ".join(first.columns.get(key, key) for key in keys)
    return Table(f"{caption}: {what}", [corner, *heads], rows)


def _key(several: Collection[Found]) -> list[str]:
    """The fewest first columns that tell the rows of each run apart."""
    columns = [name for name, _ in next(iter(several)).declared["columns"]]
    for count in range(1, len(columns)):
        keys = columns[:count]
        if all(len({_named(row, keys) for row in one.rows}) == len(one.rows) for one in several):
            return keys
    return columns


def _named(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(str(row[key]) for key in keys if row.get(key) is not None)


def _run_cell(one: RunDetail, urls: Urls) -> Cell:
    return Cell(f"{one.line.id[:8]}, {moment(one.line.started_at)}", urls.to("run", id=one.line.id))


def _label(one: RunDetail, found: Found) -> str:
    return text_at(one.result, found.declared["label"]) or one.line.id[:8]
