"""Runs, and one of them with its result as the result protocol has it."""

from __future__ import annotations

import functools
from typing import Any

from lydite.api import dashboard
from lydite.api.dashboard import NoSuchRecord, Reader, RunDetail, RunLine
from lydite.exhibits import found_in
from lydite.report.view import Cell, Facts, Field, Form, Table, Text, View, shown
from lydite.web import document, exhibits
from lydite.web.chart import FRONTS, scatter
from lydite.web.pages.parameters import choice, needed, whole
from lydite.web.urls import Urls

STATUSES = ("running", "done", "failed", "interrupted")
_TONES = {"done": "good", "failed": "bad", "killed": "bad", "interrupted": "bad"}
COLUMNS = ("run", "command", "arguments", "started", "took", "status")


def runs(reader: Reader, urls: Urls, *, command="", status="", after="") -> View:
    """The runs, newest first."""
    choice("status", status, list(STATUSES))
    page = dashboard.runs(reader, command=command, status=status, after=after)
    more = []
    if page.after:
        more = [
            Cell("Older runs", urls.to("runs", command=command, status=status, after=page.after))
        ]
    if command and page.rows:
        more.append(Cell(f"Side by side: {command}", urls.to("beside", command=command)))
    form = Form(
        "Choose runs",
        urls.to("runs"),
        [
            Field("command", "Command", command),
            Field("status", "Status", status, [("", "any"), *((s, s) for s in STATUSES)]),
        ],
    )
    table = Table("Newest runs", COLUMNS, [row_of(line, urls) for line in page.rows], more)
    return View("Runs", [form, table], f"Database {reader.where}", "runs")


def row_of(line: RunLine, urls: Urls) -> list[Cell]:
    """A run as a row of a table."""
    return [
        Cell(line.id[:8], urls.to("run", id=line.id)),
        Cell(line.command),
        shown("arguments", arguments_text(line)),
        Cell(moment(line.started_at)),
        shown("duration_s", line.duration_s),
        Cell(line.status, tone=_TONES.get(line.status, "")),
    ]


def arguments_text(line: RunLine) -> str:
    """Arguments in a line."""
    return ", ".join(
        f"{name} {value}" for name, value in line.arguments.items() if value not in (None, "", [])
    )


def moment(text: str | None) -> str:
    """A time in UTC to the second."""
    return f"{text[:10]} {text[11:19]}" if text else "–"


def run(
    reader: Reader,
    urls: Urls,
    *,
    id="",
    show="",
    at="",
    start="",
    chart="",
    x="",
    y="",
    front="",
    log="",
) -> View:
    """One run: what it was asked, what its result declares, and its whole result."""
    detail = dashboard.run(reader, needed("id", id))
    line = detail.line
    title = f"{line.command} {line.id[:8]}"
    if show:
        blocks = _exhibit(urls, detail, whole("show", show), at, whole("start", start), bool(chart))
        return View(title, blocks, line.status, "runs")
    if at:
        value = document.at(detail.result, at)
        blocks: list[Any] = [Text(f"Part {at} of the result.", [Cell("Whole run", _to(urls, id))])]
        if isinstance(value, list):
            blocks += _charts(urls, id, at, value, (x, y, front, log), bool(chart))
        blocks += document.blocks_of(
            value, at, _link(urls, id), title=at, start=whole("start", start)
        )
        return View(title, blocks, line.status, "runs")
    return View(title, _whole(reader, urls, detail), line.status, "runs")


def _exhibit(
    urls: Urls, detail: RunDetail, number: int, at: str, start: int, is_drawn: bool
) -> list[Any]:
    """One of the tables that the result declares, on a page of its own."""
    identity = detail.line.id
    for found in found_in(detail.result):
        if (found.number, found.place) == (number, at):
            link = functools.partial(_to, urls, identity)
            back = Text("", [Cell("Whole run", _to(urls, identity))])
            return [back, *exhibits.page(found, link, start=start, is_drawn=is_drawn)]
    raise NoSuchRecord(f"the result has no table {number} at '{at}'", hint="go back to the run")


def _whole(reader: Reader, urls: Urls, detail: RunDetail) -> list[Any]:
    line = detail.line
    facts = [
        ("id", Cell(line.id)),
        ("command", Cell(line.command)),
        ("status", Cell(line.status, tone=_TONES.get(line.status, ""))),
        ("started", Cell(moment(line.started_at))),
        ("finished", Cell(moment(line.finished_at))),
        ("took", shown("duration_s", line.duration_s)),
        *((name, shown(name, _text(value))) for name, value in line.arguments.items()),
    ]
    links = [
        Cell("Its measurements", urls.to("measurements", run=line.id)),
        Cell("Compare with another run", urls.to("compare", a=line.id)),
    ]
    if detail.result_bytes:
        links.append(Cell("Result as JSON", urls.to("run_json", id=line.id)))
    blocks: list[Any] = [Facts("Run", facts), Text("", [link for link in links if link.href])]
    if line.status == "running":
        blocks.append(rows_that_appear(reader, urls, line.id))
    if detail.result is None:
        large = detail.result_bytes > 0
        blocks.append(
            Text("The result is too large to show." if large else "The run has no result (yet).")
        )
        return blocks
    shows = list(found_in(detail.result))
    blocks += exhibits.tables(shows, functools.partial(_to, urls, line.id))
    if any(found.declared["beside"] for found in shows):
        others = urls.to("beside", command=line.command)
        words = f"Side by side with other runs of {line.command}"
        blocks.append(Text("", [Cell(words, others)]))
    link = _link(urls, line.id)
    own = detail.result
    if isinstance(own, dict):
        own = {name: part for name, part in own.items() if name != "exhibits"}
    blocks += document.blocks_of(own, "", link, title="Result")
    lists = [
        Cell(f"Chart of {pointer}", _to(urls, line.id, at=pointer, chart="1"))
        for pointer in chartable(own)
    ]
    if any(link.href for link in lists):
        blocks.append(Text("Any two columns of numbers can be drawn.", lists))
    return blocks


def rows_that_appear(reader: Reader, urls: Urls, run_id: str) -> Table:
    """A table that fills while the run goes on."""
    from lydite.web.pages.measurements import COLUMNS as MEASURED
    from lydite.web.pages.measurements import row_of as measured_row

    known = dashboard.new_measurements(reader, run_id, frozenset())
    rows = [measured_row(item, urls) for item in known]
    since = max((item.measured_at for item in known), default="")
    live = urls.to("run_events", id=run_id, since=since)
    return Table("Measured so far", MEASURED, rows, empty="Nothing yet.", live=live)


def chartable(value: Any, pointer: str = "", depth: int = 0) -> list[str]:
    """Places of lists whose rows have two columns of numbers."""
    if isinstance(value, dict) and depth < 3:
        inner = [(document.step(pointer, name), item) for name, item in value.items()]
        return [place for where, item in inner for place in chartable(item, where, depth + 1)]
    if isinstance(value, list) and len(document.number_columns(document.flat_rows(value))) >= 2:
        return [pointer]
    return []


def _charts(
    urls: Urls, id: str, at: str, value: list[Any], chosen: tuple[str, ...], drawn: bool
) -> list[Any]:
    rows = document.flat_rows(value)
    columns = document.number_columns(rows)
    if len(columns) < 2:
        return []
    if not drawn:
        return [Text("", [Cell("Draw as a chart", _to(urls, id, at=at, chart="1"))])]
    x, y, front, log = chosen
    x = choice("x", x, columns) or columns[0]
    y = choice("y", y, columns) or columns[1]
    logs = {"": "neither", "x": "x", "y": "y", "xy": "both"}
    choice("front", front, list(FRONTS))
    choice("log", log, list(logs))
    form = Form(
        "Choose columns",
        urls.to("run"),
        [
            Field("x", "Horizontal", x, [(name, name) for name in columns]),
            Field("y", "Vertical", y, [(name, name) for name in columns]),
            Field("front", "Pareto front", front, list(FRONTS.items())),
            Field("log", "Logarithmic", log, list(logs.items())),
        ],
        [("id", id), ("at", at), ("chart", "1")],
        "Draw",
    )
    caption = f"{y} over {x} of {at}"
    chart = scatter(rows, x, y, caption=caption, front=front, logs=("x" in log, "y" in log))
    return [form, chart] if form.action else [chart]


def _link(urls: Urls, id: str) -> document.Link:
    return lambda pointer, start: _to(urls, id, at=pointer, start=start or "")


def _to(urls: Urls, id: str, **given: str | int) -> str:
    return urls.to("run", id=id, **given)


def _text(value: Any) -> Any:
    import json

    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
