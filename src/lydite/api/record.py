"""`record`: keep a result as a run of the database, for `lydite runs` and `lydite ui`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lydite.api.runs import RunResult
from lydite.errors import InputError
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


def record(
    session: Session, result: Result, *, arguments: Mapping[str, Any] | None = None
) -> RunResult:
    """Keep a result as a finished run of the session's database, under the name of its verb.

    Verbs that measure, such as `bench` and `profile`, record their runs themselves. The run's start
    and end are the time of recording.

    Args:
        session: Session whose database receives the run.
        result: Result of any verb.
        arguments: What the result was made from, as JSON values; shown beside the run.

    Returns:
        The run, with its id.

    Raises:
        InputError: the document exceeds the 32 MB that `lydite ui` shows, or an argument is not a
            JSON value.
        StoreError: the database cannot be written.
    """
    from lydite.api.dashboard import MOST_RESULT_BYTES
    from lydite.store import Run, utc_now

    document = result.to_dict()
    size = len(json.dumps(document, separators=(",", ":")))
    if size > MOST_RESULT_BYTES:
        raise InputError(
            f"the result of {result.verb} has {size / 1e6:.0f} MB, too large for a run",
            allowed=f"{MOST_RESULT_BYTES / 1e6:.0f} MB",
            hint="write it to a file, with --out or to_json()",
        )
    now = utc_now()
    made = Run(
        result.verb,
        arguments or {},
        started_at=now,
        finished_at=now,
        status="done",
        result=document,
    )
    with session.database() as database:
        database.load([made])
    return RunResult(
        {
            "id": made.id,
            "command": made.command,
            "arguments": dict(made.arguments),
            "started_at": made.started_at,
            "finished_at": made.finished_at,
            "status": made.status,
            "result": document,
        }
    )
