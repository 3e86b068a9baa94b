"""`validate_steps`: compare simulated training steps with measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from typing_extensions import TypedDict

from lydite.api.calibrate import observed_steps
from lydite.api.devices import chain_for
from lydite.api.keywords import ModelKeywords
from lydite.api.load import resolve
from lydite.api.options import ModelOptions, chosen
from lydite.errors import InputError, unknown_name
from lydite.exhibits import Curve, Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster.baseline import Comparison
    from lydite.cluster.constants import Constants
    from lydite.estimate import Estimator
    from lydite.graph import Graph
    from lydite.hardware.cluster import Cluster


class ComparedStep(TypedDict):
    """One model on a number of devices; `error` is a fraction."""

    model: str
    devices: int
    predicted_s: float
    low_s: float
    high_s: float
    sum_s: float
    baseline_s: float
    error: float
    inside_bounds: bool


class ValidateStepsDocument(TypedDict):
    """Each measured step with the simulated one, and what was not compared."""

    baseline: str
    cluster: str
    device: str
    batch_per_device: int
    optimizer: str
    steps: list[ComparedStep]
    average_loss: float | None
    accuracy: dict[str, Any]
    not_compared: list[str]
    notes: list[str]
    source: str


@dataclass(frozen=True, eq=False, repr=False)
class ValidateStepsResult(Result):
    """Simulated training steps compared with measured ones.

    Attributes:
        comparison: What was compared, and what was not.
        cluster: Cluster on which the steps were measured.
        baseline: File with the measured steps.
        batch: Number of samples per device and step; 0 where each row of a table says its own.
        optimizer: Optimizer of the steps.
    """

    verb = "validate-steps"
    deprecated: ClassVar[Mapping[str, str]] = {"kind": "source"}
    exhibits = (
        Exhibit(
            "Steps on {cluster}, simulated and measured",
            "/steps",
            {
                "model": "model",
                "devices": "devices",
                "baseline_s": "measured",
                "predicted_s": "simulated",
                "low_s": "low",
                "high_s": "high",
                "error": "error",
                "inside_bounds": "within the bounds",
            },
            {"inside_bounds": True},
            curve=Curve("baseline_s", {"predicted_s": "points"}, log="xy"),
        ),
    )

    comparison: Comparison
    cluster: Cluster
    baseline: str
    batch: int
    optimizer: str

    def document(self) -> ValidateStepsDocument:
        """The setting and all comparisons."""
        found: Any = {
            "baseline": self.baseline,
            "cluster": self.cluster.name,
            "device": self.cluster.device.name,
            "batch_per_device": self.batch,
            "optimizer": self.optimizer,
            **self.comparison.to_json(),
        }
        found["source"] = found.pop("kind")
        return found

    def summary(self) -> str:
        """A table of steps, and the errors over all."""
        from lydite.report.text.validate_steps import steps_text

        return f"{self.headline()}\n{steps_text(self.comparison)}"

    def headline(self) -> str:
        """Cluster and setting of the steps."""
        if not self.batch:
            return f"Training steps on {self.cluster.title}, as the rows say; simulated"
        return (
            f"Training steps on {self.cluster.title}, batch {self.batch} per device, "
            f"{self.optimizer}; simulated"
        )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per step."""
        return [step.to_json() for step in self.comparison.steps]


def validate_steps(
    session: Session,
    baseline: Path | str,
    *,
    on: str,
    models: Sequence[str] = (),
    constants: Path | str | None = None,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> ValidateStepsResult:
    """Simulate every measured training step of a file, and report the errors.

    Args:
        session: Session whose database holds the operators' measurements.
        baseline: AISim's baseline.json, or the .csv file of steps that `calibrate` takes.
        on: Cluster with at least as many devices as the largest baseline.
        models: Models to compare; all of the file if empty.
        constants: File that `calibrate` wrote.
        options: Options of the models; the batch is per device.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: the file or cluster is invalid, or there is nothing to compare.
    """
    from lydite.cluster.baseline import compare
    from lydite.cluster.baseline_file import read_baselines
    from lydite.cluster.constants import ASSUMED, read_constants
    from lydite.estimate import Rows
    from lydite.hardware.cluster import read_cluster

    wanted = chosen(ModelOptions, options, given)
    if Path(baseline).suffix == ".csv":
        return _of_table(session, Path(baseline), on, models, constants, wanted)
    measured, cluster = read_baselines(Path(baseline)), read_cluster(on)
    batch, optimizer = wanted.batch or 1, wanted.optimizer or "adam"
    net = replace(wanted, train=False, optimizer=None, loss=None, batch=batch)

    def build(model: str) -> Graph:
        shape = replace(net, phase=_phase(model, wanted), dtype=net.dtype or "float32")
        return resolve(model, shape).graph

    with session.readings() as database, session.bar("simulate") as progress:
        known = ASSUMED if constants is None else read_constants(Path(constants))
        rows = Rows("torch", 1, "wall")
        estimator, _ = chain_for([database], cluster.device, rows, known.achieved)
        try:
            comparison = compare(
                measured,
                cluster,
                build,
                estimator,
                models=models,
                batch=batch,
                loss=wanted.loss,
                optimizer=optimizer,
                constants=known,
                progress=progress,
            )
        except InputError as error:
            raise InputError(
                error.what, where=str(baseline), allowed=error.allowed, hint=error.hint
            ) from error
    return ValidateStepsResult(comparison, cluster, str(baseline), batch, optimizer)


def _of_table(
    session: Session,
    path: Path,
    on: str,
    models: Sequence[str],
    constants: Path | str | None,
    options: ModelOptions,
) -> ValidateStepsResult:
    """The rows of a table, each with its own plan."""
    from lydite.cluster.baseline import Compared, Comparison
    from lydite.cluster.calibration.steps import played
    from lydite.cluster.constants import ASSUMED, read_constants
    from lydite.cluster.step_result import fitting
    from lydite.estimate import Rows

    if options != ModelOptions():
        raise InputError("options of the model are columns of the table", where=str(path))
    observed = observed_steps(path, on)
    names = {step.model for step in observed}
    for model in models:
        if model not in names:
            raise unknown_name("model", model, names, f"in {path}")
    observed = [step for step in observed if not models or step.model in models]
    known = ASSUMED if constants is None else read_constants(Path(constants))
    device = max((step.cluster for step in observed), key=lambda c: c.ranks)
    with session.readings() as database:

        def estimator_of(given: Constants) -> Estimator:
            return chain_for([database], device.device, Rows("torch", 1, "wall"), given.achieved)[0]

        results = played(observed, known, estimator_of)
    steps, notes = [], []
    for step, result in zip(observed, results, strict=True):
        if not result.fits:
            notes.append(f"{step.model} on {step.plan.ranks} does not fit: {fitting(result)}")
        steps.append(
            Compared(
                step.model,
                step.plan.ranks,
                result.seconds,
                result.low,
                result.high,
                result.computation_s,
                step.seconds,
            )
        )
    comparison = Comparison(steps, [], list(dict.fromkeys(notes)))
    return ValidateStepsResult(comparison, device, str(path), 0, "as the rows say")


def _phase(model: str, options: ModelOptions) -> str | None:
    """The phase in which a language model is trained; None for other models."""
    from lydite.models import describe

    return options.phase or ("forward" if "phase" in describe(model).defaults else None)
