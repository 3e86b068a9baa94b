"""`lydite calibrate`: fit the simulator's constants to measured steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def calibrate(
    steps: Annotated[
        Path, typer.Argument(metavar="STEPS.csv", help="CSV file with one measured step per row.")
    ],
    on: Annotated[str, typer.Option("--on", help="Cluster on which the steps were measured.")],
    constants: Annotated[
        Path, typer.Option("--constants", help="File to write, for `lydite simulate`.")
    ] = Path("constants.json"),
    rounds: Annotated[
        int, typer.Option("--rounds", min=10, help="Number of simulations of each row.")
    ] = 160,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit constants that no operator measurement gives (launches, efficiencies) to measured steps.

    Columns: model, step_ms, and any of devices, dp, tp, pp, cp, ep, batch, micro_batch, schedule,
    chunks, zero, recompute, attention, overlap, sequence_parallel, bucket, sequence, image_size,
    phase, context, dim, dtype, optimizer, loss. Operators measured in the database keep their
    times.
    """
    from lydite.cli.show import deliver, say, session

    result = session(db, quiet=quiet or json).calibrate(
        steps, on=on, constants=constants, rounds=rounds
    )
    if deliver(result, json=json):
        say(f"written: {constants}", quiet)
