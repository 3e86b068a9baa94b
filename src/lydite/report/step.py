"""A simulated step as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from lydite.cluster.collectives import EFFICIENCY, LAUNCH_S
from lydite.cluster.live import Course, memory_course
from lydite.cluster.program import CATEGORIES
from lydite.cluster.step_result import StepResult, fitting
from lydite.report.page import Section, write_page
from lydite.report.step_plots import (
    Bars,
    bars_of,
    breakdown_plot,
    memory_plot,
    timeline_plot,
)
from lydite.units import format_bytes, format_percent, format_seconds, format_si

TITLES = {
    "forward": "forward",
    "recompute": "forward, again",
    "backward": "backward, data",
    "weights": "backward, weights",
    "optimizer": "optimizer",
    "tensor": "tensor-parallel communication",
    "context": "context-parallel communication",
    "expert": "expert-parallel communication",
    "data": "data-parallel communication, exposed",
    "pipeline": "pipeline communication, exposed",
    "host": "transfers to and from the host, exposed",
    "bubble": "bubble",
}
"""Titles of the parts of a step's breakdown."""

_MOST_COURSES = 8
_ASSUMED = "assumed"
_APART = 1e-3


def write_step_page(result: StepResult, path: Path) -> Path:
    """Write a self-contained page that loads nothing from the network.

    Args:
        result: Result of `simulate_step`.
        path: File to write.

    Raises:
        LyditeError: the file cannot be written.
    """
    sections = [
        _figures(result),
        _timeline(bars_of(result)),
        _breakdown(result),
        _memory(result),
        _critical_path(result),
        _sources(result),
        _plan(result),
        _cluster(result),
        _assumed(result),
    ]
    return write_page(
        path,
        f"{result.model} on {result.cluster.name}",
        "A step, modelled: simulated from estimates of its operators, link figures and the "
        "assumptions listed below; the step as a whole was not measured.",
        sections,
    )


def _figures(result: StepResult) -> Section:
    used = result.peak_memory_bytes / result.capacity_bytes
    energy, cost, co2 = result.energy_j, result.cost_usd, result.co2_kg
    rows = [
        [
            "step",
            format_seconds(result.seconds),
            f"{format_seconds(result.low)} to "
            f"{format_seconds(result.high)}, from the bounds of the operators' estimates",
        ],
        ["batch", str(result.samples), _micro_batches(result)],
        ["samples", f"{result.samples / result.seconds:.4g} per s", f"{result.samples} per step"],
        ["MFU", format_percent(result.mfu), "of the model's FLOPs, without recomputation"],
        [
            "memory",
            format_bytes(result.peak_memory_bytes),
            f"on the fullest rank: {format_percent(used)} of a device; {fitting(result) or 'fits'}",
        ],
        ["energy", *_known(energy and energy / 3.6e6, "kWh", "per step, at rated power")],
        ["cost", *_known(cost, "USD", "per step, at the price per device hour")],
        ["CO2", *_known(co2, "kg", "per step, from that energy")],
    ]
    return Section("Figures (modelled)", columns=["figure", "value", ""], rows=rows)


def _micro_batches(result: StepResult) -> str:
    plan = result.plan
    return (
        f"samples per step: {plan.micro_batches} micro-batches of {plan.micro_batch} on each of "
        f"{plan.dp} replicas; weights in {result.dtype}"
    )


def _known(value: float | None, unit: str, source: str) -> tuple[str, str]:
    """The value with its unit and source, or "unknown"."""
    if value is None:
        return "unknown", "not in the cluster file"
    return f"{value:.4g} {unit}", source


def _timeline(bars: Bars) -> Section:
    folded = bool(bars.rows) and bars.rows[0].startswith("stage ")
    text = (
        "One rank of each stage is shown; the other ranks of the stage do the same."
        if folded
        else ""
    )
    if bars.window_s:
        text += (
            f" There are too many tasks to draw: tasks of one category that begin within "
            f"{format_seconds(bars.window_s)} of each other on one stream are merged into one bar "
            "of their total length."
        )
    if bars.hidden:
        text += f" {bars.hidden} more stages or ranks are not drawn."
    return Section("Timeline", text, plot=timeline_plot(bars))


def _breakdown(result: StepResult) -> Section:
    parts = {
        name: (TITLES.get(name, name), seconds)
        for name, seconds in result.breakdown_s.items()
        if seconds > 0 and not name.startswith("of it")
    }
    rows = [
        [title, format_seconds(seconds), format_percent(seconds / result.seconds)]
        for title, seconds in parts.values()
    ]
    rows.append(["(hidden communication)", format_seconds(result.hidden_s), ""])
    launches = result.breakdown_s.get("of it launches", 0.0)
    return Section(
        "Where the step goes",
        f"Mean over the stages. The computation includes {format_seconds(launches)} of launches "
        "that the device waits for.",
        ["part", "time", "share"],
        rows,
        breakdown_plot(parts, result.hidden_s),
    )


def _memory(result: StepResult) -> Section:
    categories = [
        category for category in result.memory[0] if any(stage[category] for stage in result.memory)
    ]
    columns = ["stage", *categories, "total", "share of a device"]
    rows = []
    for number, stage in enumerate(result.memory):
        whole = sum(stage.values())
        rows.append(
            [
                str(number),
                *(format_bytes(stage[category]) for category in categories),
                format_bytes(whole),
                format_percent(whole / result.capacity_bytes),
            ]
        )
    text = f"Memory of one rank per stage; a device has {format_bytes(result.capacity_bytes)}."
    courses = memory_course(result)
    for row, course in zip(rows, courses, strict=True):
        row.append(format_bytes(course.peak_bytes))
    fullest = sorted(range(len(courses)), key=lambda at: -courses[at].peak_bytes)
    shown = {at: courses[at] for at in sorted(fullest[:_MOST_COURSES])}
    plot = memory_plot(shown, result.capacity_bytes)
    text += _over_time(result, courses, len(shown))
    return Section("Memory", text, [*columns, "simulated peak"], rows, plot)


def _over_time(result: StepResult, courses: Sequence[Course], shown: int) -> str:
    """Explain what the plot shows and how it differs from the table."""
    text = (
        " A layer's activations of a micro-batch are held from the end of its forward pass until "
        "its last gradient is computed."
    )
    if shown < len(courses):
        text += f" The plot shows the {shown} fullest of {len(courses)} stages."
    over = [
        course.peak_bytes / sum(parts.values()) - 1
        for course, parts in zip(courses, result.memory, strict=True)
    ]
    if max(over) > _APART:
        text += (
            f" In the simulation, a stage holds up to {format_percent(max(over))} more than the "
            "closed form in the table."
        )
    if min(over) < -_APART:
        text += (
            " The closed form in the table is an upper bound: in the simulation, a stage holds "
            f"up to {format_percent(-min(over))} less."
        )
    return text


def _critical_path(result: StepResult) -> Section:
    tasks, timeline = result.played.tasks, result.timeline
    path = timeline.critical_path()
    path = path[timeline.spans_of(path) > 0]
    category, spans = timeline.categories_of(path), timeline.spans_of(path)
    rows, words = [], []
    for name, seconds in result.critical_s.items():
        at = np.flatnonzero(category == CATEGORIES.index(name))
        if not at.size:
            continue
        longest = at[np.argmax(spans[at])]
        share = format_percent(seconds / result.seconds)
        words.append(f"{share} {name}")
        rows.append(
            [
                name,
                format_seconds(seconds),
                share,
                str(at.size),
                tasks.names[int(path[longest])],
                format_seconds(float(spans[longest]) * 1e-12),
            ]
        )
    servers = [result.played.server_names[at] for at in timeline.servers_of(path).tolist()]
    places = list(dict.fromkeys(name.rpartition(" ")[0] for name in servers))
    more = f" and {len(places) - 6} more" if len(places) > 6 else ""
    text = (
        f"The step waits for a chain of {path.size} tasks through "
        f"{', '.join(places[:6])}{more}: {', '.join(words)}. Speeding up anything "
        "outside it would not shorten the step."
    )
    columns = ["what", "time", "share", "tasks", "longest task", "of"]
    return Section("Critical path", text, columns, rows)


def _sources(result: StepResult) -> Section:
    rows = [[source, format_percent(share)] for source, share in result.by_source.items()]
    return Section(
        "Sources of the operators' times",
        "Shares of the operators' time. The bounds of the step follow from theirs.",
        ["source", "share"],
        rows,
    )


def _plan(result: StepResult) -> Section:
    plan = result.plan
    rows = [
        [field.name.replace("_", " "), str(getattr(plan, field.name))] for field in fields(plan)
    ]
    rows += [["ranks", str(plan.ranks)], ["micro-batches", str(plan.micro_batches)]]
    return Section("Plan", columns=["", "value"], rows=rows)


def _cluster(result: StepResult) -> Section:
    cluster, device, economics = result.cluster, result.cluster.device, result.cluster.economics
    hosts = f"{cluster.hosts} hosts" if cluster.hosts > 1 else "one host"
    rows = [
        ["cluster", cluster.title, cluster.source("")],
        ["devices", f"{cluster.ranks} in {hosts}", "as requested"],
        ["device", device.title, device.source("")],
        [
            "peak",
            f"{format_si(device.peak(result.dtype), 'FLOP/s')} in {result.dtype}",
            device.source("peak_flops"),
        ],
        ["memory", format_bytes(device.memory_bytes), device.source("memory_bytes")],
        [
            "memory bandwidth",
            format_si(device.memory_bandwidth, "B/s"),
            device.source("memory_bandwidth"),
        ],
        ["host's power", *_known(economics.host_power_w, "W", cluster.source("host_power"))],
        [
            "device hour",
            *_known(
                economics.price_per_device_hour_usd, "USD", cluster.source("price_per_device_hour")
            ),
        ],
        ["grid", *_known(economics.grid_kg_per_kwh, "kg CO2/kWh", cluster.source("grid"))],
    ]
    shown = {"", "host_power", "price_per_device_hour", "grid"}
    rows += [
        [name, "", source]
        for name, source in cluster.sources.items()
        if name not in shown and not source.startswith(_ASSUMED)
    ]
    return Section("Cluster", columns=["figure", "value", "source"], rows=rows)


def _assumed(result: StepResult) -> Section:
    constants = result.constants
    rows = [
        [
            name.removesuffix("_s").replace("_", " "),
            format_seconds(value) if name.endswith("_s") else format_percent(value),
            constants.source,
        ]
        for name, value in constants.values.items()
    ]
    rows += _collectives(result)
    rows += [
        ["gradient bucket", format_bytes(result.plan.bucket_bytes), "default of PyTorch's DDP"],
        ["ranks", "equally fast, unless the cluster file says otherwise", "assumed"],
        ["failures", "none", "assumed"],
    ]
    for owner in (result.cluster, result.cluster.device):
        rows += [
            [f"{owner.name}: {name}", "", source]
            for name, source in owner.sources.items()
            if source.startswith(_ASSUMED)
        ]
    return Section("Assumptions", "", ["constant", "value", "source"], rows)


def _collectives(result: StepResult) -> list[list[str]]:
    """Rows that state where the times of collectives come from."""
    groups = [g for g in result.groups.values() if g.ranks > 1]
    rows = []
    if any(group.model == "nccl" for group in groups):
        rows.append(
            ["collectives", "the fastest of NCCL's algorithms and protocols", "NCCL's model"]
        )
    if any(group.model == "plain" for group in groups):
        rows += [
            ["launch of a collective", format_seconds(LAUNCH_S), _ASSUMED],
            ["achieved share of a link's rate", format_percent(EFFICIENCY), _ASSUMED],
        ]
    return rows
