"""`lydite runs`: recorded runs and how they ended."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options


def runs(
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Number of newest runs to show.")
    ] = 20,
    show: Annotated[
        str | None, typer.Option("--show", help="Id of a run whose result to print.")
    ] = None,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """List the runs in the database, or show one."""
    from lydite.cli.show import deliver, session

    here = session(db)
    deliver(here.run(show) if show is not None else here.runs(limit=limit), json=json)
