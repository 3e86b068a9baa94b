"""`Learned`: estimates of products, attention, experts and streams on GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np

from lydite.errors import InputError
from lydite.estimate.base import Estimate
from lydite.estimate.learned.describe import described
from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.model import Family, LearnedModel, usual_model
from lydite.estimate.learned.physics import Problem
from lydite.estimate.learned.sheet import sheet_of
from lydite.graph import OpKey
from lydite.hardware import Device
from lydite.records import dataclass


@dataclass(slots=True)
class _Wanted:
    """Operators of one family and data type: their places among the keys, and their sizes."""

    places: list[int] = field(default_factory=list)
    sizes: list[tuple[float, ...]] = field(default_factory=list)


class Learned:
    """Estimates from a learned model; None for operators and devices that it knows nothing of.

    Args:
        model: The model; None for the usual one.
    """

    name = "learned"

    def __init__(self, model: LearnedModel | None = None) -> None:
        self._model = model or usual_model()

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """One estimate per key; devices other than GPUs with a whole data sheet get none."""
        answers: list[Estimate | None] = [None] * len(keys)
        if device.kind != "gpu" or device.vendor != "NVIDIA":
            return answers
        groups, several = _grouped(keys)
        for (name, dtype), wanted in groups.items():
            family = self._model.families.get(name)
            if family is None:
                continue
            try:
                sheet = sheet_of(device, "float32" if name == "stream" else dtype)
            except InputError:  # the data sheet lacks a figure
                continue
            problem = FAMILIES[name].problem(np.array(wanted.sizes), sheet)
            figures, far = _figures(family, problem, device.name in family.devices)
            details, shared = self._details(device, family), (self.name, name)
            columns = zip(wanted.places, *figures.T.tolist(), far.tolist(), strict=True)
            for place, seconds, low, high, outside in columns:
                made = Estimate(seconds, low, high, self.name, details[outside], shared)
                answers[place] = _sum(answers[place], made) if place in several else made
        for place, parts in several.items():
            if any(part not in self._model.families for part in parts):
                answers[place] = None
        return answers

    def _details(self, device: Device, family: Family) -> tuple[str, str]:
        seen = device.name in family.devices
        where = "it was among them" if seen else "none of them this one"
        detail = f"learned from {len(family.devices)} GPUs, {where}"
        return detail, f"{detail}; unlike what was learned"


def _grouped(
    keys: Sequence[OpKey],
) -> tuple[dict[tuple[str, str], _Wanted], dict[int, list[str]]]:
    """Operators by family and type, and the families of those that have several parts."""
    groups: dict[tuple[str, str], _Wanted] = {}
    several: dict[int, list[str]] = {}
    for place, key in enumerate(keys):
        parts = described(key)
        if len(parts) > 1:
            several[place] = [name for name, _, _ in parts]
        for name, dtype, sizes in parts:
            wanted = groups.get((name, dtype))
            if wanted is None:
                wanted = groups[name, dtype] = _Wanted()
            wanted.places.append(place)
            wanted.sizes.append(sizes)
    return groups, several


def _sum(first: Estimate | None, second: Estimate) -> Estimate:
    if first is None:
        return second
    return Estimate(
        first.seconds + second.seconds,
        first.low + second.low,
        first.high + second.high,
        second.source,
        second.detail,
        second.shared,
    )


def _figures(family: Family, problem: Problem, seen: bool) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and both bounds of each operator [operators, 3], and whether it is unlike the rows.

    None beats the physical bound.
    """
    guess = problem.base_s * np.exp(family.trees.values(problem.features))
    seconds = np.maximum(guess, problem.bound_s)
    far = family.reach.outside(problem.features).astype(int)
    low, high = family.interval(problem, seen)
    least = np.maximum(seconds * low, np.minimum(problem.bound_s, seconds))
    return np.stack([seconds, least, seconds * high], axis=1), far
