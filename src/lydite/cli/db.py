"""`lydite db`: look into the performance database, and move rows between databases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.store import Measurement

app = typer.Typer(
    help="The database: query, stats, import, export, merge.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DeviceFilter = Annotated[str | None, typer.Option("--device", help="Only rows of this device.")]
_TypeFilter = Annotated[str | None, typer.Option("--op-type", help="Only this operator type.")]
_ScopeFilter = Annotated[str | None, typer.Option("--scope", help="isolated, in_graph or model.")]


_SCOPES = ("isolated", "in_graph", "model")


def _filters(**given: Any) -> dict[str, Any]:
    from lydite.errors import unknown_name

    if given.get("scope") is not None and given["scope"] not in _SCOPES:
        raise unknown_name("scope", given["scope"], _SCOPES)
    return {name: value for name, value in given.items() if value is not None}


@app.command()
def stats(db: options.DatabaseTarget = None, json: options.Json = False) -> None:
    """Count rows by device, backend, operator type and status."""
    from lydite.cli.load import open_database
    from lydite.cli.show import print_json, table

    with open_database(db) as database:
        document = database.stats()
    if json:
        print_json(document)
        return
    for name, value in document.items():
        if isinstance(value, dict) and value:
            rows = sorted(value.items(), key=lambda item: -item[1])
            print(table("", [name, "rows"], [[str(k), str(v)] for k, v in rows[:25]]) + "\n")
        elif not isinstance(value, dict):
            print(f"{name}: {value}")


@app.command()
def query(
    op_type: _TypeFilter = None,
    device: _DeviceFilter = None,
    scope: _ScopeFilter = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Newest rows shown.")] = 20,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Show measurements, newest first."""
    from lydite.cli.load import open_database
    from lydite.cli.show import print_json, table
    from lydite.units import format_seconds

    with open_database(db) as database:
        found = list(
            database.query(limit=limit, **_filters(op_type=op_type, device=device, scope=scope))
        )
    if json:
        print_json({"measurements": [_document(row) for row in found]})
        return
    rows = [
        [
            row.key.qualified_type,
            _first_input(row),
            row.device,
            str(row.conditions.threads),
            row.conditions.cache,
            format_seconds(row.median_s) if row.status == "ok" else row.status,
        ]
        for row in found
    ]
    print(table("", ["operator", "<input", "<device", "threads", "cache", "time"], rows))


def _first_input(row: Any) -> str:
    return str(row.key.inputs[0]) if row.key.inputs else ""


def _document(row: Any) -> dict[str, Any]:
    low, median, high = row.quantiles_s()
    return {
        "key": row.key.text,
        "device": row.device,
        "backend": row.software.backend,
        "versions": dict(row.software.versions),
        "threads": row.conditions.threads,
        "cache": row.conditions.cache,
        "scope": row.conditions.scope,
        "status": row.status,
        "error": row.error,
        "median_s": median,
        "p05_s": low,
        "p95_s": high,
        "samples_s": row.samples_s.tolist(),
        "energy_j": row.energy_j,
        "environment": dict(row.environment),
        "measured_at": row.measured_at,
        "run": row.run,
        "source": row.source,
    }


@app.command("export")
def export(
    path: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz or .parquet file.")],
    op_type: _TypeFilter = None,
    device: _DeviceFilter = None,
    scope: _ScopeFilter = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Write measurements to a file, with all samples."""
    from lydite.cli.load import open_database
    from lydite.cli.show import print_json
    from lydite.errors import InputError
    from lydite.store import export_file

    if path.exists() and not force:
        raise InputError("there is such a file already", where=str(path), hint="add --force")
    with open_database(db) as database:
        count = export_file(database, path, **_filters(op_type=op_type, device=device, scope=scope))
    if json:
        print_json({"measurements": count, "path": str(path)})
    else:
        print(f"{count} measurements written to {path}")


@app.command("import")
def import_(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] FILE",
            help="An exported file, AISim's operator .json, or a .log, .txt or .csv of nccl-tests; "
            "KIND (lydite, aisim, nccl-tests) where the name does not tell.",
        ),
    ],
    device: Annotated[
        str | None,
        typer.Option("--device", help="AISim and nccl-tests: the device it was measured on."),
    ] = None,
    ranks: Annotated[
        int | None,
        typer.Option("--ranks", min=2, help="nccl-tests: how many ranks, if the log has no list."),
    ] = None,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Take over measurements from a file: all of it, or nothing."""
    from lydite.cli.load import open_database
    from lydite.cli.show import print_json
    from lydite.store import import_file

    kind, path = _kind_and_path(file)
    with open_database(db) as database:
        if kind != "lydite":
            rows = _foreign(path, kind == "nccl-tests", device, ranks)
            added = {"measurements": database.add(rows)}
        else:
            added = dict(import_file(database, path))
    if json:
        print_json({"added": added})
    else:
        print(f"{added['measurements']} new measurements from {path}")


_KINDS = ("lydite", "aisim", "nccl-tests")
_BY_SUFFIX = {".json": "aisim", **dict.fromkeys((".log", ".txt", ".csv"), "nccl-tests")}


def _kind_and_path(given: list[str]) -> tuple[str, Path]:
    """Which form a file has: as told, else by its suffix."""
    from lydite.errors import InputError, unknown_name

    if len(given) > 2:
        raise InputError(f"{len(given)} arguments", allowed="[KIND] FILE, one file at a time")
    path = Path(given[-1])
    if len(given) == 2 and given[0] not in _KINDS:
        raise unknown_name("kind of file", given[0], _KINDS)
    return (given[0] if len(given) == 2 else _BY_SUFFIX.get(path.suffix, "lydite")), path


def _foreign(path: Path, is_log: bool, device: str | None, ranks: int | None) -> list[Measurement]:
    from lydite.errors import InputError
    from lydite.store import read_aisim, read_nccl_measurements

    if device is None:
        whose = "nccl-tests' logs" if is_log else "AISim's files"
        raise InputError(
            f"{whose} do not say where they were measured",
            where=str(path),
            hint="add --device NAME",
        )
    if is_log:
        return read_nccl_measurements(path, device=device, ranks=ranks)
    return read_aisim(path, device=device)


@app.command()
def merge(
    other: Annotated[str, typer.Argument(help="Another database: a file or a URL.")],
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """Copy everything that another database holds into this one; nothing is doubled."""
    from lydite.cli.load import open_database
    from lydite.cli.show import print_json

    with open_database(db) as database, open_database(other, read_only=True) as source:
        added = database.merge(source)
    if json:
        print_json({"added": added})
    else:
        print(f"{added['measurements']} new measurements from {other}")
