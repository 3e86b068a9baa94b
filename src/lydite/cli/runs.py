"""`lydite runs`: what was run, and how it ended."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options


def runs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Newest runs shown.")] = 20,
    show: Annotated[
        str | None, typer.Option("--show", help="Print one run's result by id.")
    ] = None,
    db: options.DatabaseTarget = None,
    json: options.Json = False,
) -> None:
    """List the runs in the database, or show one."""
    from lydite.cli.load import open_database
    from lydite.cli.show import print_json, table
    from lydite.errors import unknown_name

    with open_database(db) as database:
        found = database.runs(None if show else limit)
    documents = [
        {
            "id": run.id,
            "command": run.command,
            "arguments": dict(run.arguments),
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "status": run.status,
            "result": run.result,
        }
        for run in found
    ]
    if show is not None:
        chosen = [d for d in documents if str(d["id"]).startswith(show)]
        if not chosen:
            raise unknown_name("run", show, [str(d["id"])[:8] for d in documents])
        print_json(chosen[0])
        return
    if json:
        print_json({"runs": documents})
        return
    rows = [
        [
            str(d["id"])[:8],
            str(d["started_at"])[:19],
            str(d["command"]),
            str(d["status"]),
            _arguments(d["arguments"]),
        ]
        for d in documents
    ]
    print(table("", ["id", "<started (UTC)", "<command", "<status", "<arguments"], rows))


def _arguments(arguments: object) -> str:
    assert isinstance(arguments, dict)
    parts = []
    for name, value in arguments.items():
        if value is not None:
            parts.append(f"{name}={' '.join(value) if isinstance(value, list) else value}")
    return ", ".join(parts)
