"""`lydite farm`: machines that measure operators for others."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options

app = typer.Typer(
    help="Farm of machines that measure for others: worker, status, drain.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def worker(
    device: Annotated[
        str,
        typer.Option("--device", help="Devices to offer: here (all of the backend), cpu or cuda."),
    ] = "here",
    backend: options.BackendName = "onnxruntime",
    host: Annotated[
        str | None,
        typer.Option("--host", help="Name of this machine in the farm; default: its host name."),
    ] = None,
    idle: Annotated[
        float | None,
        options.quantity("--idle", "s", "Seconds without a job after which to stop.", min=0),
    ] = None,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Offer this machine's devices, and measure operators until told to stop.

    SIGTERM and `lydite farm drain` stop it once its current operator is measured.
    """
    from lydite.cli.show import deliver, session

    opened = session(db, quiet=quiet or json)
    deliver(opened.farm_worker(device=device, backend=backend, host=host, idle=idle), json=json)


@app.command()
def status(db: options.DatabaseTarget = None, json: options.Json = False) -> None:
    """Show which machines offer devices, and how many jobs there are."""
    from lydite.cli.show import deliver, session

    deliver(session(db).farm_status(), json=json)


@app.command()
def drain(
    host: Annotated[str, typer.Argument(help="Machine, as `lydite farm status` lists it.")],
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Stop the worker of a machine once its current operator is measured."""
    from lydite.cli.show import deliver, session

    deliver(session(db).farm_drain(host), json=json)
