"""Simulated data-parallel training steps against a file of measured ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from lydite.cluster.baseline_file import Baselines
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.planning import filled
from lydite.cluster.simulate import simulate_step
from lydite.cluster.step_accuracy import average_loss, summaries, summary_json
from lydite.cluster.step_result import fitting
from lydite.errors import InputError, LyditeError, unknown_name
from lydite.estimate.base import Estimator
from lydite.graph import Graph
from lydite.hardware.cluster import Cluster
from lydite.records import dataclass
from lydite.results import OneLine


@dataclass(frozen=True, slots=True)
class Compared:
    """Simulated and measured step time of a model on a number of devices.

    Attributes:
        model: Name of the model in the baseline file.
        devices: Number of devices.
        predicted_s: Simulated time of the step in seconds.
        low_s, high_s: Bounds on that time in seconds, from the bounds of the operators' estimates.
        sum_s: Sum of the step's operator times on one device, in seconds.
        baseline_s: Measured time of the step in seconds.
    """

    model: str
    devices: int
    predicted_s: float
    low_s: float
    high_s: float
    sum_s: float
    baseline_s: float

    @property
    def environment(self) -> str:
        """Number of devices as text."""
        return f"{self.devices} devices" if self.devices > 1 else "1 device"

    @property
    def error(self) -> float:
        """Signed relative error of the simulated time, as a share."""
        return self.predicted_s / self.baseline_s - 1

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values, with units in the keys."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "error": self.error,
            "inside_bounds": self.low_s <= self.baseline_s <= self.high_s,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(OneLine):
    """Result of a comparison with measured steps.

    Attributes:
        steps: Compared steps, ordered by model, then by number of devices.
        not_compared: Baselines that were left out, each with the reason.
        notes: Caveats about the steps that were compared.
    """

    steps: Sequence[Compared]
    not_compared: Sequence[str]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values, with units in the keys and errors as shares of 1."""
        return {
            "steps": [step.to_json() for step in self.steps],
            "average_loss": average_loss(self.steps),
            "accuracy": summary_json(summaries(self.steps)),
            "not_compared": list(self.not_compared),
            "notes": list(self.notes),
            "kind": "simulated",
        }

    def headline(self) -> str:
        """Number of steps compared and left out, in one line."""
        return f"{len(self.steps)} steps compared, {len(self.not_compared)} not"


def compare(
    baselines: Baselines,
    cluster: Cluster,
    build: Callable[[str], Graph],
    estimator: Estimator,
    *,
    models: Sequence[str] = (),
    batch: int = 1,
    loss: str | None = None,
    optimizer: str = "adam",
    constants: Constants = ASSUMED,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Comparison:
    """Simulate a data-parallel training step for every measured one.

    Args:
        baselines: Measured steps by number of devices and model.
        cluster: Cluster whose first devices are used, as many as each baseline says.
        build: Function that builds a model by name, at a batch size of `batch`.
        estimator, loss, optimizer, constants: As for `simulate_step`.
        models: Names of the models to compare; empty for all in the file.
        batch: Samples per device and step.
        progress: Called with the number of models done, their total and a label.

    Raises:
        InputError: the file lacks one of `models` (the error gives the nearest name), or there is
            nothing to compare (the error gives the reasons).
    """
    known = dict.fromkeys(model for _, model in (*baselines.seconds, *baselines.refused))
    for model in models:
        if model not in known:
            raise unknown_name("model", model, known, "as the baselines name them")
    run = _Runner(baselines, cluster, build, estimator, batch, loss, optimizer, constants)
    measured = [model for model in dict.fromkeys(models or known) if run.has_times(model)]
    for number, model in enumerate(measured):
        progress(number, len(measured), model)
        run.model(model)
    if not run.steps:
        raise InputError(f"nothing to compare: {'; '.join(run.not_compared) or 'no baselines'}")
    return Comparison(run.steps, run.not_compared, run.notes)


class _Runner:
    def __init__(
        self,
        baselines: Baselines,
        cluster: Cluster,
        build: Callable[[str], Graph],
        estimator: Estimator,
        batch: int,
        loss: str | None,
        optimizer: str,
        constants: Constants,
    ) -> None:
        self.baselines, self.cluster, self.build = baselines, cluster, build
        self.estimator, self.batch, self.constants = estimator, batch, constants
        self.counts = sorted({devices for devices, _ in (*baselines.seconds, *baselines.refused)})
        self.training = {"loss": loss, "optimizer": optimizer}
        self.steps: list[Compared] = []
        self.not_compared: list[str] = []
        self.notes: list[str] = []

    def has_times(self, model: str) -> bool:
        """Whether a model has any valid baseline; records those that are invalid."""
        reasons = [self.baselines.why_not(devices, model) for devices in self.counts]
        self.not_compared += [reason for reason in reasons if reason]
        return not all(reasons)

    def model(self, model: str) -> None:
        """Compare a model at all its device counts; a failure leaves other models unaffected."""
        try:
            self.steps.extend(self._steps(model))
        except LyditeError as error:
            nearest = error.hint.partition("; ")[0]
            self.not_compared.append("; ".join(filter(None, [f"{model}: {error.what}", nearest])))

    def _steps(self, model: str) -> Iterator[Compared]:
        graph = self.build(model)
        single = self.cluster.first(1)
        alone = simulate_step(
            graph,
            single,
            filled(1, micro_batch=self.batch),
            self.estimator,
            **self.training,
            constants=replace(self.constants, dispatch_s=0.0, step_s=0.0),
        )
        for devices in self.counts:
            measured = self.baselines.seconds.get((devices, model))
            if measured is None:
                continue
            if not 1 <= devices <= self.cluster.ranks:
                self.not_compared.append(
                    f"{model} on {devices}: '{self.cluster.name}' has {self.cluster.ranks} devices"
                )
                continue
            plan = filled(devices, micro_batch=self.batch)
            result = simulate_step(
                graph,
                self.cluster.first(devices),
                plan,
                self.estimator,
                **self.training,
                constants=self.constants,
            )
            if not result.fits:
                self.notes.append(f"{model} on {devices} does not fit: {fitting(result)}")
            yield Compared(
                model, devices, result.seconds, result.low, result.high, alone.seconds, measured
            )
