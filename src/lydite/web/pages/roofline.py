"""The roofline of a device: what its operators reach of arithmetic and memory bandwidth."""

from __future__ import annotations

import math
from typing import Any

from lydite.api import dashboard
from lydite.api.dashboard import Reader, RooflinePoint
from lydite.errors import unknown_name
from lydite.report.view import Cell, Field, Form, Table, Text, View, shown
from lydite.web.chart import Chart, Series
from lydite.web.pages.parameters import choice
from lydite.web.urls import Urls

ROWS = 100
SORTS = {"seconds": "slowest first", "flops_per_s": "most FLOP/s", "bytes_per_s": "most bytes/s"}


def roofline(
    reader: Reader, urls: Urls, *, device="", op_type="", dtype="", sort="", chart=""
) -> View:
    """Operators of a device, each alone; a chart with logarithmic axes if asked for."""
    names = dashboard.device_names(reader)
    if device and device not in names:
        raise unknown_name("device", device, names)
    known = dashboard.roofline_device(reader, device) if device else None
    dtypes = sorted(known.peaks) if known else []
    choice("dtype", dtype, dtypes)
    choice("sort", sort, list(SORTS))
    dtype = dtype or ("float32" if "float32" in dtypes else next(iter(dtypes), ""))
    sort = sort or "seconds"
    fields = [
        Field("device", "Device", device, [("", "choose"), *((name, name) for name in names)]),
        Field("op_type", "Operator type", op_type),
        Field("sort", "Order", sort, list(SORTS.items())),
        Field("chart", "Chart", chart, [("", "no"), ("1", "yes")]),
    ]
    if dtypes:
        fields.insert(2, Field("dtype", "Peak for", dtype, [(name, name) for name in dtypes]))
    form = Form("Choose a device", urls.to("roofline"), fields)
    if not device:
        return View("Roofline", [form], "Measured operators against a device's peaks", "roofline")
    points, unknown = dashboard.roofline_points(reader, device, op_type=op_type)
    blocks: list[Any] = [form]
    peak = known.peaks.get(dtype) if known else None
    bandwidth = known.bandwidth if known else None
    if chart and points:
        blocks.append(_chart(device, points, dtype, peak, bandwidth))
    if known is None:
        blocks.append(Text("Neither the database nor the catalog states this device's peaks."))
    ranked = sorted(points, key=lambda point: getattr(point, sort), reverse=True)[:ROWS]
    columns = ("operator", "inputs", "time", "FLOPs", "bytes", "FLOP/byte", "FLOP/s", "bytes/s")
    rows = [_row(point, urls) for point in ranked]
    blocks.append(Table(f"Operators, {SORTS[sort]}", columns, rows))
    lead = f"{len(points):,} operators"
    if len(points) + unknown == dashboard.MOST_POINTS:
        lead += ", a sample of those measured"
    if unknown:
        lead += f"; of {unknown:,} more the work is not known, or none"
    return View(f"Roofline of {device}", blocks, lead, "roofline")


def _row(point: RooflinePoint, urls: Urls) -> list[Cell]:
    return [
        Cell(point.operator, urls.to("measurement", id=point.id)),
        shown("inputs", point.shapes),
        shown("seconds", point.seconds),
        shown("flops", point.flops),
        shown("bytes_moved", point.bytes_moved),
        shown("intensity", point.intensity),
        shown("flops_per_s", point.flops_per_s),
        shown("bytes_per_s", point.bytes_per_s),
    ]


def _chart(
    device: str,
    points: list[RooflinePoint],
    dtype: str,
    peak: float | None,
    bandwidth: float | None,
) -> Chart:
    points = sorted(points, key=lambda point: point.intensity)
    x = [point.intensity for point in points]
    labels = [f"{p.operator} {p.shapes[:80]}, {1e6 * p.seconds:.4g} us" for p in points]
    values: list[float | None] = [point.flops_per_s for point in points]
    series = [Series("measured", values)]
    if peak and bandwidth:
        # The corner of the roof is a point of its own, so that the line has its true form.
        corner = peak / bandwidth
        if x[0] < corner < x[-1]:
            at = next(number for number, value in enumerate(x) if value > corner)
            x.insert(at, corner)
            labels.insert(at, "corner of the roof")
            values.insert(at, None)
        roof: list[float | None] = [min(peak, value * bandwidth) for value in x]
        series.append(Series(f"roof ({dtype})", roof, "line"))
    caption = f"Roofline of {device}"
    return Chart(
        caption,
        "FLOPs per byte",
        "FLOPs per second",
        x,
        series,
        "",
        "FLOP/s",
        x_log=len(x) > 1 and not math.isclose(x[0], x[-1]),
        y_log=True,
        labels=labels,
    )
