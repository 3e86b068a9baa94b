"""Rows to learn from: times of operators of one family on one device of the catalog."""

from __future__ import annotations

import hashlib

import numpy as np

from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.physics import STREAM_KINDS, Problem
from lydite.estimate.learned.sheet import sheet_of
from lydite.hardware import Device, find_device
from lydite.records import dataclass


@dataclass(frozen=True, eq=False)
class Rows:
    """Operators of one family on one device.

    Attributes:
        family: One of `FAMILIES`.
        device: Name in the catalog.
        problem: Base times and features.
        seconds: Measured times.
        weight: Weight of each in a fit.
        aligned: Whether each is of a test set, with sizes as models have them.
        kind: Place in `STREAM_KINDS` of streams; 0 elsewhere.
    """

    family: str
    device: str
    problem: Problem
    seconds: np.ndarray
    weight: np.ndarray
    aligned: np.ndarray
    kind: np.ndarray

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the rows."""
        data = np.concatenate([self.problem.base_s, self.seconds]).tobytes()
        return hashlib.sha256(f"{self.family}{self.device}".encode() + data).hexdigest()[:16]

    def taken(self, chosen: np.ndarray) -> Rows:
        """Some of the rows, by mask or place."""
        return Rows(
            self.family,
            self.device,
            self.problem.taken(chosen),
            *(column[chosen] for column in (self.seconds, self.weight, self.aligned, self.kind)),
        )


def make_rows(
    family: str,
    device: str | Device,
    sizes: np.ndarray,
    seconds: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    aligned: np.ndarray | None = None,
) -> Rows:
    """Rows from the sizes of operators and their times; rows that beat the device are left out.

    Args:
        family: One of `FAMILIES`.
        device: The device, or its name in the catalog.
        sizes: Sizes [rows, sizes of the family].
        seconds: Measured times.
        weight: Weight of each; None for 1.
        aligned: Whether each has sizes as models have them; None for all.

    Raises:
        InputError: the device is unknown, or lacks a figure that the family needs.
    """
    kind = FAMILIES[family]
    where = find_device(device) if isinstance(device, str) else device
    problem = kind.problem(sizes, sheet_of(where, kind.dtype))
    number = len(seconds)
    rows = Rows(
        family,
        where.name,
        problem,
        seconds,
        np.ones(number) if weight is None else weight,
        np.full(number, True) if aligned is None else aligned,
        sizes[:, 0].astype(int) if family == "stream" else np.zeros(number, int),
    )
    # A clock above the data sheet's beats its peak by a little; more than that is a broken row.
    possible = seconds >= 0.9 * problem.bound_s
    return rows if possible.all() else rows.taken(possible)


def stream_name(kind: int) -> str:
    """Name of a kind of stream."""
    return STREAM_KINDS[kind]
