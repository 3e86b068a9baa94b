"""`models`: the model set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class ModelRow(TypedDict):
    """A model of the set at its default sizes and batch 1."""

    model: str
    family: str
    about: str
    source: str
    options: dict[str, Any]
    aliases: list[str]
    parameters: int
    flops: float
    multiply_adds: float
    operators: int
    inputs: dict[str, str]


class ModelsDocument(TypedDict):
    """All models of the set."""

    models: list[ModelRow]


@dataclass(frozen=True, eq=False, repr=False)
class ModelsResult(Result):
    """The model set.

    Attributes:
        models: One row per model.
    """

    verb = "models"

    models: tuple[ModelRow, ...]

    def document(self) -> ModelsDocument:
        """All models."""
        return {"models": list(self.models)}

    def summary(self) -> str:
        """A table with one line per model."""
        from lydite.report.text.models import models_text

        return models_text(self.models)

    def headline(self) -> str:
        """Number of models."""
        return f"{len(self.models)} models"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per model."""
        return self.models


def models(session: Session) -> ModelsResult:
    """List the model set: parameters, FLOPs and default input of each model."""
    from lydite.models import aliases, describe, figures

    del session
    rows: list[Any] = []
    for name, figure in figures().items():
        info = describe(name)
        rows.append(
            {
                "model": name,
                "family": info.family,
                "about": info.about,
                "source": info.source,
                "options": dict(info.defaults),
                "aliases": aliases(name),
                **figure,
            }
        )
    return ModelsResult(tuple(rows))
