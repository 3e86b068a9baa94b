"""A simulated step as text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from lydite.cluster.collectives import EFFICIENCY
from lydite.cluster.step_result import fitting
from lydite.estimate.roofline import ARITHMETIC
from lydite.estimate.runtimes import RUNTIMES
from lydite.report.step import TITLES
from lydite.report.text import WIDTH, percent, table
from lydite.units import format_bytes, format_seconds, format_si

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lydite.cluster import Plan, StepResult
    from lydite.cluster.search import RankedPlans


def headline(result: StepResult) -> str:
    """The time of the step and its bounds; what has no room comes before both."""
    if not result.fits:
        return (
            f"{result.model} on {result.cluster.name} does not fit: {fitting(result)}\n"
            f"with room for it: {format_seconds(result.seconds)} a step "
            f"({format_seconds(result.low)} to {format_seconds(result.high)})"
        )
    return (
        f"{result.model} on {result.cluster.name}: {format_seconds(result.seconds)} per step "
        f"({format_seconds(result.low)} to {format_seconds(result.high)})"
    )


def step_text(result: StepResult, sequence: int | None = None, dtype_reason: str = "") -> str:
    """A step as text: time, throughput, breakdown, memory, critical path and cost.

    Args:
        result: Simulated step to show.
        sequence: Number of tokens per sample; None where samples have no tokens.
        dtype_reason: Why the weights have their data type; "" to leave it out.
    """

    plan, whole = result.plan, result.seconds
    rate = f"{sequence * result.samples / whole:,.0f}" if sequence else ""
    plural = "token" if sequence == 1 else "tokens"
    tokens = f" of {sequence} {plural} ({rate} tokens/s)" if sequence else ""
    head = [
        headline(result),
        f"  {result.samples / whole:.4g} samples/s{tokens}, MFU {percent(result.mfu)}, weights in "
        f"{result.dtype}",
        f"  {plan.ranks} ranks: {_degrees(plan)}; {plan.micro_batches} micro-batches of "
        f"{plan.micro_batch}, {plan.schedule}",
        *wrap(", ".join(_settings(plan)), WIDTH, initial_indent="  ", subsequent_indent="    "),
        "",
    ]
    rows = [
        [TITLES[name], format_seconds(seconds), percent(seconds / whole)]
        for name, seconds in result.breakdown_s.items()
        if name in TITLES and seconds > 0
    ]
    rows.append(["(of which launches)", format_seconds(result.breakdown_s["of it launches"]), ""])
    rows.append(["(hidden communication)", format_seconds(result.hidden_s), ""])
    memory = max(result.memory, key=lambda stage: sum(stage.values()))
    parts = ", ".join(
        f"{category} {format_bytes(size)}" for category, size in memory.items() if size
    )
    used = percent(result.peak_memory_bytes / result.capacity_bytes)
    sources = ", ".join(f"{name} {percent(share)}" for name, share in result.by_source.items())
    lines = [
        *head,
        table("", ["mean over the stages", "time", "share"], rows),
        "",
        f"memory on the fullest rank: {format_bytes(result.peak_memory_bytes)}, {used} of a device",
        f"  {parts}",
        f"critical path: {_path(result)}",
        f"operators' time: {sources}; constants {result.constants.source}",
        f"simulated: {_how_played(result)}",
        *_runtime(result),
        *([f"weights in {result.dtype}: {dtype_reason}"] if dtype_reason else []),
        *_offloaded(result),
        *_of_two_widths(result),
        *_computed_whole(result),
        *_economics(result),
    ]
    return "\n".join(lines)


def _runtime(result: StepResult) -> list[str]:
    """The runtime, what it costs to launch and in what products run."""
    row = RUNTIMES.get(result.runtime)
    if row is None:
        return []
    constants = result.constants
    launch = f"launches of {format_seconds(constants.dispatch_s or 0.0)}"
    asked = "" if result.plan.runtime else ", the usual one here (--runtime for another)"
    lines = wrap(f"runtime {row.name}: {row.about}{asked}; {launch}", WIDTH, subsequent_indent="  ")
    arithmetic = constants.achieved.arithmetic
    if result.dtype == "float32" and "tf32" in result.cluster.device.peak_flops:
        lines.append(f"float32: {ARITHMETIC[arithmetic]} (--arithmetic for another)")
    elif arithmetic.startswith("fp8"):
        lines.append(f"{result.dtype}: {ARITHMETIC[arithmetic]}")
    return lines


def _offloaded(result: StepResult) -> list[str]:
    """What lies in the host's memory, and at which rates it is moved and updated."""
    host = result.host
    if host is None:
        return []
    given = result.constants.host_memory_bytes_per_s
    where = "as given" if given else "assumed (--host-memory-bandwidth for another)"
    told = (
        f"offload {result.plan.offload}: {format_bytes(result.host_memory_bytes)} in a host; "
        f"{format_si(host.link_bytes_per_s, 'B/s')} a rank each way ({percent(EFFICIENCY)} of the "
        f"cluster's links to the host, assumed); its update limited by host memory of "
        f"{format_si(host.ranks * host.memory_bytes_per_s, 'B/s')}, {where}"
    )
    return wrap(told, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _how_played(result: StepResult) -> str:
    """Which ranks were simulated, and how their collectives were modelled."""
    if result.folded:
        ranks = f"{result.played.ranks} of {result.plan.ranks} ranks, one per stage"
    else:
        tasks = len(result.played.tasks)
        memory = format_bytes(result.played.bytes_a_task * tasks)
        ranks = f"every rank ({tasks:,} tasks, about {memory} of memory)"
    how = {"closed": "collectives in closed form", "links": "collectives as messages over links"}
    return f"{ranks}; {how[result.network]}"


def _computed_whole(result: StepResult) -> list[str]:
    """Note on the operators that tensor parallelism does not divide, by name."""
    if not result.computed_whole:
        return []
    names = ", ".join(f"{name} ({count})" for name, count in result.computed_whole.items())
    told = f"computed in full by every tensor-parallel rank, from gathered inputs: {names}"
    return wrap(told, WIDTH, subsequent_indent="  ")


def _of_two_widths(result: StepResult) -> list[str]:
    """Note that the chip's data type differs from the plan's."""
    chip = result.cluster.device.chip
    if chip is None or chip.dtype == result.dtype:
        return []
    return [
        f"{chip.name} computes {chip.dtype}; weights, memory and messages count as {result.dtype}"
    ]


def _degrees(plan: Plan) -> str:
    """Degrees of parallelism: "dp 4, tp 2, pp 1", and others above 1."""
    more = [f"{name} {getattr(plan, name)}" for name in ("cp", "ep") if getattr(plan, name) > 1]
    if plan.spreads_experts:
        more.append("whole experts spread over tp")
    return ", ".join([f"dp {plan.dp}", f"tp {plan.tp}", f"pp {plan.pp}", *more])


def _settings(plan: Plan) -> list[str]:
    """Memory savings and overlap, those that are not the default included by name."""
    recompute = f"recompute {plan.recompute}"
    if plan.recompute_method:
        recompute += f" ({plan.recompute_method}, {plan.recompute_num_layers} layers)"
    more = [] if plan.overlap else ["gradients reduced at the end"]
    if plan.lora_rank:
        targets = " ".join(plan.lora_targets) or "all products in layers"
        more.append(f"LoRA adapters of rank {plan.lora_rank} beside {targets}")
    zero = f"zero {plan.zero}"
    if plan.shard_size:
        zero += f" in groups of {plan.shard_size}"
    if plan.overlap_tensor:
        more.append("tensor-parallel messages behind products")
    if plan.offload != "none":
        more.append(f"offload {plan.offload}")
    return [zero, recompute, f"attention {plan.attention}", *more]


def _path(result: StepResult) -> str:
    """Shares of the critical path by category."""
    seconds_by_category = {k: v for k, v in result.critical_s.items() if v > 0}
    parts = [
        f"{category} {percent(s / result.seconds)}" for category, s in seconds_by_category.items()
    ]
    return ", ".join(parts[:4]) + (", ..." if len(parts) > 4 else "")


def _economics(result: StepResult) -> list[str]:
    """Energy, price and CO2 of a step (modelled), each with what it is computed from."""
    lines: list[str] = []
    economics = result.cluster.economics
    if result.energy_j is not None:
        lines.append(f"{result.energy_j / 3.6e6:.4g} kWh at rated power")
    if result.cost_usd is not None:
        price = economics.price_per_device_hour_usd
        lines.append(f"{result.cost_usd:.4g} USD at {price} USD per device hour")
    if result.co2_kg is not None:
        lines.append(f"{result.co2_kg:.4g} kg CO2 at {economics.grid_kg_per_kwh} kg/kWh")
    return ["per step (modelled)", *(f"  {line}" for line in lines)] if lines else []


def search_text(plans: RankedPlans) -> str:
    """The best plans, fastest first."""
    lines = [
        [
            format_seconds(r.seconds),
            percent(r.mfu),
            format_bytes(r.peak_memory_bytes),
            f"{r.plan.dp}",
            f"{r.plan.tp}",
            f"{r.plan.pp}",
            f"{r.plan.cp}",
            f"{r.plan.ep}",
            f"{r.plan.micro_batch}",
            f"{r.plan.schedule}" + (f" x {r.plan.chunks}" if r.plan.chunks > 1 else ""),
            f"{r.plan.zero}",
            r.plan.recompute,
            "yes" if r.plan.sequence_parallel else "no",
        ]
        for r in plans.best
    ]
    columns = [
        "step",
        "MFU",
        "memory",
        "dp",
        "tp",
        "pp",
        "cp",
        "ep",
        "micro",
        "<schedule",
        "zero",
        "<recompute",
        "<sequence",
    ]
    head = (
        f"{plans.considered} plans are possible, {plans.fitting} of them fit in memory; the best:"
    )
    most = max(plans.contexts)
    if most > 1:
        head += f"\ncontext parallelism was considered up to cp {most} (--cp for another limit)"
    return f"{head}\n\n{table('', columns, lines)}"


def savings_text(saved: Mapping[str, float]) -> str:
    """Share of the step saved by 10 % more of each resource, largest first."""
    rows = sorted(saved.items(), key=lambda item: -item[1])
    lines = [f"  {name:<20} {percent(share)}" for name, share in rows]
    return "\n".join(["share of the step saved by 10 % more of:", *lines])
