"""Files of a scorecard: document, table, page, picture, and the benchmark's own layout."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite.errors import MissingExtra
from lydite.files import write_atomic
from lydite.report.page import Section, write_page
from lydite.report.text.score import device_lines, headline, notes_of, table_rows
from lydite.units import format_seconds

_COLUMNS = (
    "Model",
    "Params (M)",
    "FLOPs (G)",
    "FPS",
    "Latency (ms)",
    "Energy (KJ)",
    "PerIterEnergy (J)",
    "AvgMemUsage (M)",
    "AvgPowerUsage (W)",
    "latency_score",
    "energy_score",
)
"""Columns of the AI Accelerators Benchmark, and the model, which it leaves out."""
_MOST_PLOTTED = 24


def write_files(
    document: Mapping[str, Any], folder: Path, telemetry: Path | None = None
) -> list[Path]:
    """Write result.json, result.csv, report.html, scorecard.png and the benchmark's own files.

    Args:
        document: Result with its schema.
        folder: Folder to write into.
        telemetry: Folder that holds the traces of the run; None for none.

    Raises:
        LyditeError: the folder cannot be written.
    """
    written = [
        write_atomic(folder / "result.json", json.dumps(document, ensure_ascii=False) + "\n"),
        write_atomic(folder / "result.csv", _csv(table_rows(document))),
        write_score_page(document, folder / "report.html", telemetry),
    ]
    try:
        from lydite.report.scorecard_png import write_picture

        written.append(write_picture(document, folder / "scorecard.png"))
    except MissingExtra:
        pass
    return [*written, *_own_layout(document, folder)]


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["model"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _own_layout(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """benchmark_<device>_<model>.csv of each model, and benchmark_<device>_.csv of all."""
    device = re.sub(r"[^A-Za-z0-9 ._()-]", "_", document["environment"]["device"])[:80]
    lines = [_own_row(row) for row in table_rows(document) if row["latency_s"] is not None]
    written: list[Path] = []
    for line in lines:
        path = folder / f"benchmark_{device}_{re.sub(r'[^A-Za-z0-9._-]', '_', line[0])}.csv"
        written.append(write_atomic(path, _lines([line])))
    written.append(write_atomic(folder / f"benchmark_{device}_.csv", _lines(lines)))
    return written


def _lines(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *rows])
    return text.getvalue()


def _own_row(row: Mapping[str, Any]) -> list[str]:
    name = row["model"] if row["batch"] == 1 else f"{row['model']}_batch{row['batch']}"
    values = [
        _scaled(row["parameters"], 1e6),
        _scaled(row["flops"], 1e9),
        _scaled(row["throughput_per_s"]),
        _scaled(row["latency_s"], 1e-3),
        _scaled(row["energy_total_j"], 1e3),
        _scaled(row["energy_j"]),
        _scaled(row["memory_bytes"], 2.0**20),
        _scaled(row["mean_power_w"]),
        _scaled(row["latency_score"]),
        _scaled(row["energy_score"]),
    ]
    return [f"{name}_{row['precision']}", *values]


def _scaled(value: float | None, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:.2f}"


def write_score_page(
    document: Mapping[str, Any], path: Path, telemetry: Path | None = None
) -> Path:
    """A page without scripts: scores, table, charts of each model, latencies, conditions.

    Raises:
        LyditeError: it cannot be written.
    """
    environment = document["environment"]
    sections = [Section("Score", pre="\n".join(device_lines(document)))]
    if document["scores"].get("equal", {}).get("models"):
        from lydite.report.score_plots import score_bars

        sections.append(Section("Scores by model", plot=score_bars(document)))
    sections.append(_table(document))
    notes = notes_of(document)
    if notes:
        sections.append(Section("What to know", pre="\n".join(notes)))
    if document["kind"] == "measured":
        sections += _charts(document, telemetry)
    sections.append(Section("Conditions", "", ["", ""], _conditions(environment)))
    mark = "measured" if document["kind"] == "measured" else "ESTIMATED"
    return write_page(
        path,
        headline(document),
        f"{mark}; set '{document['set']['name']}'; {environment['utc']}; "
        f"Lydite {environment['lydite']}",
        sections,
    )


def _table(document: Mapping[str, Any]) -> Section:
    columns = ["model", "precision", "batch", "time", "per s", "p99", "J", "W", "cosine"]
    columns += ["roofline", "score", "energy score"]
    rows = [
        [
            row["title"],
            row["precision"],
            str(row["batch"]),
            "-" if row["latency_s"] is None else format_seconds(row["latency_s"]),
            _cell(row["throughput_per_s"], ".4g"),
            "-" if row["latency_p99_s"] is None else format_seconds(row["latency_p99_s"]),
            _cell(row["energy_j"], ".3g"),
            _cell(row["mean_power_w"], ".0f"),
            _cell(row["cosine"], ".4f"),
            "-" if row["roofline_share"] is None else f"{100 * row['roofline_share']:.0f} %",
            _cell(row["latency_score"], ".0f"),
            _cell(row["energy_score"], ".0f"),
        ]
        for row in table_rows(document)
    ]
    return Section("Models", "", columns, rows)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _charts(document: Mapping[str, Any], telemetry: Path | None) -> list[Section]:
    """Charts of each model: what the sensors saw, and the distribution of its time."""
    import numpy as np

    from lydite.report.score_plots import latency_plot, telemetry_plots
    from lydite.score.figures import seconds_per_unit
    from lydite.score.watch import Watch

    watch = Watch.read(telemetry, "cpu") if telemetry else Watch({}, "cpu")
    traces = list(watch.traces.values())
    devices = list(dict.fromkeys(name for trace in traces for name in trace.devices))
    sections: list[Section] = []
    for row in document["rows"][:_MOST_PLOTTED]:
        if not row["turns"]:
            continue
        plots = [plot for device in devices for plot in telemetry_plots(row, traces, device)]
        plots.append(latency_plot(row, np.concatenate(seconds_per_unit(row))))
        sections += [
            Section(row["title"] if not number else "", plot=plot)
            for number, plot in enumerate(plots)
        ]
    return sections


def _conditions(environment: Mapping[str, Any]) -> list[list[str]]:
    flat: list[list[str]] = []
    for name, value in environment.items():
        if isinstance(value, Mapping):
            flat += [[f"{name}.{key}", str(each)] for key, each in value.items()]
        elif isinstance(value, list):
            flat.append([name, "; ".join(str(each) for each in value) or "none"])
        else:
            flat.append([name, "none" if value is None else str(value)])
    return flat
