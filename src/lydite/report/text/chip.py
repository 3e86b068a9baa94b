"""A network on a chip, and sweeps, as text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lydite.chip.sweep import value_text
from lydite.report.text import WIDTH, percent, signed_percent, table
from lydite.units import format_seconds, format_si

if TYPE_CHECKING:
    from lydite.chip import ChipResult

_SHOWN = 40


def chip_text(result: ChipResult, found: dict[str, Any]) -> str:
    """Time, energy and area, what the chip does or waits for, its layers."""
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
        names = ", ".join(f"{one['name']} ({one['fallback_reason']})" for one in host[:6])
        told = f"on the processor: {names}" + (", ..." if len(host) > 6 else "")
        lines += ["", *wrap(told, WIDTH, subsequent_indent="  ")]
    if found.get("ten_percent_more_changes"):
        lines += ["", _changes_text(found["ten_percent_more_changes"])]
    return "\n".join(lines)


def _changes_text(changes: dict[str, dict[str, float] | None]) -> str:
    """Changes ordered by time saved; those that do not run come last."""
    known = {name: change for name, change in changes.items() if change is not None}
    rows = [
        [name, *(signed_percent(change[what]) for what in ("time", "power", "area"))]
        for name, change in sorted(known.items(), key=lambda item: item[1]["time"])
    ]
    rows += [[name, "does not run", "", ""] for name in changes if name not in known]
    return table("", ["10 % more of", "time", "power", "area"], rows)


def sweep_text(found: dict[str, Any]) -> str:
    """The designs on the Pareto front, fastest first."""
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
