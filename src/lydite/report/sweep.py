"""A sweep of chip designs as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lydite.chip.sweep import value_text
from lydite.report.page import Section, write_page
from lydite.report.plots import graph_objects


def write_sweep_page(document: dict[str, Any], path: Path) -> Path:
    """Write plots of time against energy and area with the Pareto front marked."""
    rows = [row for row in document["designs"] if "error" not in row]
    go = graph_objects()
    sections: list[Section] = []
    for name, title in (("energy_j", "energy, J"), ("area_mm2", "area, mm2")):
        figure = go.Figure()
        for good, label in ((False, "dominated"), (True, "Pareto-optimal")):
            some = [row for row in rows if row["pareto"] == good]
            hover = [
                ", ".join(f"{k} {value_text(k, row[k])}" for k in document["varied"])
                for row in some
            ]
            figure.add_scatter(
                x=[row["seconds"] for row in some],
                y=[row[name] for row in some],
                text=hover,
                mode="markers",
                name=label,
            )
        figure.update_layout(xaxis_title="time, s", yaxis_title=title)
        sections.append(Section(f"Time and {title.partition(',')[0]}", figure=figure))
    columns = [*document["varied"], "seconds", "energy_j", "area_mm2", "utilisation", "pareto"]
    table = [[value_text(name, row[name]) for name in columns] for row in rows]
    sections.append(Section("Designs", "All designs that run; simulated.", columns, table))
    return write_page(
        path,
        f"{document['model']} on {document['chip']}",
        "Designs, simulated; energy modelled",
        sections,
    )
