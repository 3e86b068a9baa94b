"""`record`: keep a result as a run of the database, for `lydite runs` and `lydite ui`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lydite.api.runs import RunResult, row_of
from lydite.errors import InputError
from lydite.results import Result, Span

if TYPE_CHECKING:
    from lydite.api.session import Session


def record(
    session: Session, result: Result, *, arguments: Mapping[str, Any] | None = None
) -> RunResult:
    """Keep a result as a finished run of the session's database, under the name of its verb.

    Verbs that measure, such as `bench` and `profile`, record their runs themselves
    (`result.run_id`). The run lasts as long as the verb took in its session; a result that no
    session made has no duration.

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
    from lydite.store import Run

    document = result.to_dict()
    size = len(json.dumps(document, separators=(",", ":")))
    if size > MOST_RESULT_BYTES:
        raise InputError(
            f"the result of {result.verb} has {size / 1e6:.0f} MB, too large for a run",
            allowed=f"{MOST_RESULT_BYTES / 1e6:.0f} MB",
            hint="write it to a file, with --out or to_json()",
        )
    span = result.span or Span(datetime.now(UTC), 0.0)
    made = Run(
        result.verb,
        arguments or {},
        started_at=span.started_at.isoformat(),
        finished_at=(span.started_at + timedelta(seconds=span.seconds)).isoformat(),
        status="done",
        result=document,
    )
    with session.database() as database:
        database.load([made])
    return RunResult(row_of(made))
