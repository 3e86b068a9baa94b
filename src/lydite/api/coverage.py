"""`coverage`: the share of models that rests on measurements of a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import ModelLike
from lydite.api.options import ModelOptions
from lydite.api.predict import predict
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.estimate import Prediction
    from lydite.hardware import Device

_MEANS = ("node_coverage", "type_coverage", "time_coverage")


class ModelCoverage(TypedDict):
    """Measured coverage as AISim defines it: of nodes, and of types without any miss."""

    model: str
    device: str
    nodes: int
    nodes_measured: int
    node_coverage: float
    types: int
    types_measured: int
    type_coverage: float
    time_coverage: float
    not_measured: dict[str, int]


class CoverageOfModels(TypedDict):
    """Each model's coverage, and the means of the three shares."""

    models: list[ModelCoverage]
    mean: dict[str, float]


@dataclass(frozen=True, eq=False, repr=False)
class CoverageResult(Result):
    """Measured share of each model.

    Attributes:
        models: One row per model.
    """

    verb = "coverage"

    models: tuple[ModelCoverage, ...]

    @property
    def mean(self) -> dict[str, float]:
        """Means over the models of node, type and time coverage."""
        shares: list[dict[str, Any]] = [dict(row) for row in self.models]
        return {name: sum(row[name] for row in shares) / len(shares) for name in _MEANS}

    def document(self) -> CoverageOfModels:
        """All models and their means."""
        return {"models": list(self.models), "mean": self.mean}

    def summary(self) -> str:
        """A table with one line per model."""
        from lydite.report.text.coverage import coverage_text

        return coverage_text(self.models, self.mean)

    def headline(self) -> str:
        """The device and the mean share of time."""
        from lydite.units import format_percent

        share = format_percent(self.mean["time_coverage"])
        return f"{share} of the time of {len(self.models)} models measured on {self._device}"

    @property
    def _device(self) -> str:
        return self.models[0]["device"]

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per model."""
        return self.models


def coverage(
    session: Session,
    models: ModelLike | Sequence[ModelLike],
    *,
    on: str | Device = "cpu",
    backend: str = "onnxruntime",
    threads: int = 1,
    clock: str = "wall",
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> CoverageResult:
    """Report the share of models measured on a device: by node, by type and by time.

    Args:
        session: Session whose database is examined.
        models: One model or several; see `load`.
        on, backend, threads, clock: As for `predict`.
        options: Options of the models.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: as for `predict`, or no model is given.
    """
    found = [
        predict(
            session,
            model,
            on=on,
            backend=backend,
            threads=threads,
            clock=clock,
            options=options,
            **given,
        )
        for model in several(models)
    ]
    return CoverageResult(tuple(_row(one.prediction) for one in found))


def several(models: ModelLike | Sequence[ModelLike]) -> list[ModelLike]:
    """The models as a list.

    Raises:
        InputError: no model is given.
    """
    listed = list(models) if isinstance(models, list | tuple) else [models]
    if not listed:
        raise InputError("no model is named", allowed="one model or several")
    return listed


def _row(prediction: Prediction) -> ModelCoverage:
    missed = Counter(
        node.op_type
        for node in prediction.nodes
        if node.estimate is None or node.estimate.source != "measured"
    )
    nodes, types = len(prediction.nodes), {node.op_type for node in prediction.nodes}
    return {
        "model": prediction.model,
        "device": prediction.device.name,
        "nodes": nodes,
        "nodes_measured": nodes - missed.total(),
        "node_coverage": 1 - missed.total() / nodes if nodes else 0.0,
        "types": len(types),
        "types_measured": len(types - set(missed)),
        "type_coverage": 1 - len(missed) / len(types) if types else 0.0,
        "time_coverage": prediction.coverage.time_share("measured"),
        "not_measured": dict(missed.most_common()),
    }
