"""`lydite simulate`: a step of a model on a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.cluster import StepResult
    from lydite.graph import Graph
    from lydite.hardware.cluster import Cluster
    from lydite.report.trace import Slice


def simulate(
    model: options.Model,
    on: Annotated[
        str, typer.Option("--on", help='Cluster: a name, "NAME x HOSTS", or a .yaml file.')
    ] = "dgx-a100",
    devices: Annotated[int | None, typer.Option("--devices", min=1, help="Use so many.")] = None,
    train: Annotated[bool, typer.Option("--train", help="A training step.")] = False,
    tp: Annotated[int, typer.Option("--tp", min=1, help="Ranks that share each product.")] = 1,
    pp: Annotated[int, typer.Option("--pp", min=1, help="Stages of the pipeline.")] = 1,
    dp: Annotated[
        int | None, typer.Option("--dp", min=1, help="Copies; default: the rest.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Samples of a step, over all.")] = 0,
    micro_batch: Annotated[
        int | None, typer.Option("--micro-batch", min=1, help="Samples through the pipe at once.")
    ] = None,
    schedule: Annotated[
        str, typer.Option("--schedule", help="gpipe, 1f1b, interleaved or zero-bubble.")
    ] = "1f1b",
    chunks: Annotated[int, typer.Option("--chunks", min=1, help="Of a rank, interleaved.")] = 1,
    zero: Annotated[int, typer.Option("--zero", min=0, max=3, help="What copies share out.")] = 0,
    recompute: Annotated[
        str, typer.Option("--recompute", help="none, selective or full.")
    ] = "none",
    sequence_parallel: Annotated[
        bool, typer.Option("--sequence-parallel", help="With --tp: share norms out too.")
    ] = False,
    sequence: Annotated[int | None, typer.Option("--sequence", min=1, help="Tokens.")] = None,
    image_size: Annotated[int | None, typer.Option("--image-size", min=1, help="Pixels.")] = None,
    phase: Annotated[str | None, typer.Option("--phase", help="Without --train.")] = None,
    context: Annotated[int | None, typer.Option("--context", min=0, help="Cached tokens.")] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="As for inspect.")] = None,
    optimizer: Annotated[str, typer.Option("--optimizer", help="With --train.")] = "adam",
    loss: Annotated[str | None, typer.Option("--loss", help="With --train.")] = None,
    search: Annotated[
        bool, typer.Option("--search", help="The best plans that fit, with --train and --batch.")
    ] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="What 10 % more of each resource buys.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what does not fit.")] = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="Perfetto trace to write.")] = None,
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a training or inference step: time, where it goes, memory, energy, cost."""
    from lydite.cli.load import load_model, open_database
    from lydite.cli.show import deliver, percent, say
    from lydite.cluster import filled, fitting, require_fit, simulate_step
    from lydite.cluster.sensitivity import sensitivity as buys
    from lydite.estimate import Rows
    from lydite.estimate.assemble import usual_chain
    from lydite.hardware.cluster import read_cluster

    cluster = read_cluster(on, devices)
    if search:
        shape = options.ModelOptions(sequence=sequence, image_size=image_size, dtype=dtype)
        _searched(model, shape, cluster, batch, loss, optimizer, db, out, json, quiet)
        return
    plan = filled(
        cluster.ranks, tp=tp, pp=pp, dp=dp, batch=batch, schedule=schedule, chunks=chunks,
        zero=zero, recompute=recompute, sequence_parallel=sequence_parallel,
        micro_batch=micro_batch or max(1, _even(batch, cluster.ranks, tp, pp, dp)),
    )  # fmt: skip
    shape = options.ModelOptions(
        batch=plan.micro_batch, sequence=sequence, image_size=image_size, context=context,
        phase=phase, dtype=dtype,
    )  # fmt: skip
    if train and phase is None and _takes_phase(model):
        shape = options.ModelOptions(**{**vars(shape), "phase": "forward"})
    graph = load_model(model, shape)
    with open_database(db) as database:
        estimator, _ = usual_chain([database], cluster.device, Rows("torch", 1, "wall"))
        wanted: dict[str, Any] = {"loss": loss, "optimizer": optimizer if train else None}
        result = simulate_step(graph, cluster, plan, estimator, **wanted)
        bought = buys(graph, cluster, plan, estimator, **wanted) if sensitivity else {}
    if strict:
        require_fit(result)
    if trace is not None:
        from lydite.report.trace import write_trace

        say(f"written: {write_trace(trace, _slices(result), process=result.model)}", quiet)
    found = document(result) | ({"ten_percent_more_saves": bought} if bought else {})
    if deliver("simulate", found, out, as_json=json):
        return
    print(text(result))
    if bought:
        print("\n10 % more of it saves of the step:")
        for name, share in sorted(bought.items(), key=lambda item: -item[1]):
            print(f"  {name:<20} {percent(share)}")
    missing = fitting(result)
    if missing:
        say(f"does not fit: {missing}", quiet)


def _searched(
    model: str, shape: options.ModelOptions, cluster: Cluster, batch: int, loss: str | None,
    optimizer: str, db: str | None, out: Path | None, json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Search, and show the best plans as a table."""
    from lydite.cli.load import load_model, open_database
    from lydite.cli.show import deliver, percent, progress_bar, table
    from lydite.cluster.search import search
    from lydite.errors import InputError
    from lydite.estimate import Rows
    from lydite.estimate.assemble import usual_chain
    from lydite.units import format_bytes, format_seconds

    if not batch:
        raise InputError("a search needs the samples of a step", hint="add --batch N")
    phase = "forward" if _takes_phase(model) else None

    def build(micro_batch: int) -> Graph:
        return load_model(model, replace(shape, batch=micro_batch, phase=phase))

    with open_database(db) as database, progress_bar("search", quiet) as progress:
        estimator, _ = usual_chain([database], cluster.device, Rows("torch", 1, "wall"))
        found = search(
            build, cluster, batch, estimator, loss=loss, optimizer=optimizer, progress=progress
        )
    plans = {"considered": found.considered, "fitting": found.fitting,
             "best": [document(result) for result in found.best]}  # fmt: skip
    if deliver("search", plans, out, as_json=json):
        return
    print(f"{found.considered} plans divide, {found.fitting} of them fit; the best, played:\n")
    rows = [
        [format_seconds(r.seconds), percent(r.mfu), format_bytes(r.peak_memory_bytes),
         f"{r.plan.dp}", f"{r.plan.tp}", f"{r.plan.pp}", f"{r.plan.micro_batch}",
         f"{r.plan.schedule}" + (f" x {r.plan.chunks}" if r.plan.chunks > 1 else ""),
         f"{r.plan.zero}", r.plan.recompute, "yes" if r.plan.sequence_parallel else "no"]
        for r in found.best
    ]  # fmt: skip
    columns = ["step", "MFU", "memory", "dp", "tp", "pp", "micro", "<schedule", "zero",
               "<recompute", "<sequence"]  # fmt: skip
    print(table("", columns, rows))


def _slices(result: StepResult) -> list[Slice]:
    """Every task that took time, on its stage's stream."""
    from lydite.cluster.program import CATEGORIES
    from lydite.report.trace import Slice

    tasks, timeline = result.played.tasks, result.timeline
    found: list[Slice] = []
    for task in timeline.span_ps.nonzero()[0].tolist():
        track = result.played.server_names[tasks.resource[task]]
        start, span = timeline.start_ps[task] * 1e-12, timeline.span_ps[task] * 1e-12
        kind = {"kind": CATEGORIES[tasks.category[task]]}
        found.append(Slice(track, tasks.names[task], float(start), float(span), kind))
    return found


def _even(batch: int, ranks: int, tp: int, pp: int, dp: int | None) -> int:
    """All of a copy's samples at once, where there is no pipeline."""
    return batch // (dp or max(1, ranks // (tp * pp))) if batch and pp == 1 else 1


def _takes_phase(model: str) -> bool:
    from lydite.models import describe, model_names

    if model.endswith("config.json") or (Path(model) / "config.json").is_file():
        return True
    return model in model_names() and "phase" in describe(model).defaults


def document(result: StepResult) -> dict[str, Any]:
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
        "mfu": result.mfu,
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
        "kind": "modelled",
    }


def text(result: StepResult) -> str:
    """What people read."""
    from lydite.cli.show import percent, table
    from lydite.units import format_bytes, format_seconds

    plan, whole = result.plan, result.seconds
    head = [
        f"{result.model} on {result.cluster.name}: {format_seconds(whole)} a step "
        f"({format_seconds(result.low)} to {format_seconds(result.high)})",
        f"  {result.samples / whole:.4g} samples/s, MFU {percent(result.mfu)}",
        f"  {plan.ranks} ranks: dp {plan.dp}, tp {plan.tp}, pp {plan.pp}; {plan.micro_batches} "
        f"micro-batches of {plan.micro_batch}, {plan.schedule}",
        f"  zero {plan.zero}, recompute {plan.recompute}",
        "",
    ]
    rows = [
        [_TITLES[name], format_seconds(seconds), percent(seconds / whole)]
        for name, seconds in result.breakdown_s.items() if name in _TITLES and seconds > 0
    ]  # fmt: skip
    rows.append(["(hidden communication)", format_seconds(result.hidden_s), ""])
    memory = max(result.memory, key=lambda stage: sum(stage.values()))
    kinds = ", ".join(f"{kind} {format_bytes(size)}" for kind, size in memory.items() if size)
    used = percent(result.peak_memory_bytes / result.capacity_bytes)
    sources = ", ".join(f"{name} {percent(share)}" for name, share in result.by_source.items())
    lines = [
        *head, table("", ["mean over the stages", "time", "share"], rows), "",
        f"memory of the fullest rank: {format_bytes(result.peak_memory_bytes)}, {used} of a device",
        f"  {kinds}",
        f"critical path: {_path(result)}",
        f"operators' time: {sources}",
        *_economics(result),
    ]  # fmt: skip
    return "\n".join(lines)


def _path(result: StepResult) -> str:
    """What the step's length hangs on, in words."""
    from lydite.cli.show import percent

    found = {k: v for k, v in result.critical_s.items() if v > 0}
    parts = [f"{kind} {percent(s / result.seconds)}" for kind, s in found.items()]
    return ", ".join(parts[:4]) + (", ..." if len(parts) > 4 else "")


_TITLES = {
    "forward": "forward", "backward": "backward, data", "weights": "backward, weights",
    "optimizer": "optimizer", "tensor": "tensor-parallel communication",
    "data": "data-parallel communication, exposed", "pipeline": "pipeline communication, exposed",
    "bubble": "bubble",
}  # fmt: skip


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
