"""`validate_steps`: compare simulated training steps with measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from typing_extensions import TypedDict

from lydite.api.devices import chain_for
from lydite.api.keywords import ModelKeywords
from lydite.api.load import resolve
from lydite.api.options import ModelOptions, chosen
from lydite.errors import InputError
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.cluster.baseline import Comparison
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
        batch: Number of samples per device and step.
        optimizer: Optimizer of the steps.
    """

    verb = "validate-steps"
    deprecated: ClassVar[Mapping[str, str]] = {"kind": "source"}

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
        baseline: AISim's baseline.json.
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
    measured, cluster = read_baselines(Path(baseline)), read_cluster(on)
    batch, optimizer = wanted.batch or 1, wanted.optimizer or "adam"
    net = replace(wanted, train=False, optimizer=None, loss=None, batch=batch)

    def build(model: str) -> Graph:
        shape = replace(net, phase=_phase(model, wanted), dtype=net.dtype or "float32")
        return resolve(model, shape).graph

    with session.database(optional=True) as database, session.bar("simulate") as progress:
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


def _phase(model: str, options: ModelOptions) -> str | None:
    """The phase in which a language model is trained; None for other models."""
    from lydite.models import describe

    return options.phase or ("forward" if "phase" in describe(model).defaults else None)
