"""`lydite predict`: seconds per operator and in total, with source and bounds."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def predict(
    model: options.Model,
    on: options.On = "cpu",
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    clock: options.ClockName = "wall",
    runtime: options.Runtime = None,
    ops: Annotated[bool, typer.Option("--ops", help="Print one line per operator.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if an operator has no estimate.")
    ] = False,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict a model from its operators: time with bounds, sources and coverage."""
    from lydite.cli.show import deliver, say, session

    here = session(db, seed=seed)
    result = here.predict(
        model,
        on=on,
        backend=backend,
        threads=threads,
        clock=clock,
        runtime=runtime,
        strict=strict,
        options=shape,
    )
    text = functools.partial(result.summary, ops=ops)
    if not deliver(result, json=json, out=out, text=text):
        return
    if result.device.kind != "cpu":
        if runtime is None:
            say(
                "\nNo backend runs there, so the usual fusions of runtimes are assumed.",
                quiet,
            )
        say("Next: lydite db import FILE brings measurements of that device", quiet)
    elif result.coverage.time_share("measured") < 0.999:
        say(f"\nNext: lydite profile {model} measures the operators that are only estimated", quiet)
