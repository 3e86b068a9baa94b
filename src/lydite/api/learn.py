"""`learn_fit` and `learn_evaluate`: the learned estimator from rows of others, and its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.errors import InputError
from lydite.exhibits import Exhibit
from lydite.pool import open_pool
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.estimate.learned.model import LearnedModel
    from lydite.learn.fit import Fitted
    from lydite.learn.rows import Rows
    from lydite.learn.split import Split


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

    verb = "learn-fit"

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

    verb = "learn-evaluate"
    exhibits = (
        Exhibit(
            "Mean error by family and by the device that was left out",
            "/families",
            {"family": "family"},
            across="device",
            value="mean",
        ),
        Exhibit(
            "Errors beside those of simpler models",
            "/families",
            {
                "family": "family",
                "device": "left out",
                "rows": "rows",
                "mean": "mean",
                "roofline": "roofline",
                "physics": "physics alone",
                "constant": "one constant",
                "nearest": "nearest row",
                "bias": "bias",
                "inside": "within the interval",
            },
        ),
    )

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
    rows: str | Path | None = None,
    start: str | Path | None = None,
    ray: str | None = None,
) -> LearnFit:
    """Fit the learned estimator and write it as text, with a manifest.

    From the folders of others it is fitted anew. From a database of one's own it is fitted on from
    a model: each family is kept only where rows that were left out are predicted no worse.

    Set LYDITE_LEARNED to the folder to predict with it.

    Args:
        session: Session with the progress display.
        out: Folder for the model.
        neusight: Folder of NeuSight's data, for float32.
        aiconfigurator: Folder of AIConfigurator's data, for 16 and 8 bits.
        rows: Database of one's own rows, with `start`.
        start: Model to fit on from: a folder, or "shipped".
        ray: Ray cluster that fits; see `lydite.pool.open_pool`.

    Raises:
        InputError: no folder was given, one lacks what is read, or `rows` and `start` do not come
            together, or the Ray cluster cannot be used.
        MissingExtra: LightGBM or pyarrow is not installed.
    """
    if rows is not None or start is not None:
        if rows is None or start is None:
            raise InputError(
                "own rows are fitted on from a model", hint="give --rows DB and --start shipped"
            )
        if neusight is not None or aiconfigurator is not None:
            raise InputError("fits on from a model with own rows alone", hint="give no folder")
        if ray is not None:
            raise InputError("--ray has no effect here: own rows take a moment")
        return _fitted_on(Path(out), rows, start)
    from lydite.learn.fit import fit_all
    from lydite.learn.write import write_model

    grouped = _grouped(_folders(neusight, aiconfigurator))
    with open_pool(ray, jobs=1) as pool, session.bar("fit") as progress:
        made = fit_all(grouped, pool, progress)
    folder = Path(out)
    data = [dict(SOURCES[name]) for name in _folders(neusight, aiconfigurator)]
    write_model(made, folder, {"data": data})
    return LearnFit({"folder": str(folder), "families": [_family_row(each) for each in made]})


def _fitted_on(out: Path, rows: str | Path, start: str | Path) -> LearnFit:
    from lydite.learn.fit import Fitted
    from lydite.learn.own import database_rows
    from lydite.learn.refit import refit
    from lydite.learn.write import write_model
    from lydite.store import Database

    model = _model(start)
    with Database.open(rows, read_only=True) as database:
        changed = refit(model, database_rows(database))
    digests = model.about["digests"]
    made = [
        changed[name].fitted if name in changed else Fitted(name, family, digests[name])
        for name, family in model.families.items()
    ]
    data = [*model.about.get("data", ()), {"name": "own rows", "source": str(rows)}]
    write_model(made, out, {"data": data, "started_from": model.digest})
    families = [
        _family_row(each) | (changed[each.name].document() if each.name in changed else {})
        for each in made
    ]
    return LearnFit({"folder": str(out), "families": families})


def _family_row(each: Fitted) -> dict[str, Any]:
    family = each.family
    return {
        "family": each.name,
        "devices": list(family.devices),
        "rows": family.rows,
        "trees": len(family.trees.roots),
        "bounds": list(family.unseen.usual),
    }


def _model(name: str | Path) -> LearnedModel:
    from lydite.estimate.learned.model import read_model, shipped

    return shipped() if str(name) == "shipped" else read_model(Path(name))


def learn_evaluate(
    session: Session,
    *,
    neusight: str | Path | None = None,
    aiconfigurator: str | Path | None = None,
    split: str | Path | None = None,
    model: str | Path | None = None,
    ray: str | None = None,
) -> LearnEvaluation:
    """Leave out each device in turn, and compare its rows with what the others teach.

    Args:
        session: Session with the progress display.
        neusight: Folder of NeuSight's data, for float32.
        aiconfigurator: Folder of AIConfigurator's data, for 16 and 8 bits.
        split: File {"train": [DEVICE, ...], "test": [DEVICE, ...]}: learns from the first, and
            judges the second.
        model: Model to judge instead of fitting one: a folder, or "shipped"; it is refused where it
            was trained on the rows that judge it.
        ray: Ray cluster that fits; see `lydite.pool.open_pool`.

    Raises:
        InputError: no folder was given, one lacks what is read, the split names a device on both
            sides or one without rows, the model has seen the rows, or the Ray cluster cannot be
            used.
        MissingExtra: LightGBM or pyarrow is not installed.
    """
    from lydite.learn.evaluate import evaluate_model
    from lydite.learn.split import read_split, refuse_known

    found: list[dict[str, Any]] = []
    grouped = _grouped(_folders(neusight, aiconfigurator))
    every = [part for rows in grouped.values() for part in rows]
    devices = sorted({part.device for part in every})
    chosen = read_split(Path(split), devices) if split is not None else None
    judged = _model(model) if model is not None else None
    test = chosen.test if chosen is not None else tuple(devices)
    if judged is not None:
        refuse_known(judged, every, test)
    if judged is not None and ray is not None:
        raise InputError("--ray has no effect here: nothing is fitted", hint="leave out --model")
    with open_pool(ray, jobs=1) as pool, session.bar("evaluate") as progress:
        if judged is not None:
            for rows in grouped.values():
                found += evaluate_model(judged, rows, test)
        else:
            names = list(grouped)
            answers: dict[int, list[dict[str, Any]]] = {}
            for place, answer in pool.stream(_evaluated, (grouped, chosen), names):
                answers[place] = answer
                progress(len(answers), len(names), names[place])
            found += [row for place in sorted(answers) for row in answers[place]]
    return LearnEvaluation({"families": found})


def _evaluated(
    shared: tuple[Mapping[str, Sequence[Rows]], Split | None], family: str
) -> list[dict[str, Any]]:
    from lydite.learn.evaluate import evaluate

    grouped, chosen = shared
    return evaluate(grouped[family], chosen)


SOURCES: Mapping[str, Mapping[str, str]] = {
    "neusight": {
        "name": "NeuSight",
        "source": "github.com/sitar-lab/NeuSight",
        "license": "MIT, Georgia Tech and Microsoft, 2025",
    },
    "aiconfigurator": {
        "name": "AIConfigurator",
        "source": "github.com/ai-dynamo/aiconfigurator, commit 095f58a",
        "license": "Apache-2.0, NVIDIA",
    },
}
"""Whose rows a layout holds, and under which license."""


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
