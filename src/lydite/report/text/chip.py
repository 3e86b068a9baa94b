"""The simulation of a network on a chip, and sweeps, as text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lydite.chip.sweep import value_text
from lydite.report.text import WIDTH, percent, signed_percent, table
from lydite.units import format_seconds, format_si

if TYPE_CHECKING:
    from lydite.chip import ChipRun

_SHOWN = 40


def chip_text(result: ChipRun, document: dict[str, Any]) -> str:
    """Time, energy, area, activity and stalls of the chip, and its layers."""
    power = "power unknown" if document["power_w"] is None else f"{document['power_w']:.3g} W"
    least = "at least " if result.is_least else ""
    head = [
        f"{result.model} on {result.chip.name}: {least}{format_seconds(result.seconds)}, "
        f"{result.cycles:,.0f} cycles",
        f"  {format_si(result.macs, 'MAC')}, {percent(result.utilisation)} of the arrays' peak; "
        f"{document['energy_j'] * 1e3:.3g} mJ, {power}, "
        f"{document['area_mm2']:.3g} mm2 (modelled)",
        *_language_lines(document["language_model"]),
        "",
    ]
    by_part = result.by_part()
    whole = sum(by_part.values()) or 1.0
    parts = sorted(by_part.items(), key=lambda item: -item[1])
    rows = [[name, f"{cycles:,.0f}", percent(cycles / whole)] for name, cycles in parts]
    lines = [*head, table("", ["activity or stall", "cycles", "share"], rows), ""]
    stalls = zip(document["layers"], result.stalls(), strict=True)
    layers = sorted(stalls, key=lambda layer: -layer[0]["cycles"])
    shown = [layer for layer in layers if layer[0]["cycles"] > 0][:_SHOWN]
    rows = [
        [
            layer["name"] + (f" x{layer['runs']}" if layer["runs"] > 1 else ""),
            layer["op_type"],
            layer["on"],
            str(layer["invocations"]),
            f"{layer['cycles']:,.0f}",
            percent(layer["cycles"] / whole),
            max(waits, key=waits.__getitem__),
        ]
        for layer, waits in shown
    ]
    columns = ["layer", "<type", "<on", "calls", "cycles", "share", "<longest part"]
    lines.append(table("", columns, rows))
    if len(layers) > len(shown):
        lines.append(f"  and {len(layers) - len(shown)} more (--json has all)")
    unknown = [cost.name for cost in result.plan.unknown]
    for title, names in (
        ("on the processor", [_on_processor(op) for op in document["on_processor"]]),
        (
            "of unknown work, counted as a pass over their operands",
            unknown,
        ),
        ("at least", [_open(each) for each in document["open_control_flow"]]),
    ):
        if names:
            told = f"{title}: {', '.join(names[:6])}" + (", ..." if len(names) > 6 else "")
            lines += ["", *wrap(told, WIDTH, subsequent_indent="  ")]
    if document.get("ten_percent_more_changes"):
        lines += ["", _changes_text(document["ten_percent_more_changes"])]
    return "\n".join(lines)


def _on_processor(op: dict[str, Any]) -> str:
    """An operator of the processor, why it runs there, and its work."""
    flops = "unknown work" if op["flops"] is None else format_si(op["flops"], "FLOP")
    work = f", {flops}" if op["flops"] != 0 else ""
    return f"{op['name']} ({op['fallback_reason']}{work})"


def _open(each: dict[str, Any]) -> str:
    """Control flow whose work is not all known, and what is counted of it."""
    return f"{each['name']} ({each['op_type']}: {each['reason']}: {format_si(each['macs'], 'MAC')})"


def _language_lines(found: dict[str, Any] | None) -> list[str]:
    """Tokens per second, and the KV cache against what DRAM holds."""
    if found is None:
        return []
    cache, weights, room = (
        format_si(found[name], "B") for name in ("kv_cache_bytes", "weights_bytes", "dram_bytes")
    )
    fits = "of" if found["fits"] else "do not fit in"
    return [
        f"  {found['tokens_per_s']:,.3g} tokens/s; KV cache of {cache} and weights of {weights} "
        f"{fits} {room} of DRAM"
    ]


def _changes_text(changes: dict[str, dict[str, float] | None]) -> str:
    """Table of changes, ordered by time saved; those that do not run come last."""
    known = {name: change for name, change in changes.items() if change is not None}
    rows = [
        [name, *(signed_percent(change[what]) for what in ("time", "power", "area"))]
        for name, change in sorted(known.items(), key=lambda item: item[1]["time"])
    ]
    rows += [[name, "does not run", "", ""] for name in changes if name not in known]
    return table("", ["10 % more of", "time", "power", "area"], rows)


def sweep_text(document: dict[str, Any]) -> str:
    """The designs on the Pareto front, fastest first."""
    rows = [row for row in document["designs"] if row["pareto"]]
    failed = [row for row in document["designs"] if "error" in row]
    rows.sort(key=lambda row: row["seconds"])
    lines = [
        [
            *(value_text(name, row[name]) for name in document["varied"]),
            format_seconds(row["seconds"]),
            f"{row['power_w']:.3g} W",
            f"{row['energy_j'] * 1e3:.3g} mJ",
            f"{row['area_mm2']:.3g}",
            percent(row["utilisation"]),
        ]
        for row in rows[:_SHOWN]
    ]
    columns = [*document["varied"], "time", "power", "energy", "mm2", "arrays"]
    head = (
        f"{document['model']} on {document['chip']}: {len(document['designs'])} designs, "
        f"{len(rows)} of them Pareto-optimal in time, energy and area"
    )
    tail = [f"{len(failed)} do not run: {failed[0]['error']}"] if failed else []
    tail = [line for text in tail for line in wrap(text, WIDTH, subsequent_indent="  ")]
    return "\n".join([head, "", table("", columns, lines), *tail])
