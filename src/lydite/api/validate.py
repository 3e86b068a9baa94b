"""`validate`: predict and measure models, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.coverage import several
from lydite.api.keywords import ModelKeywords
from lydite.api.load import ModelLike, resolve
from lydite.api.measuring import make_measuring, measured_device, recorded_run
from lydite.api.options import ModelOptions, chosen
from lydite.api.predict import CoverageDocument, coverage_document
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.estimate import Accuracy
    from lydite.measure import Validation


class OperatorDifference(TypedDict):
    """An operator timed alone and within the network, per call."""

    op_type: str
    input: str
    count: int
    alone_s: float
    inside_s: float


class ModelAccuracy(TypedDict):
    """A model predicted from its operators and measured whole; `error` is a fraction."""

    model: str
    measured_s: float
    predicted_s: float
    unpaired_predicted_s: float
    low_s: float
    high_s: float
    error: float
    inside_interval: bool
    coverage: CoverageDocument
    failures: int
    notes: list[str]
    why: list[OperatorDifference]


class AccuracyDocument(TypedDict):
    """Errors over all points, as fractions."""

    points: int
    median_abs_error: float
    mean_abs_error: float
    worst_abs_error: float
    worst: str
    bias: float
    within_5_percent: float
    within_10_percent: float
    within_15_percent: float
    inside_interval: float


class ValidateDocument(TypedDict):
    """Each model, and the accuracy over all of them."""

    device: str
    backend: str
    threads: int
    models: list[ModelAccuracy]
    accuracy: AccuracyDocument


@dataclass(frozen=True, eq=False, repr=False)
class ValidateResult(Result):
    """Predictions compared with measurements.

    Attributes:
        validations: One per model.
        device: Name of the device, as in the database.
        backend: Name of the backend that ran the models.
        threads: Number of threads per operator.
        notes: What a reader could not honour of each model, in sentences.
    """

    verb = "validate"
    exhibits = (
        Exhibit(
            "Models, predicted and measured",
            "/models",
            {
                "model": "model",
                "measured_s": "measured",
                "predicted_s": "predicted",
                "low_s": "low",
                "high_s": "high",
                "error": "error",
                "inside_interval": "within the interval",
            },
            {"inside_interval": True},
            beside="error",
            label="/device",
            curve=Curve("measured_s", {"predicted_s": "points"}, log="xy"),
        ),
    )

    validations: tuple[Validation, ...]
    device: str
    backend: str
    threads: int
    notes: tuple[tuple[str, ...], ...] = ()

    @property
    def accuracy(self) -> Accuracy:
        """Errors over all models."""
        from lydite.estimate import Accuracy

        return Accuracy.of([one.point for one in self.validations])

    def document(self) -> ValidateDocument:
        """All models and the accuracy over them."""
        return {
            "device": self.device,
            "backend": self.backend,
            "threads": self.threads,
            "models": self.rows(),
            "accuracy": accuracy_document(self.accuracy),
        }

    def summary(self) -> str:
        """A table with one line per model, and the errors over all."""
        from lydite.report.text.validate import accuracy_table

        notes = (
            f"note: {one.prediction.model}: {note}" for one, said in self._noted() for note in said
        )
        return "\n".join([accuracy_table(self.validations), *notes])

    def headline(self) -> str:
        """Median error and number of models."""
        from lydite.units import format_percent

        error = format_percent(self.accuracy.median_abs)
        return f"median absolute error {error} over {len(self.validations)} models on {self.device}"

    def rows(self) -> list[ModelAccuracy]:
        """One row per model."""
        return [_row(validation, notes) for validation, notes in self._noted()]

    def _noted(self) -> list[tuple[Validation, tuple[str, ...]]]:
        """Each validation with the notes of its model; none where nobody gave any."""
        from lydite.estimate.prediction import uncovered_note
        from lydite.estimate.subnormal import subnormal_note

        noted = []
        for one, said in zip(self.validations, chain(self.notes, repeat(())), strict=False):
            found = one.prediction
            own = uncovered_note(found.coverage), subnormal_note(found.nodes)
            noted.append((one, (*said, *(note for note in own if note))))
        return noted


def accuracy_document(accuracy: Accuracy) -> AccuracyDocument:
    """All figures of an accuracy."""
    found: Any = accuracy.to_json()
    return found


def _row(one: Validation, notes: Sequence[str]) -> ModelAccuracy:
    point = one.point
    return {
        "model": one.prediction.model,
        "measured_s": one.measured_s,
        "predicted_s": one.paired_s,
        "unpaired_predicted_s": one.prediction.total.seconds,
        "low_s": point.low,
        "high_s": point.high,
        "error": point.error,
        "inside_interval": point.inside,
        "coverage": coverage_document(one.prediction.coverage),
        "failures": one.failures,
        "notes": list(notes),
        "why": [
            {
                "op_type": row.op_type,
                "input": row.shape,
                "count": row.count,
                "alone_s": row.alone_s,
                "inside_s": row.inside_s,
            }
            for row in one.why
        ],
    }


def validate(
    session: Session,
    models: ModelLike | Sequence[ModelLike],
    *,
    backend: str = "onnxruntime",
    threads: int = 1,
    clock: str = "wall",
    budget: float = 20.0,
    why: bool = False,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> ValidateResult:
    """Measure operators and whole models alternately, and compare the prediction with the whole.

    Args:
        session: Session whose database receives the rows.
        models: One model or several; see `load`.
        backend: Backend that runs the models.
        threads: Number of threads per operator.
        clock: Clock: "wall" or "process".
        budget: Seconds to spend on each group of operators.
        why: Whether to compare operator by operator, alone and within the network.
        options: Options of the models.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: a model is invalid, or an option is out of range.
        BackendError: the backend cannot run here.
    """
    from lydite.hardware import find_device
    from lydite.measure import validate as measure_both

    wanted, where = chosen(ModelOptions, options, given), measured_device()
    made = [resolve(model, wanted, where) for model in several(models)]
    arguments = {
        "models": [one.label for one in made],
        "backend": backend,
        "threads": threads,
        "clock": clock,
    }
    done: list[Validation] = []
    notes = tuple(model.notes for model in made)
    with session.database() as database, recorded_run(database, "validate", arguments) as run:
        with make_measuring(
            backend,
            database,
            threads=threads,
            clock=clock,
            budget=budget,
            seed=session.seed,
            run=run.id,
            rounds=9,
        ) as measuring:
            result = ValidateResult((), measuring.device, backend, threads, notes)
            for model in made:
                with session.bar(f"validate {model.name}") as progress:
                    device = find_device("cpu")
                    done.append(
                        measure_both(model.graph, measuring, device, why=why, progress=progress)
                    )
                result = ValidateResult(tuple(done), measuring.device, backend, threads, notes)
                run.keep(result)
    return result
