"""`runs`: what was run, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.errors import unknown_name
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class RunRow(TypedDict):
    """One run; `result` is the document that it ended with."""

    id: str
    command: str
    arguments: dict[str, Any]
    started_at: str
    finished_at: str | None
    status: str
    result: dict[str, Any] | None


class RunsDocument(TypedDict):
    """Runs, newest first."""

    runs: list[RunRow]


@dataclass(frozen=True, eq=False, repr=False)
class RunsResult(Result):
    """Runs of a database, newest first.

    Attributes:
        runs: one row per run.
    """

    verb = "runs"

    runs: tuple[RunRow, ...]

    def document(self) -> RunsDocument:
        """All of them with their results."""
        return {"runs": list(self.runs)}

    def summary(self) -> str:
        """A table with one line per run."""
        from lydite.report.text.runs import runs_text

        return runs_text(self.runs)

    def headline(self) -> str:
        """How many."""
        return f"{len(self.runs)} runs"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per run."""
        return self.runs


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(Result):
    """One run.

    Attributes:
        run: its row.
    """

    verb = "run"

    run: RunRow

    def document(self) -> RunRow:
        """The run with its result."""
        return self.run

    def summary(self) -> str:
        """The run as JSON."""
        return self.to_json()

    def headline(self) -> str:
        """Id, command and status."""
        return f"{self.run['id'][:8]}: {self.run['command']}, {self.run['status']}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The one row."""
        return [self.run]


def runs(session: Session, *, limit: int | None = 20) -> RunsResult:
    """The newest runs of the session's database.

    Args:
        session: its database is read.
        limit: most runs; None for all.
    """
    with session.database() as database:
        found = database.runs(limit)
    rows: list[Any] = [
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
    return RunsResult(tuple(rows))


def run(session: Session, identity: str) -> RunResult:
    """One run of the session's database.

    Args:
        session: its database is read.
        identity: the run's id, or how it begins.

    Raises:
        InputError: there is no such run.
    """
    every = runs(session, limit=None).runs
    for row in every:
        if str(row["id"]).startswith(identity):
            return RunResult(row)
    raise unknown_name("run", identity, [str(row["id"])[:8] for row in every])
