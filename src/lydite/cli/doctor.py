"""`lydite doctor`: inspect this machine, and name missing packages with install commands."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options


def doctor(
    load: Annotated[
        bool,
        typer.Option(
            "--load", help="Load PyTorch too, which takes seconds, where no accelerator is visible."
        ),
    ] = False,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Inspect this machine: processor, memory, accelerators, backends, sensors, packages."""
    from lydite.cli.show import deliver, session

    result = session().doctor(load=load)
    deliver(result, json=json, out=out, text=lambda: result.summary(missing=not quiet))
