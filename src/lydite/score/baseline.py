"""Baselines: what scores 1000. Shipped ones are frozen; any saved result can serve as one."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lydite.errors import InputError, LyditeError, unknown_name
from lydite.hardware.spec_file import parse_spec
from lydite.records import dataclass
from lydite.score.sets import ModelSet, Precision

FROZEN = {
    "rtx-2080-ti": "513cd669e83356360f345e78c04eb6ea4d18c5f274ba6b4d6dbb7666ab46f2f1",
    "rtx-2080-ti-image": "71882b0f175c566fa38ae951ff57c166bd4cbe1f12ff797be1580f6b7c0a66c2",
}
"""SHA-256 of each shipped file: scores of different releases stay comparable."""


class BaselineRow(BaseModel):
    """A baseline's figures of a model.

    Attributes:
        latency_ms: Milliseconds of a unit.
        energy_j: Joules of a unit; None where none was measured.
        precision: Precision that it ran in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    latency_ms: float = Field(gt=0)
    energy_j: float | None = Field(default=None, gt=0)
    precision: Precision = "fp32"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    title: str
    set: str
    source: str
    date: str
    models: dict[str, BaselineRow] = Field(min_length=1)


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Attributes:
        name: Name of the shipped file, or path of the result.
        title: Device that it was measured on.
        set: Name of its set of models.
        source: Where the figures come from.
        models: Figures by model.
        digest: SHA-256 of the file.
    """

    name: str
    title: str
    set: str
    source: str
    models: dict[str, BaselineRow]
    digest: str

    def check(self, chosen: ModelSet) -> None:
        """Refuse a baseline of other models.

        Raises:
            InputError: it is of another set.
        """
        if self.set != chosen.name:
            raise InputError(
                f"is a baseline of the set '{self.set}', and the models are of '{chosen.name}'",
                where=self.name,
                hint=f"leave --baseline out, or choose --set {self.set}",
            )

    def to_document(self) -> dict[str, Any]:
        """As a result states it."""
        return {
            "name": self.name,
            "title": self.title,
            "set": self.set,
            "source": self.source,
            "sha256": self.digest,
            "models": {name: row.model_dump() for name, row in self.models.items()},
        }

    @staticmethod
    def from_document(document: dict[str, Any]) -> Baseline:
        """The inverse of `to_document`."""
        rows = {name: BaselineRow(**row) for name, row in document["models"].items()}
        name, title, of_set, source = (document[key] for key in ("name", "title", "set", "source"))
        return Baseline(name, title, of_set, source, rows, document["sha256"])


def find_baseline(name: str, chosen: ModelSet) -> Baseline:
    """A shipped baseline by name, or a saved result by its path.

    Raises:
        InputError: there is none, it is of another set, or its result is not complete.
        LyditeError: a shipped file is not the frozen one.
    """
    found = _shipped(name) if name in FROZEN else _result(name)
    found.check(chosen)
    return found


def _shipped(name: str) -> Baseline:
    data = (files("lydite.score") / "baselines" / f"{name}.yaml").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != FROZEN[name]:
        raise LyditeError("is not the frozen file", where=f"{name}.yaml", hint="reinstall lydite")
    file = parse_spec(data.decode(), f"{name}.yaml", "a baseline").validated(_File, "a baseline")
    return Baseline(file.name, file.title, file.set, file.source, file.models, digest)


def _result(name: str) -> Baseline:
    from lydite.score.saved import read_result

    path = Path(name)
    if path.suffix != ".json":
        raise unknown_name("baseline", name, FROZEN, "or give the path of a saved result.json")
    document = read_result(path)
    rows = {
        figure["model"]: BaselineRow(
            latency_ms=figure["latency_s"] * 1e3,
            energy_j=figure["energy_j"] or None,
            precision=figure["precision"],
        )
        for figure in document["figures"]
        if figure["latency_s"] is not None and figure["is_board"]
    }
    if not rows:
        raise InputError("holds no model that was measured", where=name)
    digest = hashlib.sha256(json.dumps(document["digests"], sort_keys=True).encode()).hexdigest()
    device, when = document["environment"]["device"], document["environment"]["utc"]
    return Baseline(
        name, device, document["set"]["name"], f"measured on {device} at {when}", rows, digest
    )
