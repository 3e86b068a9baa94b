"""`lydite calibrate`: the simulator's constants from measured steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options


def calibrate(
    steps: Annotated[Path, typer.Argument(metavar="STEPS.csv", help="One measured step per row.")],
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
    """Fit what no operator tells (launches, efficiencies, a step's constant) to measured steps.

    Columns: model, step_ms, and any of devices, dp, tp, pp, cp, ep, batch, micro_batch, schedule,
    chunks, zero, recompute, attention, overlap, sequence_parallel, bucket, sequence, image_size,
    phase, context, dim, dtype, optimizer, loss. Operators that the database has measured stay as
    measured.
    """
    from lydite.cli.show import deliver, say, session

    result = session(db, quiet=quiet or json).calibrate(
        steps, on=on, constants=constants, rounds=rounds
    )
    if deliver(result, json=json):
        say(f"written: {constants}", quiet)
