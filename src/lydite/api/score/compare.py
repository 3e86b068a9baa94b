"""`score_compare`: two results side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import TypedDict

from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class ComparisonDocument(TypedDict):
    """Two results; a ratio above 1 says that the second is faster."""

    first: dict[str, Any]
    second: dict[str, Any]
    models: list[dict[str, Any]]
    ratio: float
    only_first: list[str]
    only_second: list[str]
    warnings: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class ScoreComparison(Result):
    """Two results side by side.

    Attributes:
        comparison: The document: models with ratio, interval and significance, and warnings.
    """

    verb = "score-compare"
    exhibits = (
        Exhibit(
            "Models",
            "/models",
            {
                "model": "model",
                "precision": "precision",
                "batch": "batch",
                "first_s": "first",
                "second_s": "second",
                "ratio": "times as fast",
                "low": "low",
                "high": "high",
                "is_significant": "significant",
            },
        ),
    )

    comparison: ComparisonDocument

    def document(self) -> ComparisonDocument:
        """Ratios, intervals, p values and warnings."""
        return self.comparison

    @property
    def ratio(self) -> float:
        """How many times as fast the second is, as a weighted geometric mean."""
        return self.comparison["ratio"]

    def summary(self) -> str:
        """Table of the models."""
        from lydite.report.text.score import comparison_text

        return comparison_text(self.comparison)

    def headline(self) -> str:
        """How many times as fast the second is."""
        return f"the second is {self.ratio:.3f} times as fast"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per model, precision and batch."""
        return self.comparison["models"]


def score_compare(session: Session, first: str | Path, second: str | Path) -> ScoreComparison:
    """Compare two results of one set: ratio by model, interval and significance.

    Args:
        session: Not used.
        first, second: Files that `score` wrote.

    Raises:
        InputError: a file is no result, the sets differ, or no model is in both.
    """
    from lydite.score.compare import comparison
    from lydite.score.saved import read_result

    del session
    found = comparison(read_result(Path(first)), read_result(Path(second)))
    return ScoreComparison(cast(ComparisonDocument, found))
