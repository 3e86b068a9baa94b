"""Measurements of a run, a device or an operator type, and one of them with its samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lydite.api import dashboard
from lydite.api.dashboard import MeasurementDetail, MeasurementLine, Reader, Selection
from lydite.report.view import Cell, Facts, Table, Text, View, shown
from lydite.web.chart import Chart, Series
from lydite.web.pages.parameters import needed
from lydite.web.urls import Urls

COLUMNS = (
    "measurement",
    "operator",
    "inputs",
    "device",
    "backend",
    "threads",
    "cache",
    "scope",
    "status",
    "median",
    "5 %",
    "95 %",
    "samples",
)
_MOST_BINS = 60


def measurements(
    reader: Reader,
    urls: Urls,
    *,
    run="",
    device="",
    op_type="",
    domain="",
    op="",
    status="",
    after="",
) -> View:
    """A page of measurements."""
    if run:
        dashboard.run(reader, run)
    exact = domain if op_type else None
    chosen = Selection(run, device, op_type, exact, op, status)
    page = dashboard.measurements(reader, chosen, after=after)
    given = {"run": run, "device": device, "op_type": op_type, "domain": domain, "op": op}
    given["status"] = status
    links = []
    if page.after:
        links.append(Cell("Next rows", urls.to("measurements", **given, after=page.after)))
    of = [f"{name} {value}" for name, value in given.items() if value]
    lead = ", ".join(of) or "The newest first"
    blocks: list[Any] = []
    if run:
        blocks.append(Text("", [Cell("The run", urls.to("run", id=run))]))
    rows = [row_of(line, urls) for line in page.rows]
    blocks.append(Table("Measurements", COLUMNS, rows, links))
    return View("Measurements", blocks, lead, "measurements")


def row_of(line: MeasurementLine, urls: Urls) -> list[Cell]:
    """A measurement as a row of a table."""
    return [
        Cell(line.id[:8], urls.to("measurement", id=line.id)),
        Cell(line.operator),
        shown("inputs", line.shapes),
        Cell(line.device),
        Cell(line.backend),
        shown("threads", line.threads),
        Cell(line.cache),
        Cell(line.scope),
        Cell(line.status, tone="" if line.status == "ok" else "bad"),
        shown("median_s", line.median_s),
        shown("low_s", line.low_s),
        shown("high_s", line.high_s),
        shown("n_samples", line.n_samples),
    ]


def measurement(reader: Reader, urls: Urls, *, id="", chart="") -> View:
    """One measurement: conditions, versions and every sample."""
    detail = dashboard.measurement(reader, needed("id", id))
    line = detail.line
    others = urls.to("measurements", op=detail.op)
    run = Cell(line.run, urls.to("run", id=line.run)) if line.run else Cell("–")
    facts = [
        ("status", Cell(line.status, tone="good" if line.status == "ok" else "bad")),
        *([("error", Cell(line.error))] if line.error else []),
        ("median", shown("median_s", line.median_s)),
        ("5 % to 95 %", _span(line)),
        ("energy of a repetition", shown("energy_j", detail.energy_j)),
        ("device", Cell(line.device)),
        ("threads", shown("threads", line.threads)),
        ("cache", Cell(line.cache)),
        ("scope", Cell(line.scope)),
        ("source", Cell(detail.source)),
        ("measured at", Cell(line.measured_at)),
        ("run", run),
    ]
    operator = [
        *((f"input {n}", Cell(text or "left out")) for n, text in enumerate(detail.inputs)),
        *((f"output {n}", Cell(text)) for n, text in enumerate(detail.outputs)),
        *_facts(detail.attrs),
        ("key", Cell(detail.op, others)),
    ]
    blocks: list[Any] = [
        Facts("Measurement", facts),
        Facts("Operator", operator),
        Facts("Software", [("backend", Cell(line.backend)), *_facts(detail.versions)]),
    ]
    if detail.environment:
        blocks.append(Facts("Recorded beside the samples", _facts(detail.environment)))
    blocks += _samples(detail, urls, bool(chart))
    return View(line.operator, blocks, f"{line.device}, {line.backend}", "measurements")


def _samples(detail: MeasurementDetail, urls: Urls, drawn: bool) -> list[Any]:
    samples = detail.samples_s
    made: list[Any] = []
    if samples.size > 1:
        if drawn:
            made += [distribution(samples), in_order(samples)]
        else:
            href = urls.to("measurement", id=detail.line.id, chart="1")
            made += [Text("", [Cell("Draw the distribution of the samples", href)])] if href else []
    rows = [
        [Cell(str(number)), shown("sample_s", value)]
        for number, value in enumerate(samples[:1000].tolist(), 1)
    ]
    cut = "" if samples.size <= 1000 else f" (the first 1,000 of {samples.size:,})"
    return [*made, Table(f"Samples in the order of measuring{cut}", ("sample", "time"), rows)]


def distribution(samples: np.ndarray) -> Chart:
    """How many samples fall into each of equally wide bins (Freedman and Diaconis' width)."""
    if np.ptp(samples) > 0:
        bins = min(_MOST_BINS, len(np.histogram_bin_edges(samples, "fd")) - 1)
        counts, edges = np.histogram(samples, bins=max(bins, 5))
    else:
        counts, edges = np.array([samples.size]), np.array([samples[0], samples[0]])
    middles = ((edges[:-1] + edges[1:]) / 2).tolist()
    series = [Series("samples", [float(count) for count in counts], "bars")]
    return Chart("Distribution of the samples", "time", "samples", middles, series, "s")


def in_order(samples: np.ndarray) -> Chart:
    """The samples as they were taken."""
    drawn = samples[:4000].tolist()
    numbers = [float(number) for number in range(1, len(drawn) + 1)]
    caption = "Samples in the order of measuring"
    return Chart(caption, "sample", "time", numbers, [Series("time", drawn)], "", "s")


def _span(line: MeasurementLine) -> Cell:
    if line.low_s is None or line.high_s is None:
        return Cell("–")
    return Cell(f"{shown('low_s', line.low_s).text} to {shown('high_s', line.high_s).text}")


def _facts(values: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    return [
        (
            name,
            shown(
                name,
                json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value,
            ),
        )
        for name, value in values.items()
    ]
