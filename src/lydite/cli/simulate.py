"""`lydite simulate`: simulate a step of a model on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api.plan_options import PlanOptions
from lydite.api.simulate import PLAN_DECIDES
from lydite.api.step_options import ClusterOptions, FailureOptions
from lydite.cli import options, recording
from lydite.errors import InputError


@recording.optional
def simulate(
    model: options.Model,
    host: ClusterOptions,
    net: Annotated[options.ModelOptions, options.Without(PLAN_DECIDES)],
    plan: PlanOptions,
    failures: FailureOptions,
    runtime: options.Runtime = None,
    search: Annotated[
        bool, typer.Option("--search", help="Search for the fastest plans that fit in memory.")
    ] = False,
    ray: options.Ray = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Show what 10 % more of each resource saves.")
    ] = False,
    unfolded: Annotated[
        bool, typer.Option("--unfolded", help="Simulate every kernel and message of every rank.")
    ] = False,
    network: Annotated[
        str,
        typer.Option(
            "--network",
            help="Collective model: closed (closed forms) or links (messages sharing links).",
        ),
    ] = "closed",
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if the step does not fit in a rank's memory.")
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="Perfetto trace to write, or a .npz for `lydite ui`."),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write.")] = None,
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a training or inference step: time, breakdown, memory, energy and cost."""
    from lydite.cli.show import deliver, say, session

    here = session(db, quiet=quiet)
    if search:
        _refuse_for_search(
            {
                "--runtime": runtime,
                "--sensitivity": sensitivity,
                "--unfolded": unfolded,
                "--network": network != "closed",
                "--trace": trace,
                "--report": report,
                "--mtbf": failures.mtbf,
            }
        )
        found = here.search(model, options=net, cluster=host, plan=plan, ray=ray)
        if not net.train:
            say("plans of a training step (--train)", quiet)
        if not plan.batch:
            say(f"no --batch: {found.samples} samples per step, two per device", quiet)
        deliver(found, json=json, out=out)
        return
    if ray is not None:
        raise InputError("--ray is for searches", hint="add --search")
    result = here.simulate(
        model,
        runtime=runtime,
        sensitivity=sensitivity,
        unfolded=unfolded,
        network=network,
        strict=strict,
        options=net,
        cluster=host,
        plan=plan,
        failures=failures,
    )
    if trace is not None:
        say(f"written: {result.write_trace(trace)}", quiet)
    if report is not None:
        say(f"written: {result.write_report(report)}", quiet)
    if deliver(result, json=json, out=out) and not result.fits:
        say(f"does not fit: {result.misfit}", quiet)


def _refuse_for_search(given: dict[str, object]) -> None:
    """Refuse options that a search would ignore."""
    for option, value in given.items():
        if value:
            raise InputError(f"--search takes no {option}", hint=f"leave {option} out")
