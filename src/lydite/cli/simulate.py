"""`lydite simulate`: a step of a model on a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options
from lydite.cli.step_options import FailureOptions, HostOptions, NetOptions, PlanOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lydite.cluster import StepResult
    from lydite.cluster.goodput import Goodput
    from lydite.graph import Graph


@options.takes_options
def simulate(
    model: options.Model,
    host: HostOptions,
    net: NetOptions,
    degrees: PlanOptions,
    failures: FailureOptions,
    search: Annotated[
        bool, typer.Option("--search", help="The best plans that fit, with --train and --batch.")
    ] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="What 10 % more of each resource buys.")
    ] = False,
    unfolded: Annotated[
        bool, typer.Option("--unfolded", help="Play every kernel and message of every rank.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what does not fit.")] = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="Perfetto trace to write.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write.")] = None,
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a training or inference step: time, where it goes, memory, energy, cost."""
    from lydite.cli.load import as_run, chain_for, load_model, open_database
    from lydite.cli.show import deliver, percent, say
    from lydite.cli.step_text import document, text
    from lydite.cluster import fitting, require_fit, simulate_step
    from lydite.cluster.constants import with_curves
    from lydite.cluster.goodput import document as goodput_document
    from lydite.cluster.goodput import goodput_lines
    from lydite.cluster.sensitivity import sensitivity as buys
    from lydite.estimate import Rows

    cluster, constants, told = host.cluster(), host.known_constants(), failures.seconds()
    if search:
        _searched(model, host, net, degrees, db, out, json, quiet)
        return
    plan = degrees.plan(cluster.ranks, training=net.train)
    shape = net.shape(model, plan.micro_batch, plan.cp, cluster.device)
    graph = load_model(model, shape)
    if not net.train and plan.tp == 1:
        graph = as_run(graph)
    rows = Rows("torch", 1, "wall")
    with open_database(db) as database:
        estimator, _ = chain_for([database], cluster.device, rows, constants.reached)
        constants = with_curves(constants, database, cluster)
        wanted: dict[str, Any] = {
            "loss": net.loss,
            "optimizer": net.optimizer if net.train else None,
            "constants": constants,
        }
        result = simulate_step(graph, cluster, plan, estimator, **wanted, unfolded=unfolded)
        bought = buys(graph, cluster, plan, estimator, **wanted) if sensitivity else {}
    lasting = _goodput(result, told)
    if strict:
        require_fit(result)
    _write(result, trace, report, quiet)
    length = _tokens(graph, plan.cp)
    found = document(result, length) | ({"ten_percent_more_saves": bought} if bought else {})
    if lasting is not None:
        found["goodput"] = goodput_document(lasting)
    if deliver("simulate", found, out, as_json=json):
        return
    print(text(result, length))
    if lasting is not None:
        print("\n".join(goodput_lines(lasting)))
    if bought:
        print("\n10 % more of it saves of the step:")
        for name, share in sorted(bought.items(), key=lambda item: -item[1]):
            print(f"  {name:<20} {percent(share)}")
    missing = fitting(result)
    if missing:
        say(f"does not fit: {missing}", quiet)


def _tokens(graph: Graph, cp: int) -> int | None:
    """Of a sample, over the ranks of its context: the second size of the first whole numbers."""
    for type_ in map(graph.type_of, graph.inputs):
        if type_.dtype in ("int64", "int32") and type_.shape and len(type_.shape) == 2:
            return int(type_.shape[1]) * cp
    return None


def _goodput(result: StepResult, told: Mapping[str, float | None]) -> Goodput | None:
    """What failures leave of the job, if somebody said how often devices fail."""
    from lydite.cluster.goodput import checkpoint_seconds, goodput

    every, rate = told["mtbf"], told["checkpoint_write"]
    if every is None or rate is None:
        return None
    return goodput(
        result.seconds,
        result.samples,
        result.plan.ranks,
        mtbf_device_s=every,
        checkpoint_s=checkpoint_seconds(result.memory, rate),
        restart_s=told["restart"] or 0.0,
        interval_s=told["checkpoint_interval"],
    )


def _write(result: StepResult, trace: Path | None, report: Path | None, quiet: bool) -> None:
    from lydite.cli.show import say

    if trace is not None:
        from lydite.cluster.program import CATEGORIES
        from lydite.report.trace import slices_of, write_trace

        found = slices_of(result.timeline, result.played.server_names, CATEGORIES)
        say(f"written: {write_trace(trace, found, process=result.model)}", quiet)
    if report is not None:
        from lydite.report.step import write_step_page

        say(f"written: {write_step_page(result, report)}", quiet)


def _searched(
    model: str,
    host: HostOptions,
    net: NetOptions,
    degrees: PlanOptions,
    db: str | None,
    out: Path | None,
    json: bool,
    quiet: bool,
) -> None:
    """Search, and show the best plans as a table."""
    from lydite.cli.load import chain_for, load_model, open_database
    from lydite.cli.show import deliver, percent, progress_bar, say, table
    from lydite.cli.step_text import document
    from lydite.cluster.constants import with_curves
    from lydite.cluster.search import search
    from lydite.estimate import Rows
    from lydite.units import format_bytes, format_seconds

    cluster, constants = host.cluster(), host.known_constants()
    degrees.refuse_for_search()
    if not net.train:
        say("plans of a training step (--train)", quiet)
    batch = degrees.batch or 2 * cluster.ranks
    if not degrees.batch:
        say(f"no --batch: {batch} samples a step, two for each device", quiet)

    def build(micro_batch: int) -> Graph:
        trained = replace(net, train=True)
        return load_model(model, trained.shape(model, micro_batch, 1, cluster.device))

    rows = Rows("torch", 1, "wall")
    with open_database(db) as database, progress_bar("search", quiet) as progress:
        estimator, _ = chain_for([database], cluster.device, rows, constants.reached)
        constants = with_curves(constants, database, cluster)
        found = search(
            build,
            cluster,
            batch,
            estimator,
            loss=net.loss,
            optimizer=net.optimizer,
            constants=constants,
            progress=progress,
        )
    plans = {
        "considered": found.considered,
        "fitting": found.fitting,
        "best": [document(result) for result in found.best],
    }
    if deliver("search", plans, out, as_json=json):
        return
    print(f"{found.considered} plans divide, {found.fitting} of them fit; the best, played:\n")
    lines = [
        [
            format_seconds(r.seconds),
            percent(r.mfu),
            format_bytes(r.peak_memory_bytes),
            f"{r.plan.dp}",
            f"{r.plan.tp}",
            f"{r.plan.pp}",
            f"{r.plan.ep}",
            f"{r.plan.micro_batch}",
            f"{r.plan.schedule}" + (f" x {r.plan.chunks}" if r.plan.chunks > 1 else ""),
            f"{r.plan.zero}",
            r.plan.recompute,
            "yes" if r.plan.sequence_parallel else "no",
        ]
        for r in found.best
    ]
    columns = [
        "step",
        "MFU",
        "memory",
        "dp",
        "tp",
        "pp",
        "ep",
        "micro",
        "<schedule",
        "zero",
        "<recompute",
        "<sequence",
    ]
    print(table("", columns, lines))
