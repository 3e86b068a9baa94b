"""`lydite ops`: the operators that matter in a model's lowered graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def ops(
    model: options.Model,
    top: Annotated[
        int, typer.Option("--top", min=0, help="Number of operators to list; 0 for all.")
    ] = 10,
    on: options.On = "cpu",
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    clock: options.ClockName = "wall",
    spaces: Annotated[
        Path | None,
        typer.Option(
            "--spaces", help="File for the factors of the schedule spaces, as JSON lines."
        ),
    ] = None,
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List the operators that take longest: share of time, work, what bounds them, schedules."""
    from lydite.cli.show import deliver, say, session

    here = session(db)
    result = here.ops(
        model,
        top=top,
        on=on,
        backend=backend,
        threads=threads,
        clock=clock,
        options=shape,
    )
    shown = deliver(result, json=json, out=out)
    if spaces is not None:
        say(f"written: {result.write_spaces(spaces)}", quiet)
    if shown and any(row["configurations"] for row in result.facts["ops"]):
        say(f"\nNext: lydite tune {model} --ops top5", quiet)
