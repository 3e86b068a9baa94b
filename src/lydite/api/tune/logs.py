"""`tune_export` and `tune_import`: logs of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class TuneExportDocument(TypedDict):
    """What was written."""

    path: str
    form: str
    trials: int


@dataclass(frozen=True, eq=False, repr=False)
class TuneExportResult(Result):
    """A written log.

    Attributes:
        facts: The document.
    """

    verb = "tune-export"

    facts: TuneExportDocument

    def document(self) -> TuneExportDocument:
        """Path, form and number of trials."""
        return self.facts

    def summary(self) -> str:
        """One line."""
        return f"{self.facts['trials']} trials written to {self.facts['path']}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The file."""
        return [self.facts]


def tune_export(session: Session, path: Path | str, *, form: str = "lydite") -> TuneExportResult:
    """Write every trial of the database to a log.

    Args:
        session: Session whose database holds the trials.
        path: File to write.
        form: "lydite" (JSON lines, lossless) or "autotvm" (AutoTVM 0.2).

    Raises:
        InputError: the form is unknown, or the file cannot be written.
    """
    from lydite.tune import write_log

    with session.database(existing=True) as database:
        count = write_log(Path(path), database.trials(), form)
    return TuneExportResult({"path": str(path), "form": form, "trials": count})


class TuneImportDocument(TypedDict):
    """What was read; `left_out` counts the records that no schedule space can hold, by reason."""

    path: str
    records: int
    read: int
    added: int
    left_out: dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class TuneImportResult(Result):
    """A log that was read.

    Attributes:
        facts: The document.
    """

    verb = "tune-import"

    facts: TuneImportDocument

    def document(self) -> TuneImportDocument:
        """Counts."""
        return self.facts

    def summary(self) -> str:
        """Counts, and what was left out."""
        facts = self.facts
        lines = [
            f"{facts['records']} records in {facts['path']}: {facts['read']} read, "
            f"{facts['added']} new"
        ]
        lines += [f"left out: {reason} ({count})" for reason, count in facts["left_out"].items()]
        return "\n".join(lines)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The file."""
        return [self.facts]


def tune_import(session: Session, path: Path | str) -> TuneImportResult:
    """Read a log of AutoTVM 0.2 or of Lydite; its configurations are tried first from then on.

    Args:
        session: Session whose database receives the rows.
        path: File to read.

    Raises:
        InputError: the file cannot be read, or a line is of neither form.
        MissingExtra: TVM is not installed, which tells the processor that spaces are for.
    """
    from lydite.backends.tuned import machine
    from lydite.hardware import local_device
    from lydite.tune import read_log

    log = read_log(Path(path), machine(), local_device().name)
    with session.database() as database:
        added = database.load(log.trials)["trials"]
    return TuneImportResult(
        {
            "path": str(path),
            "records": log.records,
            "read": len(log.trials),
            "added": added,
            "left_out": dict(log.left),
        }
    )
