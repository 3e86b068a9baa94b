"""A learned model in files: a manifest, and the trees of each family as text."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.physics import Problem
from lydite.estimate.learned.trees import Trees, read_trees
from lydite.records import dataclass

VERSION = 2
"""Version of the features; a model of another one is refused."""
MANIFEST = "manifest.json"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class Reach:
    """How far the rows of a family reach, feature by feature.

    Attributes:
        low, high: First and last percentile of each feature.
    """

    low: np.ndarray
    high: np.ndarray

    def outside(self, features: np.ndarray) -> np.ndarray:
        """Whether operators lie beyond the rows, by more than a tenth of their range."""
        margin = 0.1 * (self.high - self.low)
        beyond = (features < self.low - margin) | (features > self.high + margin)
        return np.any(beyond, axis=1)


@dataclass(frozen=True, eq=False)
class Family:
    """One family of a model.

    Attributes:
        text: The trees as text.
        trees: The logarithm of measured over base time.
        edges_s: Base times that separate sizes, ascending.
        bounds: Measured over predicted time, low and high, by size: on the devices of the rows, on
            others of operators like the rows, and of operators beyond them.
        reach: How far the rows reach.
        devices: Devices that it was learned from.
        rows: Number of rows.
    """

    text: str
    trees: Trees
    edges_s: tuple[float, ...]
    bounds: tuple[tuple[tuple[float, float], ...], ...]
    reach: Reach
    devices: tuple[str, ...]
    rows: int

    def interval(self, problem: Problem, seen: bool) -> tuple[np.ndarray, np.ndarray]:
        """Low and high factor of each operator; `seen` on a device that was learned from.

        Beyond the rows the interval is the next wider one.
        """
        beyond = self.reach.outside(problem.features).astype(int)
        size = np.digitize(problem.base_s, self.edges_s)
        low, high = np.array(self.bounds)[beyond + (not seen), size].T
        return low, high


@dataclass(frozen=True, eq=False)
class LearnedModel:
    """A learned model.

    Attributes:
        families: Families by name.
        about: Rest of the manifest: data, licenses, figures.
        digest: 16 hexadecimal digits of the manifest.
    """

    families: Mapping[str, Family]
    about: Mapping[str, Any]
    digest: str


@cache
def usual_model() -> LearnedModel:
    """The model in the folder that LYDITE_LEARNED names, else the one that is installed.

    Raises:
        InputError: as `read_model`.
    """
    folder = os.environ.get("LYDITE_LEARNED")
    return read_model(Path(folder)) if folder else shipped()


def shipped() -> LearnedModel:
    """The model that is installed with the package."""
    return _read(files("lydite.estimate.learned") / "shipped", "the shipped model")


def read_model(folder: Path) -> LearnedModel:
    """A model from a folder.

    Raises:
        InputError: a file is missing, changed, or of another version of the features.
    """
    if not (folder / MANIFEST).is_file():
        raise InputError("holds no learned model", where=str(folder), hint="lydite learn fit")
    return _read(folder, str(folder))


def _read(folder: Traversable, where: str) -> LearnedModel:
    text = _text(folder / MANIFEST, where)
    try:
        manifest: dict[str, Any] = json.loads(text)
        version, rows = manifest["version"], dict(manifest["families"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"its manifest cannot be read: {error}", where=where) from None
    if version != VERSION:
        raise InputError(
            f"has features of version {version}", where=where, allowed=f"version {VERSION}"
        )
    families = {name: _family(folder, name, row, where) for name, row in rows.items()}
    about = {key: value for key, value in manifest.items() if key != "families"}
    about["digests"] = {name: row.get("digests", {}) for name, row in rows.items()}
    return LearnedModel(families, about, hashlib.sha256(text.encode()).hexdigest()[:16])


def _family(folder: Traversable, name: str, row: Mapping[str, Any], where: str) -> Family:
    if name not in FAMILIES:
        raise InputError(f"unknown family '{name}'", where=where, allowed=", ".join(FAMILIES))
    text = _text(folder / f"{name}.txt", where)
    try:
        if hashlib.sha256(text.encode()).hexdigest() != row["sha256"]:
            raise InputError(f"{name}.txt is not the file of its manifest (sha256)", where=where)
        bounds = tuple(
            tuple((float(low), float(high)) for low, high in pairs) for pairs in row["bounds"]
        )
        reach = Reach(*(np.array(row["reach"][side], float) for side in ("low", "high")))
        edges = tuple(float(edge) for edge in row["edges_s"])
        devices, count = tuple(str(device) for device in row["devices"]), int(row["rows"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"the manifest of {name} lacks {error}", where=where) from None
    trees = read_trees(text, f"{where}: {name}.txt")
    names = FAMILIES[name].features
    if trees.names != names or {len(pairs) for pairs in bounds} != {len(edges) + 1}:
        raise InputError(f"{name} has other features or bounds", where=where)
    if len(bounds) != 3 or reach.low.shape != (len(names),) or reach.high.shape != (len(names),):
        raise InputError(f"{name} has other features or bounds", where=where)
    if not all(0 < low <= 1 <= high for pairs in bounds for low, high in pairs):
        raise InputError(f"the bounds of {name} do not hold 1", where=where)
    return Family(text, trees, edges, bounds, reach, devices, count)


def _text(path: Traversable, where: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{path.name} is larger than 16 MiB", where=where)
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read: {error}", where=where) from None
