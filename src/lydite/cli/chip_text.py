"""A network on a chip as a document and as text; sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lydite.chip import ChipResult

_SHOWN = 40


def document(result: ChipResult, compat: bool = False, level: str = "no") -> dict[str, Any]:
    """The whole result, units in the keys; power of SMV's invocations as asked for."""
    from lydite.chip.energy import energy_of

    used = energy_of(result)
    layers = [
        {
            "name": cost.name,
            "op_type": cost.op_type,
            "on": cost.on,
            "kernel": cost.kernel,
            "invocations": cost.invocations,
            "cycles": sum(parts.values()),
            "macs": cost.macs,
            "cycles_by_part": _keyed(parts),
            "load_bytes": cost.load_bytes,
            "store_bytes": cost.store_bytes,
            "host_s": cost.host_s,
            "why": cost.fallback_reason,
            "fallback_reason": cost.fallback_reason,
        }
        for cost, parts in zip(result.plan.costs, result.stalls(), strict=True)
    ]
    return {
        "model": result.model,
        "chip": result.chip.name,
        "kind": "simulated",
        "seconds": result.seconds,
        "cycles": result.cycles,
        "accelerator_cycles": result.plan.cycles,
        "macs": result.macs,
        "utilisation": result.utilisation,
        "cycles_by_part": _keyed(result.by_part()),
        "energy_j": used.joules,
        "energy_by_component_j": _keyed(used.by_component_j),
        "power_w": used.joules / result.seconds if result.seconds else None,
        "area_mm2": used.area_mm2,
        "area_by_component_mm2": _keyed(used.area_by_component_mm2),
        "energy_scope": used.scope,
        "layers": layers,
        "invocations": invocations(result, compat, level),
        "on_processor": [
            {
                "name": c.name,
                "op_type": c.op_type,
                "why": c.fallback_reason,
                "fallback_reason": c.fallback_reason,
                "seconds": c.host_s,
            }
            for c in result.plan.host
        ],
    }


def _keyed(parts: Mapping[str, float]) -> dict[str, float]:
    """Names that people read as keys: "weight load" as "weight_load"."""
    return {name.lower().replace(" ", "_"): value for name, value in parts.items()}


def blocks(result: ChipResult, compat: bool, level: str) -> str:
    """SMAUG's "Aladdin Results" of every invocation."""
    from lydite.chip.energy import smv_power
    from lydite.chip.smv.energy import aladdin_results

    power = smv_power(result, level=level, compat=compat)
    inv: Any = result.plan.invocations
    names = inv.kernel_names
    return "\n".join(aladdin_results(power, row, names[row]) for row in range(len(names)))


def invocations(result: ChipResult, compat: bool, level: str) -> list[dict[str, Any]]:
    """Each invocation of an accelerator, SMV's with their power."""
    from lydite.chip.energy import smv_power

    power = None
    if result.dataflow.has_invocation_power(result.chip):
        power = smv_power(result, level=level, compat=compat)
    jobs, clock = result.plan.jobs, result.chip.clock_hz
    costs = result.plan.costs
    found: list[dict[str, Any]] = []
    for at in range(len(jobs)):
        cost = costs[int(jobs.layer[at])]
        seconds = jobs.begin_s[at] + jobs.load_s[at] + jobs.compute_s[at] + jobs.store_s[at]
        found.append(
            {
                "layer": cost.name,
                "kernel": cost.kernel,
                "cycles": round(float(seconds) * clock),
                "accelerator": int(jobs.accelerator[at]),
                "load_bytes": float(jobs.load_bytes[at]),
                "store_bytes": float(jobs.store_bytes[at]),
            }
        )
        if power is not None:
            found[-1] |= {
                "average_power_mw": float(power.average[at]),
                "upsampled_cycles": float(power.upsampled_cycles[at]),
                "area_um2": float(power.area_um2[at]),
                **{name: round(float(c[at])) for name, c in power.units.columns.items()},
            }
    return found


def text(result: ChipResult, found: dict[str, Any]) -> str:
    """What people read."""
    from lydite.cli.show import WIDTH, percent, table
    from lydite.units import format_seconds, format_si

    power = "power unknown" if found["power_w"] is None else f"{found['power_w']:.3g} W"
    head = [
        f"{result.model} on {result.chip.name}: {format_seconds(result.seconds)}, "
        f"{result.cycles:,.0f} cycles",
        f"  {format_si(result.macs, 'MAC')}, {percent(result.utilisation)} of the arrays; "
        f"{found['energy_j'] * 1e3:.3g} mJ, {power}, "
        f"{found['area_mm2']:.3g} mm2 (modelled)",
        "",
    ]
    by_part = result.by_part()
    whole = sum(by_part.values()) or 1.0
    parts = sorted(by_part.items(), key=lambda item: -item[1])
    rows = [[name, f"{cycles:,.0f}", percent(cycles / whole)] for name, cycles in parts]
    lines = [*head, table("", ["what it does or waits for", "cycles", "share"], rows), ""]
    stalls = zip(found["layers"], result.stalls(), strict=True)
    layers = sorted(stalls, key=lambda layer: -layer[0]["cycles"])
    shown = [layer for layer in layers if layer[0]["cycles"] > 0][:_SHOWN]
    rows = [
        [
            one["name"],
            one["op_type"],
            one["on"],
            str(one["invocations"]),
            f"{one['cycles']:,.0f}",
            percent(one["cycles"] / whole),
            max(waits, key=waits.__getitem__),
        ]
        for one, waits in shown
    ]
    columns = ["layer", "<type", "<on", "calls", "cycles", "share", "<most"]
    lines.append(table("", columns, rows))
    if len(layers) > len(shown):
        lines.append(f"  and {len(layers) - len(shown)} more (--json has all)")
    host = found["on_processor"]
    if host:
        names = ", ".join(f"{one['name']} ({one['why']})" for one in host[:6])
        told = f"on the processor: {names}" + (", ..." if len(host) > 6 else "")
        lines += ["", *wrap(told, WIDTH, subsequent_indent="  ")]
    if found.get("ten_percent_more_changes"):
        lines += ["", _changes_text(found["ten_percent_more_changes"])]
    return "\n".join(lines)


def _changes_text(changes: dict[str, dict[str, float] | None]) -> str:
    """What saves most time first; what does not run, last."""
    from lydite.cli.show import signed_percent, table

    known = {name: change for name, change in changes.items() if change is not None}
    rows = [
        [name, *(signed_percent(change[what]) for what in ("time", "power", "area"))]
        for name, change in sorted(known.items(), key=lambda item: item[1]["time"])
    ]
    rows += [[name, "does not run", "", ""] for name in changes if name not in known]
    return table("", ["10 % more of", "time", "power", "area"], rows)


def sweep_text(found: dict[str, Any]) -> str:
    """The designs that nothing beats, fastest first."""
    from lydite.chip.sweep import value_text
    from lydite.cli.show import WIDTH, percent, table
    from lydite.units import format_seconds

    rows = [row for row in found["designs"] if row["pareto"]]
    failed = [row for row in found["designs"] if "error" in row]
    rows.sort(key=lambda row: row["seconds"])
    lines = [
        [
            *(value_text(name, row[name]) for name in found["varied"]),
            format_seconds(row["seconds"]),
            f"{row['power_w']:.3g} W",
            f"{row['energy_j'] * 1e3:.3g} mJ",
            f"{row['area_mm2']:.3g}",
            percent(row["utilisation"]),
        ]
        for row in rows[:_SHOWN]
    ]
    columns = [*found["varied"], "time", "power", "energy", "mm2", "arrays"]
    head = (
        f"{found['model']} on {found['chip']}: {len(found['designs'])} designs, {len(rows)} of "
        f"them beaten by none in time, energy and area together"
    )
    tail = [f"{len(failed)} do not run: {failed[0]['error']}"] if failed else []
    tail = [line for one in tail for line in wrap(one, WIDTH, subsequent_indent="  ")]
    return "\n".join([head, "", table("", columns, lines), *tail])


def write_sweep_page(found: dict[str, Any], path: Path) -> Path:
    """Time against energy and area, those that nothing beats marked."""
    from lydite.chip.sweep import value_text
    from lydite.report.page import Section, write_page
    from lydite.report.plots import graph_objects

    rows = [row for row in found["designs"] if "error" not in row]
    go = graph_objects()
    sections: list[Section] = []
    for name, title in (("energy_j", "energy, J"), ("area_mm2", "area, mm2")):
        figure = go.Figure()
        for good, label in ((False, "beaten"), (True, "beaten by none")):
            some = [row for row in rows if row["pareto"] == good]
            hover = [
                ", ".join(f"{k} {value_text(k, row[k])}" for k in found["varied"]) for row in some
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
    columns = [*found["varied"], "seconds", "energy_j", "area_mm2", "utilisation", "pareto"]
    table = [[value_text(name, row[name]) for name in columns] for row in rows]
    sections.append(Section("Designs", "All that run; simulated.", columns, table))
    return write_page(
        path,
        f"{found['model']} on {found['chip']}",
        "Designs, simulated; energy modelled",
        sections,
    )
