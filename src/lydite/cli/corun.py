"""`lydite corun`: run a model's operators side by side, where that pays."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.always
def corun(
    model: options.Model,
    workers: Annotated[
        int, typer.Option("--workers", help="Number of workers, each with a core of its own.")
    ] = 2,
    shape: options.ModelOptions = options.AS_IT_IS,
    budget: Annotated[
        float, options.quantity("--budget", "s", "Seconds to spend on the comparison.", min=0.01)
    ] = 10.0,
    rounds: Annotated[
        int, typer.Option("--rounds", min=3, help="Largest number of samples of each way.")
    ] = 25,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find which parts of a model gain from running side by side, and run them so."""
    from lydite.cli.show import deliver, session

    result = session(db, seed=seed, quiet=quiet or json).corun(
        model, workers=workers, budget=budget, rounds=rounds, options=shape
    )
    deliver(result, json=json, out=out)
