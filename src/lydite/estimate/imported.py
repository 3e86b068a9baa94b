"""Estimates from tables that others measured and a user imported, of one software at a time.

An operator is looked up under its canonical form. Where its sizes are not in the table, the time is
interpolated: the logarithm of measured over base time (the roofline's, plus a launch) is averaged
over the nearest rows in the logarithms of all sizes, weighted by inverse square distance
(Shepard 1968). The interval holds 90 % of the errors of rows that are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np

from lydite.estimate.base import CONFIDENCE, Estimate
from lydite.estimate.canonical import canonical
from lydite.estimate.prediction import PredictedNode
from lydite.estimate.roofline import key_dtype, roofline_seconds
from lydite.graph import OpKey
from lydite.graph.work import work_of_key
from lydite.hardware import Device
from lydite.records import dataclass
from lydite.store import Readings, Software
from lydite.store.foreign import version_order

ANY = "any"
"""Name for whichever imported software has most of the operators."""
_SPREAD = 0.1
"""Relative half-width by which two people's medians of one kernel differ."""
_NEIGHBOURS, _LEFT_OUT, _FEWEST = 10, 100, 12
_FARTHEST = 2.0
"""Distance, in powers of two over all sizes together, beyond which nothing is interpolated."""
_LAUNCH_S = 2e-6
_SIZE = re.compile(r"(?<=[\[,:])\d+")


@dataclass(frozen=True)
class _Choice:
    """An imported software on a device: where its rows are, and what to call it."""

    database: Readings
    software: Software
    origin: str

    @property
    def name(self) -> str:
        return f"{software_name(self.software)}, imported from {self.origin}"


def software_name(software: Software) -> str:
    """Name and version: "vllm 0.24.0"."""
    rest = [value for name, value in software.versions.items() if name != software.backend]
    return " ".join([software.backend, software.versions.get(software.backend, ""), *rest]).strip()


class Imported:
    """Times of others for one software on one device.

    Args:
        databases: Databases that may hold imported rows.
        wanted: Name of the software, such as "vllm"; `ANY` for the one that has most of the first
            operators that are asked for.
    """

    name = "imported"

    def __init__(self, databases: Sequence[Readings], wanted: str) -> None:
        self._databases, self._wanted = databases, wanted
        self._chosen: dict[str, _Choice | None] = {}
        self._tables: dict[tuple[str, str], Shapes | None] = {}

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Measured where the table has the operator, else interpolated near its rows, else None."""
        forms = [canonical(key) for key in keys]
        if device.name not in self._chosen:
            self._chosen[device.name] = self._choose([f for f in forms if f is not None], device)
        choice = self._chosen[device.name]
        if choice is None:
            return [None] * len(keys)
        known = _exact(choice, [form for form in forms if form is not None], device)
        rest = [form for form in forms if form is not None and form.digest not in known]
        self._read(rest, device, choice)
        answers: list[Estimate | None] = []
        for form in forms:
            if form is None:
                answers.append(None)
            elif form.digest in known:
                answers.append(_measured(known[form.digest], choice))
            else:
                answers.append(self._near(form, device, choice))
        return answers

    def rows(self, device: Device, domain: str, op_type: str) -> list[tuple[str, float]]:
        """Text of the key and seconds of all operators of a type, from the software in question."""
        choice = self._choose([], device)
        if choice is None:
            return []
        begins = [(domain, op_type, "")]
        return choice.database.foreign_times(choice.software, device=device.name, begins=begins)

    def _choose(self, keys: list[OpKey], device: Device) -> _Choice | None:
        found: list[tuple[int, tuple[Any, ...], str, _Choice]] = []
        for database in self._databases:
            for software, origin in database.foreign_softwares(device.name):
                if self._wanted in (ANY, software.backend):
                    choice = _Choice(database, software, origin)
                    hits = len(_exact(choice, keys, device))
                    version = version_order(software.versions.get(software.backend, ""))
                    found.append((hits, version, software_name(software), choice))
        # Of each software the newest version that has some of the operators, and of its kinds (a
        # box, a clock) the one that has most.
        newest: dict[str, tuple[int, tuple[Any, ...], str, _Choice]] = {}
        for each in sorted(found, key=lambda each: each[2]):
            backend = each[3].software.backend
            known = newest.get(backend)
            if known is None or _rank(each) > _rank(known):
                newest[backend] = each
        return max(newest.values(), key=lambda each: (each[0], each[2]))[3] if newest else None

    def _near(self, key: OpKey, device: Device, choice: _Choice) -> Estimate | None:
        shape, sizes = split_sizes(key.text)
        table = self._tables[device.name, shape]
        return None if table is None else table.estimate(key, sizes, choice.name)

    def _read(self, keys: Sequence[OpKey], device: Device, choice: _Choice) -> None:
        """Read the rows that differ from the keys in sizes only, all at once."""
        shapes = {split_sizes(key.text)[0]: key for key in keys}
        new = {s: key for s, key in shapes.items() if (device.name, s) not in self._tables}
        if not new:
            return
        begins = {(k.domain, k.op_type, s.partition("#")[0]) for s, k in new.items()}
        rows = choice.database.foreign_times(
            choice.software, device=device.name, begins=sorted(begins)
        )
        for shape in new:
            self._tables[device.name, shape] = shapes_of(rows, shape, device)


def _rank(found: tuple[int, tuple[Any, ...], str, _Choice]) -> tuple[Any, ...]:
    hits, version, *_ = found
    return hits > 0, version, hits


def _exact(choice: _Choice, keys: Sequence[OpKey], device: Device) -> dict[str, float]:
    """Seconds by digest of the operators that the table has."""
    backend = choice.software.backend
    found = choice.database.lookup(keys, device=device.name, backend=backend)
    seconds = {
        digest: [row.median_s for row in rows if row.software == choice.software]
        for digest, rows in found.items()
    }
    return {digest: float(np.median(each)) for digest, each in seconds.items() if each}


def _measured(seconds: float, choice: _Choice) -> Estimate:
    return Estimate(
        seconds,
        seconds * (1 - _SPREAD),
        seconds * (1 + _SPREAD),
        "measured",
        choice.name,
        shared=("imported", choice.name),
    )


def split_sizes(text: str) -> tuple[str, list[int]]:
    """A key's text without its sizes, and the sizes."""
    return _SIZE.sub("#", text), [int(size) for size in _SIZE.findall(text)]


def shapes_of(rows: Sequence[tuple[str, float]], shape: str, device: Device) -> Shapes | None:
    """The rows whose keys have this text but for sizes; None where they are few."""
    alike = re.compile(re.escape(shape).replace(re.escape("#"), r"(\d+)")).fullmatch
    found = [(text, match.groups(), s) for text, s in rows if (match := alike(text)) is not None]
    if len(found) < _FEWEST:
        return None
    numbers = " ".join(" ".join(groups) for _, groups, _ in found)
    table = np.array(numbers.split(), np.float64).reshape(len(found), -1)
    return Shapes(
        device,
        tuple(text for text, _, _ in found),
        np.log2(np.maximum(table, 1)),
        np.array([seconds for _, _, seconds in found]),
    )


@dataclass
class Shapes:
    """Operators that differ only in sizes.

    Attributes:
        device: Device of the rows.
        texts: Texts of their keys.
        sizes: Logarithms of all sizes [operators, sizes].
        seconds: Measured times.
    """

    device: Device
    texts: tuple[str, ...]
    sizes: np.ndarray
    seconds: np.ndarray
    _ratios: dict[int, float] = field(default_factory=dict)
    _fitted: tuple[Any, np.ndarray, float, float] | None = None

    def estimate(self, key: OpKey, sizes: Sequence[int], name: str) -> Estimate | None:
        """An interpolated estimate; None far from all rows, or where a fixed size differs."""
        tree, varied, half, usual = self._fit()
        place = np.log2(np.maximum(sizes, 1))
        fixed = np.setdiff1d(np.arange(len(place)), self._varied_of_all)
        if not np.array_equal(place[fixed], self.sizes[0, fixed]):
            return None
        base = _base_s(key, self.device)
        distances, rows = tree.query(place[varied], _NEIGHBOURS)
        if base is None or not distances[0] <= _FARTHEST:
            return None
        seconds = base * math.exp(self._mean(distances, rows))
        # Beyond the usual distance between rows the error grows.
        width = half * math.sqrt(max(1.0, float(distances[0]) / usual))
        return Estimate(
            seconds,
            seconds * math.exp(-width),
            seconds * math.exp(width),
            "interpolated",
            f"over {len(self.texts)} shapes of {name}",
            shared=("imported", name, key.qualified_type),
        )

    @property
    def _varied_of_all(self) -> np.ndarray:
        return np.flatnonzero(np.ptp(self.sizes, axis=0) > 0)

    def _fit(self) -> tuple[Any, np.ndarray, float, float]:
        if self._fitted is None:
            from scipy.spatial import KDTree

            # A size that stands at several places of the text counts once.
            _, first = np.unique(self.sizes, axis=1, return_index=True)
            varied = np.intersect1d(first, self._varied_of_all)
            tree = KDTree(self.sizes[:, varied])
            self._fitted = tree, varied, *self._errors(tree, varied)
        return self._fitted

    def _errors(self, tree: Any, varied: np.ndarray) -> tuple[float, float]:
        """Half-width of log seconds for rows left out, and their usual distance to others."""
        number = min(_LEFT_OUT, len(self.texts))
        places = np.random.default_rng(0).choice(len(self.texts), number, replace=False)
        distances, rows = tree.query(self.sizes[places][:, varied], _NEIGHBOURS + 1)
        errors, nearest = [], []
        for place, far, near in zip(places, distances, rows, strict=True):
            others = (near != place) & (near < len(self.texts))
            own = self._ratio(int(place))
            if math.isfinite(own) and others.any():
                errors.append(abs(self._mean(far[others], near[others]) - own))
                nearest.append(float(far[others][0]))
        ranked = sorted(errors)
        index = min(len(ranked) - 1, math.ceil(CONFIDENCE * (len(ranked) + 1)) - 1)
        half = ranked[index] if ranked else math.log(2)
        return max(half, _SPREAD), max(float(np.median(nearest or [1.0])), 0.1)

    def _mean(self, distances: np.ndarray, rows: np.ndarray) -> float:
        there = rows < len(self.texts)
        ratios = np.array([self._ratio(int(row)) for row in rows[there]])
        weights = 1 / (distances[there] + 0.05) ** 2
        sound = np.isfinite(ratios)
        if not sound.any():
            return 0.0
        return float(np.average(ratios[sound], weights=weights[sound]))

    def _ratio(self, row: int) -> float:
        """Logarithm of measured over base time; NaN where the work is not known."""
        if row not in self._ratios:
            base = _base_s(OpKey.parse(self.texts[row]), self.device)
            self._ratios[row] = math.nan if base is None else math.log(self.seconds[row] / base)
        return self._ratios[row]


def _base_s(key: OpKey, device: Device) -> float | None:
    work = work_of_key(key)
    if work is None:
        return None
    types = [t.dtype for t in key.operand_types() if t is not None]
    dtype = types[-1] if types and types[-1].startswith("float8") else key_dtype(key)
    return roofline_seconds(work, device, dtype, None) + _LAUNCH_S


def imported_note(nodes: Sequence[PredictedNode], *, named: bool) -> str:
    """Whose imported times a prediction uses; "" where it uses none.

    Args:
        nodes: Operators with their estimates.
        named: Whether the user named the runtime.
    """
    marks = [n.estimate.shared for n in nodes if n.estimate is not None]
    found = [mark[1] for mark in marks if isinstance(mark, tuple) and mark[0] == "imported"]
    if not found:
        return ""
    other = "" if named else "; --runtime names another"
    return f"{len(found)} of {len(nodes)} operators as {found[0]}{other}"
