"""`lydite db`: query the performance database, and move rows between databases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli import options
from lydite.errors import InputError

app = typer.Typer(
    help="The database: query, stats, import, export, merge.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DeviceFilter = Annotated[str | None, typer.Option("--device", help="Only rows of this device.")]
_TypeFilter = Annotated[
    str | None, typer.Option("--op-type", help="Only rows of this operator type.")
]
_ScopeFilter = Annotated[
    str | None, typer.Option("--scope", help="Only rows of this scope: isolated, in_graph, model.")
]


@app.command()
def stats(db: options.DatabaseTarget = None, json: options.Json = False) -> None:
    """Count rows by device, backend, operator type and status."""
    from lydite.cli.show import deliver, session

    deliver(session(db).db_stats(), json=json)


@app.command()
def query(
    op_type: _TypeFilter = None,
    device: _DeviceFilter = None,
    scope: _ScopeFilter = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Number of newest rows to show.")
    ] = 20,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Show measurements, newest first."""
    from lydite.cli.show import deliver, session

    found = session(db).db_query(op_type=op_type, device=device, scope=scope, limit=limit)
    deliver(found, json=json)


@app.command("export")
def export(
    path: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz or .parquet file.")],
    op_type: _TypeFilter = None,
    device: _DeviceFilter = None,
    scope: _ScopeFilter = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Write measurements to a file, with all samples."""
    from lydite.cli.show import deliver, session

    written = session(db).db_export(path, op_type=op_type, device=device, scope=scope, force=force)
    deliver(written, json=json)


@app.command("import")
def import_(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] PATH",
            help="An exported file, AISim's operator .json, an nccl-tests .log, .txt or .csv, or a "
            "folder of them; KIND (lydite, aisim, nccl-tests) if the suffix does not decide. KIND "
            "aiconfigurator, frontier, neusight or vidur: the folder of tables that they publish.",
        ),
    ],
    device: Annotated[
        str | None,
        typer.Option("--device", help="Device that was measured (AISim and nccl-tests)."),
    ] = None,
    ranks: Annotated[
        int | None,
        typer.Option(
            "--ranks", min=2, help="Number of ranks, if an nccl-tests log does not list them."
        ),
    ] = None,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Import measurements from a file or folder; each file completely or not at all.

    Of tables that others publish, what no operator describes is counted by table and reason.
    """
    from lydite.cli.show import deliver, session

    if len(file) > 2:
        raise InputError(f"{len(file)} arguments", allowed="[KIND] PATH, one path at a time")
    kind = file[0] if len(file) == 2 else None
    deliver(session(db).db_import(file[-1], kind, device=device, ranks=ranks), json=json)


@app.command()
def merge(
    other: Annotated[str, typer.Argument(help="Other database: a file or a URL.")],
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Copy all rows of another database into this one, without duplicates."""
    from lydite.cli.show import deliver, session

    deliver(session(db).db_merge(other), json=json)
