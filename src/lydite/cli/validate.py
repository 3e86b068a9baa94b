"""`lydite validate`: predict and measure models, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options, recording
from lydite.errors import InputError


@recording.optional
def validate(
    model: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="Models as for `lydite inspect`; with --baseline, limits the comparison to these.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Measured training steps: AISim's baseline.json, or a .csv as for calibrate.",
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="Cluster on which the steps of --baseline ran.")
    ] = None,
    constants: Annotated[
        Path | None,
        typer.Option("--constants", help="With --baseline: file that `lydite calibrate` wrote."),
    ] = None,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    clock: options.ClockName = "wall",
    budget: options.Budget = 20.0,
    why: Annotated[
        bool,
        typer.Option(
            "--why", help="Compare operator by operator, timed alone and within the network."
        ),
    ] = False,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure operators and whole models alternately, and compare the prediction with the whole.

    With --baseline, simulate training steps on a cluster and compare them with measured ones;
    --record keeps that comparison, while measurements are kept as runs in any case.
    """
    from lydite.cli.show import deliver, session

    here = session(db, seed=seed, quiet=quiet or json)
    if baseline is not None or on is not None:
        file, cluster = _both(baseline, on)
        result = here.validate_steps(
            file, on=cluster, models=model or [], constants=constants, options=shape
        )
        deliver(result, json=json, out=out)
        return
    if not model:
        raise InputError("no model is named", allowed="MODEL..., or --baseline FILE --on CLUSTER")
    measured = here.validate(
        model, backend=backend, threads=threads, clock=clock, budget=budget, why=why, options=shape
    )
    deliver(measured, json=json, out=out)


def _both(baseline: Path | None, on: str | None) -> tuple[Path, str]:
    if baseline is None:
        raise InputError(f"--on {on} is only for --baseline", hint="add --baseline FILE")
    if on is None:
        raise InputError(f"--baseline {baseline} needs a cluster", hint="add --on CLUSTER")
    return baseline, on
