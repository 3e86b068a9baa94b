"""A simulated step as a document, as text, and as a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lydite.cluster import Plan, StepResult


def document(result: StepResult, sequence: int | None = None) -> dict[str, Any]:
    """The whole result, units in the keys."""
    plan = result.plan
    return {
        "model": result.model,
        "cluster": result.cluster.name,
        "device": result.cluster.device.name,
        "ranks": plan.ranks,
        "plan": {name: getattr(plan, name) for name in plan.__dataclass_fields__},
        "micro_batches": plan.micro_batches,
        "samples": result.samples,
        "step_s": result.seconds,
        "low_s": result.low,
        "high_s": result.high,
        "samples_per_s": result.samples / result.seconds,
        "sequence": sequence,
        "tokens_per_s": sequence and sequence * result.samples / result.seconds,
        "mfu": result.mfu,
        "dtype": result.dtype,
        "breakdown_s": dict(result.breakdown_s),
        "hidden_communication_s": result.hidden_s,
        "critical_path_s": result.critical_s,
        "memory_bytes": [dict(stage) for stage in result.memory],
        "peak_memory_bytes": result.peak_memory_bytes,
        "capacity_bytes": result.capacity_bytes,
        "fits": result.fits,
        "energy_j": result.energy_j,
        "cost_usd": result.cost_usd,
        "co2_kg": result.co2_kg,
        "time_by_source": dict(result.by_source),
        "constants": {**result.constants.values, "source": result.constants.source},
        "collectives": {
            name: {
                "ranks": group.ranks,
                "hosts": group.hosts,
                "model": group.model,
                "measured": sorted(group.measured),
            }
            for name, group in result.groups.items()
            if group.ranks > 1
        },
        "ranks_played": result.played.ranks,
        "kind": "modelled",
    }


def text(result: StepResult, sequence: int | None = None) -> str:
    """What people read."""
    from lydite.cli.show import percent, table
    from lydite.report.step import TITLES
    from lydite.units import format_bytes, format_seconds

    plan, whole = result.plan, result.seconds
    rate = f"{sequence * result.samples / whole:,.0f}" if sequence else ""
    plural = "token" if sequence == 1 else "tokens"
    tokens = f" of {sequence} {plural} ({rate} tokens/s)" if sequence else ""
    head = [
        f"{result.model} on {result.cluster.name}: {format_seconds(whole)} a step "
        f"({format_seconds(result.low)} to {format_seconds(result.high)})",
        f"  {result.samples / whole:.4g} samples/s{tokens}, MFU {percent(result.mfu)}, weights in "
        f"{result.dtype}",
        f"  {plan.ranks} ranks: {_degrees(plan)}; {plan.micro_batches} micro-batches of "
        f"{plan.micro_batch}, {plan.schedule}",
        f"  zero {plan.zero}, recompute {plan.recompute}, attention {plan.attention}"
        + ("" if plan.overlap else ", gradients sent at the end"),
        "",
    ]
    rows = [
        [TITLES[name], format_seconds(seconds), percent(seconds / whole)]
        for name, seconds in result.breakdown_s.items()
        if name in TITLES and seconds > 0
    ]
    rows.append(["(of it launches)", format_seconds(result.breakdown_s["of it launches"]), ""])
    rows.append(["(hidden communication)", format_seconds(result.hidden_s), ""])
    memory = max(result.memory, key=lambda stage: sum(stage.values()))
    kinds = ", ".join(f"{kind} {format_bytes(size)}" for kind, size in memory.items() if size)
    used = percent(result.peak_memory_bytes / result.capacity_bytes)
    sources = ", ".join(f"{name} {percent(share)}" for name, share in result.by_source.items())
    lines = [
        *head,
        table("", ["mean over the stages", "time", "share"], rows),
        "",
        f"memory of the fullest rank: {format_bytes(result.peak_memory_bytes)}, {used} of a device",
        f"  {kinds}",
        f"critical path: {_path(result)}",
        f"operators' time: {sources}; constants {result.constants.source}",
        *_of_two_widths(result),
        *_economics(result),
    ]
    return "\n".join(lines)


def _of_two_widths(result: StepResult) -> list[str]:
    """A chip has one data type, the graph may have another."""
    chip = result.cluster.device.chip
    if chip is None or chip.dtype == result.dtype:
        return []
    return [
        f"{chip.name} computes {chip.dtype}; weights, memory and messages count as {result.dtype}"
    ]


def _degrees(plan: Plan) -> str:
    """ "dp 4, tp 2, pp 1", and what else is above 1."""
    more = [f"{name} {getattr(plan, name)}" for name in ("cp", "ep") if getattr(plan, name) > 1]
    return ", ".join([f"dp {plan.dp}", f"tp {plan.tp}", f"pp {plan.pp}", *more])


def _path(result: StepResult) -> str:
    """What the step's length hangs on, in words."""
    from lydite.cli.show import percent

    found = {k: v for k, v in result.critical_s.items() if v > 0}
    parts = [f"{kind} {percent(s / result.seconds)}" for kind, s in found.items()]
    return ", ".join(parts[:4]) + (", ..." if len(parts) > 4 else "")


def _economics(result: StepResult) -> list[str]:
    """Energy, price, CO2, each with what it was reckoned from; modelled."""
    found: list[str] = []
    economics = result.cluster.economics
    if result.energy_j is not None:
        found.append(f"{result.energy_j / 3.6e6:.4g} kWh at rated power")
    if result.cost_usd is not None:
        price = economics.price_per_device_hour_usd
        found.append(f"{result.cost_usd:.4g} USD at {price} USD a device hour")
    if result.co2_kg is not None:
        found.append(f"{result.co2_kg:.4g} kg CO2 at {economics.grid_kg_per_kwh} kg/kWh")
    return ["a step takes (modelled)", *(f"  {line}" for line in found)] if found else []
