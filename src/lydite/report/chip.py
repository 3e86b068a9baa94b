"""The simulation of a network on a chip as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lydite.chip import ChipRun
from lydite.chip.dataflow import dataflow_of
from lydite.chip.energy import Used
from lydite.chip.figures import energy_of
from lydite.hardware.chip import Chip
from lydite.report.chip_plots import (
    MOST_LAYERS,
    chip_bars,
    chip_timeline,
    layers_figure,
    reached,
    roofline_figure,
)
from lydite.report.page import Section, write_page
from lydite.units import format_bytes, format_percent, format_seconds, format_si

_ASSUMED = "assumed"


def write_chip_page(result: ChipRun, path: Path) -> Path:
    """Write a self-contained page that loads nothing from the network.

    Args:
        result: Result of `run_chip`.
        path: File to write.

    Raises:
        MissingExtra: plotly is not installed.
        LyditeError: the file cannot be written.
    """
    used, stalls = energy_of(result), result.stalls()
    cycles = [sum(parts.values()) for parts in stalls]
    sections = [
        _figures(result, used),
        _parts(result),
        _slowest(result, stalls, cycles),
        Section(
            "Roofline",
            "Layers that multiply: their arithmetic intensity, in multiply-accumulates per byte "
            "moved "
            "between memory and scratchpads, and their rate, waiting included. The roof is the "
            "peak "
            f"rate of all arrays and {format_si(reached(result.chip), 'B/s')}, the bandwidth that "
            "transfers reach through DRAM and bus.",
            figure=roofline_figure(result, cycles),
        ),
        *_timeline(result),
        _layers(result, used, cycles),
        _host(result),
        _components(used),
        _chip(result.chip),
        _assumed(result),
    ]
    return write_page(
        path,
        f"{result.model} on {result.chip.name}",
        "A chip, simulated: cycles come from models of its dataflow, transfers and "
        "processor, energy and area from tables; nothing was measured.",
        sections,
    )


def _figures(result: ChipRun, used: Used) -> Section:
    chip, plan = result.chip, result.plan
    moved = sum(cost.load_bytes + cost.store_bytes for cost in plan.costs)
    rate = moved / result.seconds if result.seconds else 0.0
    host = sum(cost.host_s for cost in plan.host)
    alone = "" if result.soc else "accelerator alone, without processor and memory"
    power = used.joules / result.seconds if result.seconds else 0.0
    rows = [
        ["latency", format_seconds(result.seconds), alone],
        ["cycles", f"{result.cycles:,.0f}", f"at {format_si(chip.clock_hz, 'Hz')}"],
        ["multiply-accumulates", format_si(result.macs, "MAC"), ""],
        [
            "utilisation",
            format_percent(result.utilisation),
            f"of {chip.array.macs * chip.accelerators:,} per cycle",
        ],
        [
            "moved",
            format_bytes(moved),
            f"{format_percent(rate / reached(chip))} of what DRAM and bus can transfer",
        ],
        ["invocations", f"{len(plan.jobs):,}", f"accelerators: {chip.accelerators}"],
        ["on the processor", format_seconds(host), f"{len(plan.host)} operators"],
        ["energy", format_si(used.joules, "J"), "modelled; components below"],
        ["power", format_si(power, "W"), "energy over latency"],
        ["area", f"{used.area_mm2:.3g} mm2", "modelled; components below"],
    ]
    return Section("Figures (simulated)", columns=["figure", "value", ""], rows=rows)


def _parts(result: ChipRun) -> Section:
    parts = sorted(result.by_part().items(), key=lambda item: -item[1])
    whole = sum(cycles for _, cycles in parts) or 1.0
    rows = [[name, f"{cycles:,.0f}", format_percent(cycles / whole)] for name, cycles in parts]
    return Section(
        "Where the time goes",
        "Cycles of all layers, by activity or stall. Cycles with computation count as computation; "
        "the others count as data in flight, flushes or processor time; the rest is waiting.",
        ["part", "cycles", "share"],
        rows,
    )


def _slowest(
    result: ChipRun, stalls: Sequence[dict[str, float]], cycles: Sequence[float]
) -> Section:
    """Bars of the longest layers, in the order of the network."""
    longest = sorted(range(len(cycles)), key=lambda at: -cycles[at])[:MOST_LAYERS]
    shown = sorted(at for at in longest if cycles[at])
    left = sum(1 for total in cycles if total) - len(shown)
    text = f"The {len(shown)} longest layers; {left} more are not drawn." if left else ""
    names = [result.plan.costs[at].name for at in shown]
    figure = layers_figure(names, [stalls[at] for at in shown])
    return Section("What layers wait for", text, figure=figure)


def _timeline(result: ChipRun) -> list[Section]:
    if result.soc is None:
        return []
    bars = chip_bars(result)
    text = "One row per processor core, accelerator and DMA engine."
    if bars.window_s:
        text += (
            f" There are too many tasks to draw: tasks of one category that begin within "
            f"{format_seconds(bars.window_s)} of each other on one row are merged into one bar of "
            "their total length."
        )
    if bars.hidden:
        text += f" {bars.hidden} more rows are not drawn."
    return [Section("Timeline", text, figure=chip_timeline(bars))]


def _layers(result: ChipRun, used: Used, cycles: Sequence[float]) -> Section:
    per_cycle = result.chip.array.macs * result.chip.accelerators
    rows = [
        [
            cost.name,
            cost.op_type,
            cost.on,
            f"{cost.invocations:,}",
            f"{total:,.0f}",
            format_percent(cost.macs / (total * per_cycle)) if total and cost.macs else "",
            format_bytes(cost.load_bytes + cost.store_bytes),
            format_si(joules, "J"),
        ]
        for cost, total, joules in zip(result.plan.costs, cycles, used.by_layer_j, strict=True)
    ]
    columns = ["layer", "type", "on", "invocations", "cycles", "utilisation", "moved", "energy"]
    return Section("Layers", "Energy excludes leakage.", columns, rows)


def _host(result: ChipRun) -> Section:
    rows = [
        [cost.name, cost.op_type, cost.fallback_reason, format_seconds(cost.host_s)]
        for cost in result.plan.host
    ]
    text = "" if rows else "None: the chip runs every operator."
    return Section("Operators on the processor", text, ["operator", "type", "reason", "time"], rows)


def _components(used: Used) -> Section:
    names = dict.fromkeys((*used.by_component_j, *used.area_by_component_mm2))
    rows = []
    for name in names:
        joules, area = used.by_component_j.get(name), used.area_by_component_mm2.get(name)
        rows.append(
            [
                name,
                *(
                    ["", ""]
                    if joules is None
                    else [format_si(joules, "J"), format_percent(joules / (used.joules or 1.0))]
                ),
                *(
                    ["", ""]
                    if area is None
                    else [f"{area:.3g} mm2", format_percent(area / (used.area_mm2 or 1.0))]
                ),
            ]
        )
    columns = ["component", "energy", "share", "area", "share"]
    return Section("Energy and area (modelled)", f"Of {used.scope}.", columns, rows)


def _chip(chip: Chip) -> Section:
    array, dma, cpu, dram = chip.array, chip.dma, chip.cpu, chip.dram
    described = dataflow_of(chip).describe(chip)
    rows = [
        ["chip", chip.title, chip.source("")],
        ["accelerators", str(chip.accelerators), chip.source("accelerators")],
        ["clock", format_si(chip.clock_hz, "Hz"), chip.source("clock")],
        ["array", described.text, chip.source("array")],
        *([name, value, chip.source("array")] for name, value in described.rows),
        [
            "peak",
            format_si(array.macs * chip.clock_hz * chip.accelerators, "MAC/s"),
            f"array and clock, in {chip.dtype}",
        ],
        *(
            [
                f"scratchpad {pad.name}",
                f"{format_bytes(pad.bytes)}, {pad.banks} banks, "
                f"{pad.ports} ports, words of {pad.word_bytes} B",
                chip.source("scratchpads"),
            ]
            for pad in chip.scratchpads
        ),
        [
            "registers",
            format_bytes(chip.registers_bytes) if chip.registers_bytes else "unknown",
            chip.source("registers"),
        ],
        ["vector unit", f"{chip.vector.lanes} lanes", chip.source("vector")],
        [
            "DMA",
            f"{dma.channels} channels, {dma.requests} requests of "
            f"{format_bytes(dma.chunk_bytes)}, setup of {dma.setup_cycles} cycles per page of "
            f"{format_bytes(dma.page_bytes)}",
            chip.source("dma"),
        ],
        [
            "interface",
            f"{chip.interface.kind}, lines of {chip.interface.line_bytes} B",
            chip.source("interface"),
        ],
        [
            "last-level cache",
            format_bytes(chip.cache.bytes) if chip.cache else "none",
            chip.source("cache"),
        ],
        [
            "DRAM",
            f"{dram.name}, {format_si(dram.pins_bytes_per_s, 'B/s')} at the pins",
            dram.source,
        ],
        [
            "bus",
            "as fast as DRAM"
            if chip.bus_bytes_per_s == float("inf")
            else format_si(chip.bus_bytes_per_s, "B/s"),
            chip.source("bus"),
        ],
        ["processor", f"{cpu.cores} cores at {format_si(cpu.clock_hz, 'Hz')}", chip.source("cpu")],
        ["technology", f"{chip.node_nm:g} nm", chip.source("node_nm")],
    ]
    return Section("Chip", columns=["figure", "value", "source"], rows=rows)


def _assumed(result: ChipRun) -> Section:
    chip, cpu = result.chip, result.chip.cpu
    rows = [
        ["cycles of an invocation", dataflow_of(chip).describe(chip).cycles_from],
        ["launch", f"{cpu.launch_cycles:,} processor cycles each"],
        ["operator", f"{cpu.operator_cycles:,} processor cycles before each layer"],
        ["layers", "sequential; transfers share bus and DRAM fairly"],
        ["DRAM's energy", f"{chip.dram.pj_per_bit[1]:g} pJ/bit: {chip.dram.energy_source}"],
        *(
            [name or "chip", text]
            for name, text in chip.sources.items()
            if _ASSUMED in text or name.startswith("note ")
        ),
    ]
    return Section("Assumptions", "", ["subject", "assumption"], rows)
