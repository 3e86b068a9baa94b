"""`learn_fit` and `learn_evaluate`: the learned estimator from rows of others, and its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.errors import InputError
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.learn.rows import Rows


class LearnFitDocument(TypedDict):
    """A fitted model."""

    folder: str
    families: list[dict[str, Any]]


class LearnEvaluateDocument(TypedDict):
    """Errors by family and device that was left out, as shares of the measured time."""

    families: list[dict[str, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class LearnFit(Result):
    """A fitted model.

    Attributes:
        fitted: The document.
    """

    verb = "learn_fit"

    fitted: LearnFitDocument

    def document(self) -> LearnFitDocument:
        """Folder and families."""
        return self.fitted

    def summary(self) -> str:
        """What was learned from what."""
        from lydite.report.text.learn import fit_text

        return fit_text(self.fitted)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per family."""
        return self.fitted["families"]


@dataclass(frozen=True, eq=False, repr=False)
class LearnEvaluation(Result):
    """Errors on devices that were left out.

    Attributes:
        evaluation: The document.
    """

    verb = "learn_evaluate"

    evaluation: LearnEvaluateDocument

    def document(self) -> LearnEvaluateDocument:
        """All errors."""
        return self.evaluation

    def summary(self) -> str:
        """Table of the errors."""
        from lydite.report.text.learn import evaluation_text

        return evaluation_text(self.evaluation)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per family and device."""
        return self.evaluation["families"]


def learn_fit(
    session: Session,
    out: str | Path,
    *,
    neusight: str | Path | None = None,
    aiconfigurator: str | Path | None = None,
) -> LearnFit:
    """Fit the learned estimator on rows of others and write it as text, with a manifest.

    Set LYDITE_LEARNED to the folder to predict with it.

    Args:
        session: Session with the progress display.
        out: Folder for the model.
        neusight: Folder of NeuSight's data, for float32.
        aiconfigurator: Folder of AIConfigurator's data, for products in 16 bits.

    Raises:
        InputError: no folder was given, or one lacks what is read.
        MissingExtra: LightGBM or pyarrow is not installed.
    """
    from lydite.learn.fit import fit
    from lydite.learn.write import write_model

    grouped = _grouped(_folders(neusight, aiconfigurator))
    made = []
    with session.bar("fit") as progress:
        for number, (family, rows) in enumerate(grouped.items()):
            progress(number, len(grouped), family)
            made.append(fit(rows))
        progress(len(grouped), len(grouped), "")
    folder = Path(out)
    data = [{"layout": name} for name in _folders(neusight, aiconfigurator)]
    write_model(made, folder, {"data": data})
    families = [
        {
            "family": each.name,
            "devices": list(each.family.devices),
            "rows": each.family.rows,
            "trees": len(each.family.trees.roots),
            "bounds": [list(pair) for pair in each.family.bounds[0]],
        }
        for each in made
    ]
    return LearnFit({"folder": str(folder), "families": families})


def learn_evaluate(
    session: Session,
    *,
    neusight: str | Path | None = None,
    aiconfigurator: str | Path | None = None,
) -> LearnEvaluation:
    """Leave out each device in turn, and compare its rows with what the others teach.

    Args:
        session: Session with the progress display.
        neusight: Folder of NeuSight's data, for float32.
        aiconfigurator: Folder of AIConfigurator's data, for products in 16 bits.

    Raises:
        InputError: no folder was given, or one lacks what is read.
        MissingExtra: LightGBM or pyarrow is not installed.
    """
    from lydite.learn.evaluate import evaluate

    found: list[dict[str, Any]] = []
    grouped = _grouped(_folders(neusight, aiconfigurator))
    with session.bar("evaluate") as progress:
        for number, (family, rows) in enumerate(grouped.items()):
            progress(number, len(grouped), family)
            found += evaluate(rows)
        progress(len(grouped), len(grouped), "")
    return LearnEvaluation({"families": found})


def _folders(neusight: str | Path | None, aiconfigurator: str | Path | None) -> dict[str, Path]:
    given = {"neusight": neusight, "aiconfigurator": aiconfigurator}
    folders = {name: Path(path) for name, path in given.items() if path is not None}
    if not folders:
        raise InputError(
            "there are no rows to learn from", hint="give --neusight DIR, --aiconfigurator DIR"
        )
    return folders


def _grouped(folders: Mapping[str, Path]) -> dict[str, list[Rows]]:
    from lydite.learn.read import read_rows

    grouped: dict[str, list[Rows]] = {}
    for rows in read_rows(folders):
        grouped.setdefault(rows.family, []).append(rows)
    return grouped
