"""Runs of MLPerf Inference as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import table
from lydite.units import format_seconds


def headline(document: Mapping[str, Any]) -> str:
    """Verdict and figure of each scenario in one line."""
    mark = "SIMULATED: " if document["simulated"] else ""
    return mark + "; ".join(f"{run['scenario']} {_figure(run)}" for run in document["runs"])


def runs_text(document: Mapping[str, Any]) -> str:
    """Verdict, figure, rules and next steps of each scenario."""
    called = f"MLPerf Inference {document['round']}" if document["official"] else "MLPerf's rules"
    mark = "SIMULATED, " if document["simulated"] else ""
    lines = [f"{mark}{document['benchmark']} on {document['device']}, {called}"]
    for run in document["runs"]:
        lines += ["", *_run(run, "SIMULATED " if document["simulated"] else "")]
    return "\n".join(lines)


def _run(run: Mapping[str, Any], mark: str) -> list[str]:
    percentiles = "  ".join(f"{name} {format_seconds(s)}" for name, s in run["latency_s"].items())
    rows = [
        (rule["rule"], rule["value"], rule["limit"], "yes" if rule["passed"] else "NO")
        for rule in run["rules"]
    ]
    title = f"{mark}{run['scenario']}: {_figure(run)}"
    lines = [
        table(title, ("rule", "<value", "<asked for", "<met"), rows),
        f"{mark}latency   {percentiles}",
        f"{mark}service   {run['service']}; {run['queries']:,} queries, {run['samples']:,} samples",
        f"{mark}accuracy  {run['accuracy']}",
    ]
    if run["engine"]:
        lines.append(f"engine    {run['engine']}, data {run['data']}")
    if run["folder"]:
        lines.append(f"logs      {run['folder']}")
    return [*lines, *(f"next: {step}" for step in run["next_steps"])]


def _figure(run: Mapping[str, Any]) -> str:
    value = run["value"]
    if value is None or value != value:
        return run["verdict"]
    return f"{run['verdict']}, {run['metric']} {value:,.6g} {run['unit']}"
