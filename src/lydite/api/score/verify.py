"""`score_verify`: repeat every figure of a result from its raw samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class VerificationDocument(TypedDict):
    """What was verified, and what is wrong."""

    file: str
    is_verified: bool
    figures: int
    samples: int
    telemetry: str
    faults: list[dict[str, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Verification(Result):
    """Whether a result's figures follow from its raw samples.

    Attributes:
        findings: The document.
    """

    verb = "score-verify"

    findings: VerificationDocument

    @property
    def is_verified(self) -> bool:
        """Whether nothing contradicts."""
        return self.findings["is_verified"]

    def document(self) -> VerificationDocument:
        """All findings."""
        return self.findings

    def summary(self) -> str:
        """What was verified, or each fault."""
        from lydite.report.text.score import verification_text

        return verification_text(self.findings)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per fault."""
        return self.findings["faults"]


def score_verify(session: Session, file: str | Path) -> Verification:
    """Repeat every figure and score of a result from its raw samples, and check its digests.

    Where the telemetry lies beside the file, the energy of each turn is integrated again.

    Args:
        session: Not used.
        file: File that `score` wrote.

    Raises:
        InputError: the file is no result, or too damaged to compute anything from.
    """
    from lydite.score.result import faults_of
    from lydite.score.saved import read_result
    from lydite.score.watch import energy_faults

    del session
    path = Path(file)
    document = read_result(path)
    faults = faults_of(document)
    told, more = energy_faults(document, path.parent)
    faults += more
    samples = sum(
        len(turn["stage_ns"][0]) for row in document["rows"] for turn in row["turns"] if turn
    )
    figures = sum(len(figure) for figure in document["figures"])
    return Verification(
        {
            "file": str(path),
            "is_verified": not faults,
            "figures": figures,
            "samples": samples,
            "telemetry": told,
            "faults": [asdict(fault) for fault in faults],
        }
    )
