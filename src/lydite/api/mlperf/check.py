"""`mlperf check`: every fault of a submission, with our opinion beside the official checker's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.errors import InputError
from lydite.exhibits import Exhibit
from lydite.mlperf.endpoints import check_endpoints, is_endpoints
from lydite.mlperf.fault import Fault
from lydite.mlperf.round import NEWEST, find_round
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session

_OFFICIAL_S = 600
_STAMP = re.compile(r"^\[[\d-]+ [\d:,]+ \S+ (?=ERROR\])")
"""Time and line of the program before a message of the official checker."""
ENDPOINTS = "MLPerf Endpoints"


class FaultDocument(TypedDict):
    """One fault."""

    path: str
    found: str
    expected: str
    next_step: str


class MlperfCheckDocument(TypedDict):
    """Faults of a submission; `official` is null where no checkout was given."""

    folder: str
    round: str
    ok: bool
    faults: list[FaultDocument]
    official: bool | None
    official_lines: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfCheckResult(Result):
    """What is wrong with a submission.

    Attributes:
        folder: Folder that was checked.
        round: Round, or "MLPerf Endpoints".
        faults: Faults, in the order of the tree.
        official: Opinion of the official checker; None where it was not run.
        official_lines: Its errors.
    """

    verb = "mlperf-check"
    exhibits = (
        Exhibit(
            "Faults",
            "/faults",
            {"path": "path", "found": "found", "expected": "asked for", "next_step": "next step"},
        ),
    )

    folder: Path
    round: str
    faults: tuple[Fault, ...]
    official: bool | None
    official_lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def document(self) -> MlperfCheckDocument:
        """All faults, and both opinions."""
        return {
            "folder": str(self.folder),
            "round": self.round,
            "ok": self.ok,
            "faults": [
                {
                    "path": str(fault.path),
                    "found": fault.found,
                    "expected": fault.expected,
                    "next_step": fault.next_step,
                }
                for fault in self.faults
            ],
            "official": self.official,
            "official_lines": list(self.official_lines),
        }

    def summary(self) -> str:
        """One line a fault, and both opinions."""
        from lydite.report.text.mlperf import check_text

        return check_text(self.document())

    def headline(self) -> str:
        """Number of faults."""
        return f"{self.folder}: {len(self.faults)} faults by the rules of {self.round}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per fault."""
        return self.document()["faults"]


def check(
    session: Session,
    folder: Path | str,
    *,
    round: str = NEWEST,
    official: Path | str | None = None,
    submitter: str = "",
) -> MlperfCheckResult:
    """Check a submission against the rules of its round.

    A tree of MLPerf Endpoints is handed to `endpoints-submission-cli`, where that is installed.

    Args:
        session: Session.
        folder: Folder that holds closed, open or network.
        round: Round of MLPerf Inference.
        official: Checkout of mlcommons/inference, whose checker is run as well.
        submitter: Submitter that the official checker is to look at; "" for all.

    Raises:
        InputError: an unknown round, no such folder, no checker in the checkout, or a tree of
            Endpoints without its checker.
    """
    del session
    from lydite.mlperf.check import check as check_tree

    chosen = find_round(round)
    if is_endpoints(Path(folder)):
        found = tuple(check_endpoints(Path(folder)))
        return MlperfCheckResult(Path(folder), ENDPOINTS, found, None, ())
    faults = check_tree(Path(folder), chosen)
    passed, lines = None, ()
    if official is not None:
        passed, lines = _official(Path(folder), Path(official), chosen.name, submitter)
    return MlperfCheckResult(Path(folder), chosen.name, tuple(faults), passed, lines)


def _official(
    folder: Path, checkout: Path, round_name: str, submitter: str
) -> tuple[bool, tuple[str, ...]]:
    """Opinion and errors of the official checker, run in a process of its own."""
    tool = checkout / "tools" / "submission"
    if not (tool / "submission_checker" / "main.py").is_file():
        raise InputError(
            "holds no submission checker",
            where=str(checkout),
            allowed="a checkout of mlcommons/inference",
        )
    # -B: nothing is written into the checkout.
    command = [sys.executable, "-B", "-m", "submission_checker.main", "--version", round_name]
    command += [
        "--input",
        str(folder.resolve()),
        *(["--submitter", submitter] if submitter else []),
    ]
    try:
        done = subprocess.run(
            [*command, "--csv", "/dev/null"],
            cwd=tool,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_OFFICIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, (f"no answer within {_OFFICIAL_S} s",)
    told = (_STAMP.sub("", line) for line in (done.stdout + done.stderr).splitlines())
    lines = [line.removeprefix("ERROR] ") for line in told if "ERROR" in line]
    if "Traceback" in done.stderr:
        lines.append("ended in a traceback: " + done.stderr.strip().splitlines()[-1][:200])
    return done.returncode == 0, tuple(lines)
