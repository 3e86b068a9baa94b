"""Runs of MLPerf Inference as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import table
from lydite.units import format_seconds


def headline(document: Mapping[str, Any]) -> str:
    """Verdict and figure of each scenario in one line."""
    mark = "SIMULATED: " if document["simulated"] else ""
    several = len({run["benchmark"] for run in document["runs"]}) > 1
    parts = (
        f"{run['benchmark'] + ' ' if several else ''}{run['scenario']} {_figure(run)}"
        for run in document["runs"]
    )
    return mark + "; ".join(parts)


def runs_text(document: Mapping[str, Any]) -> str:
    """Verdict, figure, rules and next steps of each scenario."""
    called = f"MLPerf Inference {document['round']}" if document["official"] else "MLPerf's rules"
    mark = "SIMULATED, " if document["simulated"] else ""
    lines = [f"{mark}{document['benchmark']} on {document['device']}, {called}"]
    several = len({run["benchmark"] for run in document["runs"]}) > 1
    for run in document["runs"]:
        mark = "SIMULATED " if run["source"] == "simulated" else ""
        lines += ["", *_run(run, mark + (f"{run['benchmark']} " if several else ""))]
    return "\n".join(lines)


def _run(run: Mapping[str, Any], mark: str) -> list[str]:
    percentiles = "  ".join(f"{name} {format_seconds(s)}" for name, s in run["latency_s"].items())
    rows = [
        (rule["rule"], rule["value"], rule["limit"], "yes" if rule["passed"] else "NO")
        for rule in run["rules"]
    ]
    how = "" if run["mode"] == "performance" else f", {run['mode']}"
    title = f"{mark}{run['scenario']}{how}: {_figure(run)}"
    lines = [
        table(title, ("rule", "<value", "<asked for", "<met"), rows),
        *([f"{mark}latency   {percentiles}"] if percentiles else []),
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


def explain_text(document: Mapping[str, Any]) -> str:
    """What the round asks for, and each setting with its origin."""
    called = f"MLPerf Inference {document['round']}" if document["official"] else "no benchmark"
    lines = [f"{document['benchmark']} ({called}): {document['task']}"]
    for name in ("datacenter", "edge", "audits"):
        if document[name]:
            lines.append(f"  {name:<11} {', '.join(document[name])}")
    for floor in document["floors"]:
        most = "" if floor["most"] is None else f" to {floor['most']:g}"
        lines.append(f"  {floor['metric']:<11} {floor['least']:g}{most} ({floor['source']})")
    seeds = ", ".join(f"{name} {value}" for name, value in document["seeds"].items())
    lines.append(f"  seeds       {seeds}")
    scenarios = dict.fromkeys(row["scenario"] for row in document["settings"])
    for scenario in scenarios:
        rows = [
            (row["setting"], _shown(row["value"]), row["origin"], row["source"])
            for row in document["settings"]
            if row["scenario"] == scenario
        ]
        lines += ["", table(scenario, ("setting", "<value", "<from", "<source"), rows)]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def peak_text(document: Mapping[str, Any]) -> str:
    """The greatest rate that is valid, and latency against rate."""
    mark = "SIMULATED, " if document["simulated"] else ""
    peak = document["peak_qps"]
    found = "no rate is valid" if peak is None else f"greatest valid rate {peak:,.6g} queries/s"
    rows = [
        (
            f"{point['target_qps']:,.6g}",
            f"{point['completed_per_s']:,.6g}",
            format_seconds(point["latency_s"]["p50"]),
            format_seconds(point["latency_s"]["p99"]),
            point["source"],
            point["verdict"],
        )
        for point in document["curve"]
    ]
    columns = ("target QPS", "completed/s", "p50", "p99", "<source", "<verdict")
    lines = [
        f"{mark}{document['benchmark']} on {document['device']}, {document['scenario']}: {found}"
    ]
    lines += ["", table("", columns, rows)]
    for note in document["notes"]:
        lines.append(f"note: {note}")
    return "\n".join(lines)


def tune_text(document: Mapping[str, Any]) -> str:
    """The trials, and where the best settings lie."""
    rows = [
        (
            str(trial["batch_size"]),
            str(trial["threads"]),
            str(trial["workers"]),
            f"{trial['batch_delay_us']:g}",
            "-" if trial["value"] is None else f"{trial['value']:,.6g} {trial['unit']}",
            trial["source"],
            trial["verdict"],
            "best" if trial["best"] else "",
        )
        for trial in document["trials"]
    ]
    head = ("batch", "threads", "workers", "delay us", "figure", "<source", "<verdict", "<")
    title = f"{document['benchmark']} on {document['device']}, {document['scenario']}"
    lines = [table(title, head, rows)]
    if document["tried_before"]:
        lines.append(f"{document['tried_before']} of {len(rows)} trials are of an earlier run")
    config = document["config"]
    end = "no trial is valid" if config is None else f"best settings  {config}"
    return "\n".join([*lines, end])


def build_text(document: Mapping[str, Any]) -> str:
    """The engines, and where they lie."""
    rows = [
        (
            f"{engine['benchmark']} {engine['scenario']}",
            engine["precision"],
            engine["engine"],
            "built" if engine["built"] else "in the cache",
            ", ".join(map(str, engine["batch_sizes"])),
            f"{engine['bytes'] / 2**20:,.1f}",
        )
        for engine in document["engines"]
    ]
    head = ("benchmark", "<precision", "<engine", "<", "<batches", "MiB")
    lines = [table(f"Engines of {document['benchmark']}", head, rows)]
    folders = dict.fromkeys(engine["folder"] for engine in document["engines"])
    return "\n".join([*lines, *(f"folder  {folder}" for folder in folders)])


def calibrate_text(document: Mapping[str, Any]) -> str:
    """Scores, the gate, the nodes to keep in fp32 and the trials of the search."""
    kind = "per channel" if document["per_channel"] else "per tensor"
    fp32, int8 = document["fp32_score"], document["int8_score"]
    share = f", {int8 / fp32:.3%} of it" if fp32 else ""
    word = "passes" if document["passed"] else "FAILS"
    lines = [
        f"Calibration of {document['benchmark']}: {document['method']}, {kind}, "
        f"{', '.join(document['operators'])}, {document['calibration_samples']:,} samples",
        f"{document['metric']} on {document['evaluated_samples']:,} samples: fp32 {fp32:.3%}, "
        f"int8 {int8:.3%}{share}: {word} {document['gate']:.4g}",
    ]
    if len(document["trials"]) > 1:
        rows = [
            (
                trial["kept"],
                str(trial["nodes"]),
                f"{trial['score']:.3%}",
                "yes" if trial["passed"] else "NO",
            )
            for trial in document["trials"]
        ]
        lines += ["", table("Search", ("kept in fp32", "nodes", "score", "<passes"), rows)]
    keep = document["keep_fp32"]
    if keep:
        end = "passes" if document["kept_passed"] else "still FAILS"
        lines.append(
            f"keep in fp32 ({len(keep)} nodes, {document['kept_score']:.3%}: {end}): "
            f"{', '.join(keep)}"
        )
    lines += [
        f"table   {document['path']} ({document['digest']}, {document['nodes_quantised']} nodes "
        "quantised)",
    ]
    return "\n".join(lines)


def check_text(document: Mapping[str, Any]) -> str:
    """One line a fault, and both opinions."""
    faults = document["faults"]
    word = "no fault" if not faults else f"{len(faults)} fault{'s' * (len(faults) != 1)}"
    lines = [f"{document['folder']}: {word} by the rules of {document['round']}"]
    for fault in faults:
        lines.append(f"  {fault['path']}")
        lines.append(f"    {fault['found']}; asked for: {fault['expected']}")
        lines.append(f"    next: {fault['next_step']}")
    if document["official"] is not None:
        word = "accepts it" if document["official"] else "refuses it"
        lines += ["", f"the official checker {word}"]
        lines += [f"  {line}" for line in document["official_lines"]]
    return "\n".join(lines)
