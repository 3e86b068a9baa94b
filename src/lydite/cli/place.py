"""`lydite place`: operators over unlike devices."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def place(
    model: options.Models,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            help="Devices separated by commas: cpu, catalog names, .yaml files; the first is the "
            "host, which holds inputs and outputs.",
        ),
    ],
    game: Annotated[
        bool, typer.Option("--game", help="Let several models share the devices, each for itself.")
    ] = False,
    bandwidth: Annotated[
        str, typer.Option("--bandwidth", help="Bandwidth between any two devices.")
    ] = "25 GB/s",
    latency: Annotated[
        str, typer.Option("--latency", help="Latency of a transfer between devices.")
    ] = "10 us",
    time_limit: Annotated[
        float, options.quantity("--time-limit", "s", "Seconds for the exact search.", min=0.01)
    ] = 5.0,
    groups: Annotated[
        int,
        typer.Option(
            "--groups", min=1, help="Largest number of groups of operators that move as one."
        ),
    ] = 24,
    backend: options.BackendName = "onnxruntime",
    threads: options.Threads = 1,
    shape: options.ModelOptions = options.AS_IT_IS,
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Place operators on unlike devices with transfer costs, or let models share them."""
    from lydite.cli.show import deliver, session

    here = session(db, quiet=quiet or json)
    result = here.place(
        model,
        on=on,
        game=game,
        bandwidth=bandwidth,
        latency=latency,
        time_limit=time_limit,
        groups=groups,
        backend=backend,
        threads=threads,
        options=shape,
    )
    deliver(result, json=json, out=out)
