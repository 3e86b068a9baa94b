"""A sweep of chip designs as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.chip.sweep import value_text
from lydite.report.page import Section, write_page
from lydite.report.plot import Axis, Dots, Plot

_SERIES = ((False, "dominated", "#888888"), (True, "Pareto-optimal", "#3366cc"))


def write_sweep_page(document: dict[str, Any], path: Path) -> Path:
    """Write plots of time against energy and area with the Pareto front marked."""
    rows = [row for row in document["designs"] if "error" not in row]
    varied = document["varied"]
    sections = [
        Section("Time and energy", plot=_plot(rows, varied, "energy_j", "energy, J")),
        Section("Time and area", plot=_plot(rows, varied, "area_mm2", "area, mm2")),
    ]
    columns = [*varied, "seconds", "energy_j", "area_mm2", "utilisation", "pareto"]
    table = [[value_text(name, row[name]) for name in columns] for row in rows]
    sections.append(Section("Designs", "All designs that run; simulated.", columns, table))
    return write_page(
        path,
        f"{document['model']} on {document['chip']}",
        "Designs, simulated; energy modelled",
        sections,
    )


def _plot(rows: Sequence[Mapping[str, Any]], varied: Sequence[str], name: str, title: str) -> Plot:
    series = []
    for is_pareto, label, colour in _SERIES:
        some = [row for row in rows if row["pareto"] == is_pareto]
        texts = [", ".join(f"{key} {value_text(key, row[key])}" for key in varied) for row in some]
        x, y = [row["seconds"] for row in some], [row[name] for row in some]
        series.append(Dots(label, colour, x, y, texts))
    return Plot(f"Designs: time and {title}", Axis("time, s"), Axis(title), series)
