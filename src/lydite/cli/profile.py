"""`lydite profile`: measure every distinct operator that the backend runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options


@options.takes_options
def profile(
    model: options.Models,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    cache: options.Cache = "rotated",
    clock: options.ClockName = "wall",
    budget: options.Budget = 0.5,
    in_graph: Annotated[
        bool, typer.Option("--in-graph", help="Also keep the backend's own times of whole runs.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure known operators again.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=1,
            help="Longest time in seconds without an answer of the measuring process.",
        ),
    ] = 120.0,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help='Maximum memory of the measuring process, such as "8 GiB".'),
    ] = None,
    device: options.Where = "cpu",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure operators and store them in the database; known ones are not measured again."""
    from lydite.cli.show import deliver, say, session

    result = session(db, seed=seed, quiet=quiet or json).profile(
        model,
        backend=backend,
        threads=threads,
        device=device,
        cache=cache,
        clock=clock,
        budget=budget,
        in_graph=in_graph,
        again=again,
        timeout=timeout,
        memory=memory,
        options=shape,
    )
    if not deliver(result, json=json, out=out):
        return
    for row in result.models:
        for failure in row["failed"][:10]:
            say(f"{row['model']}: {failure['op_type']}: {failure['status']}: {failure['error']}")
    say(f"\nNext: lydite predict {model[0]} --on cpu", quiet)
