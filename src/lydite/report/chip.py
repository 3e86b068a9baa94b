"""The simulation of a network on a chip as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lydite.chip import ChipRun
from lydite.chip.dataflow import dataflow_of
from lydite.chip.energy import Used
from lydite.chip.figures import energy_of
from lydite.hardware.chip import Chip
from lydite.records import dataclass
from lydite.report.chip_plots import (
    MOST_LAYERS,
    chip_bars,
    chip_timeline,
    layers_plot,
    reached,
    roofline_plot,
)
from lydite.report.page import Section, write_page
from lydite.units import format_bytes, format_percent, format_seconds, format_si

_ASSUMED = "assumed"
_ALIKE = "Layers of one type that do the same work share a row with their sum (x12: twelve layers)."


def write_chip_page(result: ChipRun, path: Path) -> Path:
    """Write a self-contained page that loads nothing from the network.

    Args:
        result: Result of `run_chip`.
        path: File to write.

    Raises:
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
            plot=roofline_plot(result, cycles),
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
    least = "at least " if result.is_least else ""
    calls = sum(cost.invocations for cost in plan.costs)
    power = used.joules / result.seconds if result.seconds else 0.0
    rows = [
        ["latency", f"{least}{format_seconds(result.seconds)}", alone],
        ["cycles", f"{result.cycles:,.0f}", f"at {format_si(chip.clock_hz, 'Hz')}"],
        ["batch", *_batch(result)],
        ["threads", str(result.threads), "of the processor that copy tiles"],
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
        [
            "invocations",
            f"{calls:,}",
            f"accelerators: {chip.accelerators}",
        ],
        ["on the processor", format_seconds(host), f"{len(plan.host)} operators"],
        ["energy", format_si(used.joules, "J"), "modelled; components below"],
        ["power", format_si(power, "W"), "energy over latency"],
        ["area", f"{used.area_mm2:.3g} mm2", "modelled; components below"],
    ]
    return Section("Figures (simulated)", columns=["figure", "value", ""], rows=rows)


def _batch(result: ChipRun) -> tuple[str, str]:
    """Number of samples, and the inputs that they come in."""
    shapes = [
        f"{name} {' x '.join(map(str, shape)) or 'a number'}"
        for name, shape in result.input_shapes.items()
    ]
    more = f" and {len(shapes) - 3} more" if len(shapes) > 3 else ""
    batch = "unknown" if result.batch is None else str(result.batch)
    return batch, f"inputs: {', '.join(shapes[:3])}{more}" if shapes else ""


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


@dataclass(frozen=True, slots=True)
class _Alike:
    """Layers of one type that do the same work: where they are in the plan."""

    label: str
    at: Sequence[int]

    def total(self, values: Sequence[float]) -> float:
        """Sum of their values."""
        return sum(values[at] for at in self.at)


def _alike(result: ChipRun) -> list[_Alike]:
    """All layers, those alike together, in the order of the first of each."""
    groups: dict[object, list[int]] = {}
    for at, cost in enumerate(result.plan.costs):
        work = (cost.op_type, cost.on, cost.invocations, cost.macs, cost.host_flops)
        groups.setdefault((*work, cost.load_bytes, cost.store_bytes), []).append(at)
    named = [(result.plan.costs[group[0]].name, group) for group in groups.values()]
    return [
        _Alike(name if len(group) == 1 else f"{name} x{len(group)}", group) for name, group in named
    ]


def _slowest(
    result: ChipRun, stalls: Sequence[Mapping[str, float]], cycles: Sequence[float]
) -> Section:
    """Bars of the longest layers, in the order of the network."""
    groups = [group for group in _alike(result) if group.total(cycles)]
    longest = sorted(groups, key=lambda group: -group.total(cycles))[:MOST_LAYERS]
    shown = [group for group in groups if group in longest]
    left = len(groups) - len(shown)
    text = f"The {len(shown)} longest rows; {left} more are not drawn." if left else ""
    summed = [_sum([stalls[at] for at in group.at]) for group in shown]
    text = f"{_ALIKE} {text}".strip()
    plot = layers_plot([group.label for group in shown], summed)
    return Section("What layers wait for", text, plot=plot)


def _sum(stalls: Sequence[Mapping[str, float]]) -> dict[str, float]:
    parts: dict[str, float] = {}
    for layer in stalls:
        for name, cycles in layer.items():
            parts[name] = parts.get(name, 0.0) + cycles
    return parts


def _timeline(result: ChipRun) -> list[Section]:
    if result.soc is None:
        return []
    bars = chip_bars(result)
    text = "One row per processor core, accelerator and DMA engine."
    if any(cost.runs > 1 for cost in result.plan.costs):
        text += " Of iterations of a loop that are alike, one is drawn."
    if bars.window_s:
        text += (
            f" There are too many tasks to draw: tasks of one category that begin within "
            f"{format_seconds(bars.window_s)} of each other on one row are merged into one bar of "
            "their total length."
        )
    if bars.hidden:
        text += f" {bars.hidden} more rows are not drawn."
    return [Section("Timeline", text, plot=chip_timeline(bars))]


def _layers(result: ChipRun, used: Used, cycles: Sequence[float]) -> Section:
    per_cycle = result.chip.array.macs * result.chip.accelerators
    costs = result.plan.costs
    rows = []
    for group in _alike(result):
        first, count, total = costs[group.at[0]], len(group.at), group.total(cycles)
        macs, moved = count * first.macs, count * (first.load_bytes + first.store_bytes)
        rows.append(
            [
                group.label,
                first.op_type,
                first.on,
                f"{count * first.invocations:,}",
                f"{total:,.0f}",
                format_percent(macs / (total * per_cycle)) if total and macs else "",
                format_bytes(moved),
                format_si(group.total(used.by_layer_j), "J"),
            ]
        )
    columns = ["layer", "type", "on", "invocations", "cycles", "utilisation", "moved", "energy"]
    return Section("Layers", f"{_ALIKE} Energy excludes leakage.", columns, rows)


def _host(result: ChipRun) -> Section:
    costs = {cost.name: cost for cost in result.plan.host}
    groups: dict[tuple[str, str], list[str]] = {}
    for cost in result.plan.host:
        groups.setdefault((cost.op_type, cost.fallback_reason), []).append(cost.name)
    rows = [
        [
            names[0] if len(names) == 1 else f"{names[0]} x{len(names)}",
            op_type,
            reason,
            format_seconds(sum(costs[name].host_s for name in names)),
        ]
        for (op_type, reason), names in groups.items()
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
