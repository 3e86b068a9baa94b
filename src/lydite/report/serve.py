"""Served deployments as an HTML page: what they trade, and how latencies spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lydite.report.page import Section, write_page
from lydite.report.plot import Axis, Dots, Line, Plot
from lydite.units import format_percent, format_seconds

if TYPE_CHECKING:
    from lydite.serving import Outcome

_COLOURS = ("#3366cc", "#c2410c", "#0f766e", "#7c3aed", "#b91c1c", "#4d7c0f", "#0369a1", "#a16207")
_KINDS = ((True, "on the front", _COLOURS[0]), (False, "behind it", "#888888"))
_CURVE = np.linspace(0.0, 1.0, 201)
_COSTS = (
    ("usd_per_hour", "USD/h"),
    ("usd_per_million_output_tokens", "USD per million output tokens"),
    ("modelled_j_per_output_token", "J an output token, modelled"),
    ("modelled_gco2_per_million_output_tokens", "g CO2 per million output tokens, modelled"),
)


def write_serve_page(
    document: Mapping[str, Any], outcomes: Sequence[Outcome], path: Path | str
) -> Path:
    """Write the page.

    Args:
        document: Document of `serve`.
        outcomes: What happened in each of its deployments.
        path: File to write.
    """
    rows = document["deployments"]
    work = document["workload"]
    sections = [
        Section(
            "Throughput a device and speed a user",
            "A deployment is on the front where no other is better in both.",
            plot=_front(rows),
        ),
        Section("Deployments", columns=_columns(rows), rows=[_cells(row, rows) for row in rows]),
        Section("Time to first token", plot=_shares(rows, [o.ttft_s for o in outcomes])),
        Section("Time per output token", plot=_shares(rows, [o.tpot_s for o in outcomes])),
        Section("Latency", plot=_shares(rows, [o.latency_s for o in outcomes])),
        *_searched(document.get("found")),
        Section("Why", pre="\n".join(_reasons(rows))),
        Section("Notes", pre="\n".join(document["notes"])) if document["notes"] else None,
    ]
    rate = "" if work["rate_per_s"] is None else f", {work['rate_per_s']:.3g} requests/s"
    subtitle = (
        f"{work['requests']} requests of {work['prompt_mean']:.0f} + {work['output_mean']:.0f} "
        f"tokens{rate}; {document['runtime']}: {document['decides']}; simulated in virtual time"
    )
    title = f"{document['model']} in {document['dtype']} on {document['device']}"
    return write_page(Path(path), title, subtitle, [s for s in sections if s is not None])


def on_front(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether no other deployment is better in tokens a second a device and a user."""
    points = [(row["tokens_per_s_per_device"], row["tokens_per_s_per_user"]) for row in rows]
    return [not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def _front(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """Output tokens a second, a device and a user, of each deployment."""
    series = []
    best = on_front(rows)
    for is_best, name, colour in _KINDS:
        some = [row for row, front in zip(rows, best, strict=True) if front == is_best]
        if not some:
            continue
        series.append(
            Dots(
                name,
                colour,
                [row["tokens_per_s_per_user"] for row in some],
                [row["tokens_per_s_per_device"] for row in some],
                [_hover(row) for row in some],
                labels=[row["layout"] for row in some],
            )
        )
    return Plot(
        "Output tokens a second",
        Axis("tokens/s a user"),
        Axis("tokens/s a device"),
        series,
    )


def _hover(row: Mapping[str, Any]) -> str:
    figures = row["figures"]
    parts = [f"{row['layout']}: {row['devices']} devices"]
    for name in ("ttft", "tpot"):
        if f"{name}_s" in figures:
            parts.append(f"{name} p99 {format_seconds(figures[f'{name}_s']['p99'])}")
    return ", ".join([*parts, f"bounds {row['bounds'][0]:.2f} to {row['bounds'][1]:.2f}"])


def _shares(rows: Sequence[Mapping[str, Any]], values: Sequence[np.ndarray]) -> Plot:
    """Share of requests by time, of each deployment."""
    series = []
    for number, (row, seconds) in enumerate(zip(rows, values, strict=True)):
        known = seconds[~np.isnan(seconds)]
        if len(known):
            colour = _COLOURS[number % len(_COLOURS)]
            x = np.quantile(known, _CURVE) * 1e3
            series.append(Line(row["layout"], colour, x, _CURVE * 100, is_dashed=number >= 8))
    return Plot("Requests by time", Axis("ms", is_log=True), Axis("% of requests"), series)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    costs = [title for name, title in _COSTS if any(name in row["cost"] for row in rows)]
    return [
        "layout",
        "devices",
        "TTFT p50",
        "TTFT p99",
        "TPOT p50",
        "TPOT p99",
        "latency p99",
        "tokens/s a device",
        "tokens/s a user",
        "KV peak",
        "objectives",
        *costs,
    ]


def _cells(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def time(name: str, of: str) -> str:
        return format_seconds(row["figures"][name][of]) if name in row["figures"] else "–"

    met = {True: "met", False: "missed", None: "–"}[row["met"]]
    names = [name for name, _ in _COSTS if any(name in other["cost"] for other in rows)]
    costs = [f"{row['cost'][name]:.4g}" if name in row["cost"] else "–" for name in names]
    return [
        row["layout"],
        str(row["devices"]),
        time("ttft_s", "p50"),
        time("ttft_s", "p99"),
        time("tpot_s", "p50"),
        time("tpot_s", "p99"),
        time("latency_s", "p99"),
        f"{row['tokens_per_s_per_device']:,.0f}",
        f"{row['tokens_per_s_per_user']:,.1f}",
        format_percent(row["kv_peak_share"]),
        met,
        *costs,
    ]


def _searched(found: Mapping[str, Any] | None) -> list[Section]:
    if found is None:
        return []
    rows = [
        [str(each["layout"]), f"{each['rate_per_s']:.4g}", "met" if each["met"] else "missed"]
        for each in found["tried"]
    ]
    ends = [
        f"{value:.4g} with step times at their {end} end"
        for end, value in (("lower", found["at_low"]), ("upper", found["at_high"]))
        if value is not None
    ]
    text = "; ".join([f"{found['goal']}: {found['value']:.4g}", *ends, found["limit"]])
    return [Section("Search", text, ["layout", "requests/s", "objectives"], rows)]


def _reasons(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{row['layout']}: {reason}" for row in rows for reason in row["why"]]
