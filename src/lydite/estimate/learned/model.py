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

VERSION = 3
"""Version of the features and files; a model of another one is refused."""
MANIFEST = "manifest.json"
SPREADS, SIDES = ("seen", "unseen"), ("low", "high")
"""Spreads of a family, on devices that it was learned from and on others, and the sides of each."""
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
class Spread:
    """How far measured times lie from predicted ones: 90 % of them within an interval.

    Attributes:
        texts: The trees of both sides as text, low and high.
        trees: The 5th and 95th percentile of the logarithm of measured over predicted time.
        open: What the devices that it was learned from leave open beyond them, as a logarithm.
        usual: Median over the rows of measured over predicted time, low and high.
    """

    texts: tuple[str, str]
    trees: tuple[Trees, Trees]
    open: float
    usual: tuple[float, float]

    def factors(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high factor of each operator, at most and at least 1 [operators]."""
        low, high = (trees.values(features) for trees in self.trees)
        return np.exp(np.minimum(low - self.open, 0)), np.exp(np.maximum(high + self.open, 0))


@dataclass(frozen=True, eq=False)
class Family:
    """One family of a model.

    Attributes:
        text: The trees as text.
        trees: The logarithm of measured over base time.
        seen: Measured over predicted time on the devices of the rows.
        unseen: The same on other devices.
        reach: How far the rows reach.
        devices: Devices that it was learned from.
        rows: Number of rows.
    """

    text: str
    trees: Trees
    seen: Spread
    unseen: Spread
    reach: Reach
    devices: tuple[str, ...]
    rows: int

    def interval(self, problem: Problem, seen: bool) -> tuple[np.ndarray, np.ndarray]:
        """Low and high factor of each operator; `seen` on a device that was learned from.

        Beyond the rows a device counts as one that nobody measured.
        """
        low, high = self.unseen.factors(problem.features)
        if not seen:
            return low, high
        near = ~self.reach.outside(problem.features)
        low[near], high[near] = self.seen.factors(problem.features[near])
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
    try:
        text, trees = _trees(folder, name, name, row["sha256"], where)
        seen, unseen = (_spread(folder, name, each, row[each], where) for each in SPREADS)
        reach = Reach(*(np.array(row["reach"][side], float) for side in SIDES))
        devices, count = tuple(str(device) for device in row["devices"]), int(row["rows"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"the manifest of {name} lacks {error}", where=where) from None
    number = len(trees.names)
    if reach.low.shape != (number,) or reach.high.shape != (number,):
        raise InputError(f"{name} has a reach of other features", where=where)
    return Family(text, trees, seen, unseen, reach, devices, count)


def _spread(
    folder: Traversable, name: str, which: str, row: Mapping[str, Any], where: str
) -> Spread:
    low, high = (
        _trees(folder, name, f"{name}.{which}.{side}", row["sha256"][side], where) for side in SIDES
    )
    extra, usual = float(row["open"]), (float(row["usual"][0]), float(row["usual"][1]))
    if not 0 <= extra < np.inf or not 0 < usual[0] <= 1 <= usual[1]:
        raise InputError(f"the interval of {name} does not hold 1", where=where)
    return Spread((low[0], high[0]), (low[1], high[1]), extra, usual)


def _trees(folder: Traversable, name: str, file: str, digest: str, where: str) -> tuple[str, Trees]:
    """Trees of a family's file, as text and read."""
    text = _text(folder / f"{file}.txt", where)
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise InputError(f"{file}.txt is not the file of its manifest (sha256)", where=where)
    trees = read_trees(text, f"{where}: {file}.txt")
    if trees.names != FAMILIES[name].features:
        raise InputError(f"{file}.txt has other features", where=where)
    return text, trees


def _text(path: Traversable, where: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{path.name} is larger than 16 MiB", where=where)
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read: {error}", where=where) from None
