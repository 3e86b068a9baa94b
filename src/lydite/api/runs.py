"""`runs`: recorded runs and how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.measuring import PROCESS, was_killed
from lydite.errors import InputError, unknown_name
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.store import Run


_OLD_NAMES = {
    "tune op": "tune-op",
    **{
        name.replace("-", "_"): name
        for name in (
            "farm-profile",
            "farm-status",
            "farm-worker",
            "learn-evaluate",
            "learn-fit",
            "profile-plan",
            "score-board",
            "score-compare",
            "score-verify",
        )
    },
}
"""Names of verbs in runs that older releases recorded."""


def verb_of(command: str) -> str:
    """The name by which a recorded command is shown; those of older releases are told as now."""
    return _OLD_NAMES.get(command, command)


def recorded_as(command: str) -> list[str]:
    """All names under which runs of a command may be recorded."""
    return [command, *(old for old, new in _OLD_NAMES.items() if new == command)]


class RunRow(TypedDict):
    """One run; `result` is its final document.

    `duration_s` is null while it runs, and where the verb's clock is not known.
    """

    id: str
    command: str
    arguments: dict[str, Any]
    started_at: str
    finished_at: str | None
    duration_s: float | None
    status: str
    result: dict[str, Any] | None


class RunsDocument(TypedDict):
    """Runs, newest first."""

    runs: list[RunRow]


@dataclass(frozen=True, eq=False, repr=False)
class RunsResult(Result):
    """Runs of a database, newest first.

    Attributes:
        runs: One row per run.
    """

    verb = "runs"

    runs: tuple[RunRow, ...]

    def document(self) -> RunsDocument:
        """All runs with their results."""
        return {"runs": list(self.runs)}

    def summary(self) -> str:
        """A table with one line per run."""
        from lydite.report.text.runs import runs_text

        return runs_text(self.runs)

    def headline(self) -> str:
        """Number of runs."""
        return f"{len(self.runs)} runs"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per run."""
        return self.runs


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(Result):
    """One run.

    Attributes:
        run: Row of the run.
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
        """A single row."""
        return [self.run]


def runs(session: Session, *, limit: int | None = 20) -> RunsResult:
    """List the newest runs of the session's database.

    Args:
        session: Session whose database is read.
        limit: Maximum number of runs; None for all.
    """
    with session.database(existing=True) as database:
        found = database.runs(limit)
    return RunsResult(tuple(row_of(run) for run in found))


def row_of(run: Run) -> RunRow:
    """A recorded run as a row."""
    from lydite.store import seconds_between

    return {
        "id": run.id,
        "command": verb_of(run.command),
        "arguments": {k: v for k, v in run.arguments.items() if k != PROCESS},
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_s": seconds_between(run.started_at, run.finished_at),
        "status": _status(run.status, run.arguments),
        "result": None if run.result is None else dict(run.result),
    }


def _status(status: str, arguments: Mapping[str, Any]) -> str:
    """As recorded; a run whose process is gone was killed before it could say so."""
    killed = status == "running" and was_killed(arguments.get(PROCESS))
    return "killed" if killed else status


def run(session: Session, identity: str) -> RunResult:
    """Show one run of the session's database.

    Args:
        session: Session whose database is read.
        identity: Id of the run, or a prefix of it.

    Raises:
        InputError: no run has this id, or several begin with it.
    """
    every = runs(session, limit=None).runs
    matches = [row for row in every if str(row["id"]).startswith(identity)]
    if len(matches) > 1:
        shown = ", ".join(str(row["id"])[:12] for row in matches[:8])
        raise InputError(f"'{identity}' begins {len(matches)} runs", allowed=shown)
    if matches:
        return RunResult(matches[0])
    raise unknown_name("run", identity, [str(row["id"])[:8] for row in every])
