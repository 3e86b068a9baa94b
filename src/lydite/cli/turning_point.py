"""`lydite turning-point`: where more threads or a larger batch stop paying."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def turning_point(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Name of the model set, or a file (see `lydite inspect -h`); none with --sweep.",
        ),
    ] = None,
    vary: Annotated[
        str, typer.Option("--vary", help="What to vary: threads, batch, or threads,batch.")
    ] = "threads",
    thread_counts: Annotated[
        str | None,
        typer.Option(
            "--thread-counts", help="Numbers of threads, such as 1,2,4; default: 1 to all cores."
        ),
    ] = None,
    batch_sizes: Annotated[
        str | None,
        typer.Option("--batch-sizes", help="Batch sizes; default: 1,2,4,8,16,32."),
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            "--sweep",
            help="CSV file of a sweep of your own: the varied quantity, then seconds per call.",
        ),
    ] = None,
    extent: Annotated[
        int | None,
        typer.Option(
            "--extent",
            min=1,
            help="Number of equal pieces of work that are dealt to threads; default: not known.",
        ),
    ] = None,
    gain: Annotated[
        float, typer.Option("--gain", help="Share of the time that a step must save to pay.")
    ] = 0.05,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    budget: Annotated[
        float, options.quantity("--budget", "s", "Seconds to spend on each sweep.", min=0.01)
    ] = 20.0,
    rounds: Annotated[
        int, typer.Option("--rounds", min=3, help="Largest number of samples per value.")
    ] = 15,
    clock: options.ClockName = "wall",
    device: options.Where = "cpu",
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find where more threads or a larger batch stop paying, with an interval and the reason.

    What is measured is kept as a run in any case; --record keeps the answer to a --sweep.
    """
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).turning_point(
        model,
        vary=vary,
        thread_counts=thread_counts,
        batch_sizes=batch_sizes,
        sweep=sweep,
        extent=extent,
        gain=gain,
        backend=backend,
        threads=threads,
        device=device,
        clock=clock,
        budget=budget,
        rounds=rounds,
        options=shape,
    )
    deliver(result, json=json, out=out)
