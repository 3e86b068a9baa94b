"""`lydite serve`: a language model under load, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.api.serving.options import ServeOptions, WorkloadOptions
from lydite.cli import options, recording

_SERVING, _WORKLOAD = ServeOptions(), WorkloadOptions()
_OWN = options.Without(
    (
        "batch",
        "image_size",
        "sequence",
        "phase",
        "context",
        "dim",
        "value",
        "params",
        "train",
        "optimizer",
        "loss",
        "recompute",
    )
)


@recording.optional
def serve(
    model: options.Model,
    serving: ServeOptions = _SERVING,
    workload: WorkloadOptions = _WORKLOAD,
    shape: Annotated[options.ModelOptions, _OWN] = options.AS_IT_IS,
    slo: Annotated[
        str | None,
        typer.Option("--slo", help="Objectives: ttft.p99=600ms,tpot.p90=16ms (also itl, latency)."),
    ] = None,
    find: Annotated[
        str | None,
        typer.Option(
            "--find",
            help="Search under --slo: fewest gpus, greatest rate, or best config of --gpus.",
        ),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=1, help="Number of devices of --find config.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            help="Layouts to compare: tp2x4,tp4x2,pd2:6; with other weights tp2:fp8,tp2:bf16.",
        ),
    ] = None,
    ray: options.Ray = None,
    report: Annotated[Path | None, typer.Option("--report", help="HTML page to write.")] = None,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve a language model to a workload, in virtual time: latencies, throughput, GPUs needed."""
    from lydite.cli.show import deliver, say, session

    here = session(db, seed=seed, quiet=quiet or json)
    result = here.serve(
        model,
        slo=slo or (),
        find=find,
        gpus=gpus,
        compare=compare or (),
        ray=ray,
        options=shape,
        serving=serving,
        workload=workload,
    )
    deliver(result, json=json)
    for path in result.write(out) if out is not None else ():
        say(f"written: {path}", quiet)
    if report is not None:
        say(f"written: {result.write_report(report)}", quiet)
