"""Any two runs: which operators differ beyond their spread, and what makes the difference."""

from __future__ import annotations

import math
from typing import Any

from lydite.api import dashboard
from lydite.api.dashboard import Comparison, OperatorPair, Reader, RunDetail
from lydite.report.view import Cell, Facts, Field, Form, Table, Text, View, shown
from lydite.units import format_percent
from lydite.web.pages.parameters import whole
from lydite.web.pages.runs import arguments_text, moment
from lydite.web.urls import Urls

ROWS = 100
_NUMBERS = 100


def compare(reader: Reader, urls: Urls, *, a="", b="", start="") -> View:
    """Two runs beside each other; without both, a form that asks for them."""
    choices = [
        (line.id, f"{moment(line.started_at)} {line.command} {arguments_text(line)[:60]}")
        for line in dashboard.runs(reader, limit=50).rows
    ]
    form = Form(
        "Choose two runs",
        urls.to("compare"),
        [_field("a", "First run (A)", a, choices), _field("b", "Second run (B)", b, choices)],
        button="Compare",
    )
    if not (a and b):
        return View("Compare", [form], "Two runs of the database", "compare")
    first, second = dashboard.run(reader, a), dashboard.run(reader, b)
    found = dashboard.compare(reader, a, b)
    blocks: list[Any] = [form, _sides(urls, first, second)]
    if found.pairs:
        blocks += _operators(urls, found, a, b, whole("start", start))
    else:
        blocks.append(Text("No operator was measured by both runs under the same conditions."))
    blocks += _results(first, second)
    title = f"{first.line.command} {a[:8]} and {second.line.command} {b[:8]}"
    return View(title, blocks, _verdict(found), "compare")


def _field(name: str, label: str, value: str, choices: list[tuple[str, str]]) -> Field:
    known = value and value not in dict(choices)
    options = [("", "choose"), *([(value, value)] if known else []), *choices]
    return Field(name, label, value, options)


def _verdict(found: Comparison) -> str:
    if not found.pairs:
        return "Nothing in common"
    faster = sum(pair.is_significant is True and pair.ratio < 1 for pair in found.pairs)
    slower = sum(pair.is_significant is True and pair.ratio > 1 for pair in found.pairs)
    ratio = found.second_s / found.first_s
    return (
        f"B takes {ratio:.3f} times as long as A over {len(found.pairs):,} operators of both, each "
        f"counted once: {faster:,} significantly faster, {slower:,} significantly slower"
    )


def _sides(urls: Urls, first: RunDetail, second: RunDetail) -> Table:
    rows = [
        [
            Cell(name),
            Cell(detail.line.id[:8], urls.to("run", id=detail.line.id)),
            Cell(detail.line.command),
            shown("arguments", arguments_text(detail.line)),
            Cell(moment(detail.line.started_at)),
            Cell(detail.line.status),
        ]
        for name, detail in (("A", first), ("B", second))
    ]
    return Table("Runs", ("side", "run", "command", "arguments", "started", "status"), rows)


def _operators(urls: Urls, found: Comparison, a: str, b: str, start: int) -> list[Any]:
    total = found.second_s - found.first_s
    facts = [
        ("operators of both", shown("pairs", len(found.pairs))),
        ("only in A", shown("only_first", found.only_first)),
        ("only in B", shown("only_second", found.only_second)),
        ("sum of medians, A", shown("first_s", found.first_s)),
        ("sum of medians, B", shown("second_s", found.second_s)),
        ("difference", shown("difference_s", total)),
    ]
    types = [
        [
            Cell(share.operator),
            shown("pairs", share.pairs),
            shown("first_s", share.first_s),
            shown("second_s", share.second_s),
            shown("difference_s", share.difference_s),
            Cell(_share(share.difference_s, total), is_number=True),
        ]
        for share in found.types
    ]
    links = []
    if start + ROWS < len(found.pairs):
        links.append(Cell("Next rows", urls.to("compare", a=a, b=b, start=start + ROWS)))
    return [
        Facts("In all", facts),
        Table(
            "Why: the difference by operator type",
            ("operator type", "operators", "A", "B", "difference", "share of the difference"),
            types[:ROWS],
        ),
        Table(
            "By operator, the largest difference first",
            (
                "operator",
                "inputs",
                "threads",
                "scope",
                "A",
                "B",
                "difference",
                "B / A",
                "95 % interval",
                "significant",
            ),
            [_row(urls, pair) for pair in found.pairs[start : start + ROWS]],
            links,
        ),
        Text(
            "The interval of the ratio of medians rests on the samples of each run alone "
            "(Price and Bonett, 2002); what changes from one run to the next is not in it. "
            "Significant means at 5 % for all operators together (Holm). Fewer than 5 samples "
            "say nothing."
        ),
    ]


def _row(urls: Urls, pair: OperatorPair) -> list[Cell]:
    verdict = {None: "unknown", True: "yes", False: "no"}[pair.is_significant]
    tone = "" if pair.is_significant is not True else "good" if pair.ratio < 1 else "bad"
    known = pair.low is not None and pair.high is not None
    return [
        Cell(pair.operator),
        shown("inputs", pair.shapes),
        shown("threads", pair.threads),
        Cell(pair.scope),
        shown("first_s", pair.first_s, urls.to("measurement", id=pair.first)),
        shown("second_s", pair.second_s, urls.to("measurement", id=pair.second)),
        shown("difference_s", pair.difference_s),
        Cell(f"{pair.ratio:.3f}", is_number=True),
        Cell(f"{pair.low:.3f} to {pair.high:.3f}" if known else "–", is_number=True),
        Cell(verdict, tone=tone),
    ]


def _share(part: float, total: float) -> str:
    return format_percent(part / total) if total else "–"


def _results(first: RunDetail, second: RunDetail) -> list[Any]:
    if first.result is None or second.result is None:
        return []
    pairs = dashboard.number_pairs(first.result, second.result)
    if not pairs:
        return []

    def far(pair: tuple[str, float, float]) -> float:
        _, one, other = pair
        return abs(math.log(other / one)) if one * other > 0 else math.inf

    ranked = sorted(pairs, key=far, reverse=True)[:_NUMBERS]
    rows = [
        [
            Cell(place),
            shown(_name(place), one),
            shown(_name(place), other),
            Cell(f"{other / one:.4g}" if one else "–", is_number=True),
        ]
        for place, one, other in ranked
    ]
    columns = ("number", "A", "B", "B / A")
    caption = "Numbers of the results that differ, the largest ratio first"
    return [Table(caption, columns, rows)]


def _name(place: str) -> str:
    return place.rpartition(".")[2].partition("[")[0]
