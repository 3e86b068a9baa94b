"""`lydite ui`: the dashboard, or the pages of a run as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def ui(
    ctx: typer.Context,
    db: options.DatabaseTarget = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="TCP port; 0 for any that is free.")
    ] = 8420,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            help="Another name under which browsers reach this server, as behind a proxy; may be "
            "repeated. The server listens on 127.0.0.1 alone in any case.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=1, max=64, help="Number of processes that answer, for many readers."
        ),
    ] = 1,
    timelines: Annotated[
        Path | None,
        typer.Option(
            "--timelines",
            help="Folder of timelines to show as well: .npz files that --trace of other commands "
            "wrote.",
        ),
    ] = None,
) -> None:
    """Show the database in a browser: runs, measurements, comparisons, coverage, rooflines.

    Prints an address with a token, serves this machine alone, and changes nothing.
    """
    if ctx.invoked_subcommand is not None:
        return
    _needs_starlette()
    from lydite.cli.show import say
    from lydite.web import serve

    def tell(address: str) -> None:
        print(address, flush=True)
        say("Ctrl-C ends it; the address works for whoever has it, on this machine")

    serve(
        db,
        port=port,
        allow_hosts=allow_host or (),
        timelines=timelines,
        workers=workers,
        tell=tell,
    )


@app.command()
def export(
    run: Annotated[
        str, typer.Option("--run", help="Id of the run, or the beginning of it; see `lydite runs`.")
    ],
    out: Annotated[Path, typer.Option("--out", help="New or empty folder; open its index.html.")],
    db: options.DatabaseTarget = None,
    quiet: options.Quiet = False,
) -> None:
    """Write the pages of a run into a folder, to mail or to archive."""
    _needs_starlette()
    from lydite.cli.show import say
    from lydite.web import export_run

    written, left_out = export_run(db, run, out)
    print(out / "index.html")
    say(f"{written} pages", quiet)
    if left_out:
        say(f"warning: {left_out} links lead nowhere, as the folder is full", quiet)


def _needs_starlette() -> None:
    from importlib.util import find_spec

    from lydite.errors import MissingExtra

    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingExtra(package, "web")
