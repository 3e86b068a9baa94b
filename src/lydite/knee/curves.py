"""Physical curves of time against a resource, and their fits by non-negative least squares.

Each curve is a sum of columns with coefficients of at least 0, for one or several breakpoints k.
x is the number of threads or the batch size, y the seconds per call or per sample.

    flat          c0
    perfect       c1/x
    amdahl        c0 + c1/x                       Amdahl 1967
    scalability   c0 + c1/x + c2 x                Gunther's universal scalability law, 1993
    roof          c1/min(x, k)                    Williams, Waterman and Patterson 2009
    fixed roof    c0 + c1/min(x, k)
    cliff         c0 + c1/x + c2 [x > k]          a cache that no longer holds everybody's data
    step          c0 + c1/x + c2 [x > k]/x             a second socket, slower for all
    staircase     c0 + c1 ceil(n/x)               n equal pieces of work
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from lydite.records import dataclass

Array = np.ndarray[Any, Any]
_TERMS = 3
"""Most columns of a curve."""
_SUBSETS = [tuple(i for i in range(_TERMS) if mask >> i & 1) for mask in range(1, 1 << _TERMS)]


@dataclass(frozen=True)
class Curve:
    """A family of curves.

    Attributes:
        name: Name of the family.
        columns: Columns at the values x for a breakpoint k (or for n pieces of work).
        reason: Why more stops paying, with {k} for the breakpoint.
        parameters: Number of coefficients and breakpoints, as Akaike's criterion counts them.
        least, spare: A breakpoint is tried at each value after the first `least` and before the
            last `spare`; None where the curve has no breakpoint.
    """

    name: str
    columns: Callable[[Array, float], list[Array]]
    reason: str
    parameters: int
    least: int | None = None
    spare: int = 1

    def breakpoints(self, x: Array, extent: int | None) -> Iterable[float]:
        """Breakpoints to try; none for a staircase whose number of pieces is not known."""
        if self.name == "staircase":
            return [] if extent is None else [float(extent)]
        if self.least is None:
            return [0.0]
        return [float(k) for k in x[self.least : len(x) - self.spare]]


def _roof(x: Array, k: float) -> Array:
    return 1 / np.minimum(x, k)


CURVES = (
    Curve("flat", lambda x, _: [np.ones_like(x)], "nothing in it depends on {what}", 1),
    Curve("perfect", lambda x, _: [1 / x], "every one of them works in full", 1),
    Curve(
        "amdahl",
        lambda x, _: [np.ones_like(x), 1 / x],
        "a part that does not shrink ({fixed} of the time at the turning point) remains",
        2,
    ),
    Curve(
        "scalability",
        lambda x, _: [np.ones_like(x), 1 / x, x],
        "each one more costs all others {growing} a piece: they wait for each other",
        3,
    ),
    Curve(
        "roof",
        lambda x, k: [_roof(x, k)],
        "a shared resource, such as memory bandwidth, is used up at {k}",
        2,
        least=1,
    ),
    Curve(
        "fixed roof",
        lambda x, k: [np.ones_like(x), _roof(x, k)],
        "a shared resource, such as memory bandwidth, is used up at {k}, beside a fixed part",
        3,
        least=1,
    ),
    Curve(
        "cliff",
        lambda x, k: [np.ones_like(x), 1 / x, (x > k).astype(float)],
        "beyond {k} the data no longer fit into a cache",
        4,
        least=1,
    ),
    Curve(
        "step",
        lambda x, k: [np.ones_like(x), 1 / x, (x > k) / x],
        "beyond {k} every one is slower, as with the memory of a second socket",
        4,
        least=1,
    ),
    Curve(
        "staircase",
        lambda x, k: [np.ones_like(x), np.ceil(k / x)],
        "{k} pieces of work are dealt out whole",
        2,
    ),
)
"""All curves, the simplest first."""


@dataclass(frozen=True)
class Designs:
    """All curves at given values: one design per curve and breakpoint.

    Attributes:
        x: float[n], values.
        matrix: float[designs, n, 3], columns scaled to a maximum of 1, padded with zeros.
        scale: float[designs, 3], what each column was divided by.
        curve: Curve of each design.
        k: Breakpoint of each design.
        valid: bool[designs, subsets], whether all columns of a subset exist.
    """

    x: Array
    matrix: Array
    scale: Array
    curve: tuple[Curve, ...]
    k: Array
    valid: Array

    @property
    def parameters(self) -> Array:
        """Number of parameters of each design."""
        return np.array([curve.parameters for curve in self.curve])

    def values(self, design: int, coefficients: Array) -> Array:
        """The curve of a design with given coefficients; float[n]."""
        return self.matrix[design] @ coefficients


@lru_cache(maxsize=32)
def designs_for(x: tuple[float, ...], extent: int | None) -> Designs:
    """All designs for the values x.

    Args:
        x: Values in ascending order.
        extent: Number of equal pieces of work, for a staircase; None where it is not known.
    """
    values = np.array(x, float)
    curves, breakpoints, matrices, scales = [], [], [], []
    for curve in CURVES:
        for k in curve.breakpoints(values, extent):
            matrix, scale = np.zeros((len(values), _TERMS)), np.ones(_TERMS)
            for index, column in enumerate(curve.columns(values, k)):
                scale[index] = column.max() or 1.0
                matrix[:, index] = column / scale[index]
            curves.append(curve)
            breakpoints.append(k)
            matrices.append(matrix)
            scales.append(scale)
    used = np.array([matrix.any(axis=0) for matrix in matrices])
    valid = np.array([used[:, list(subset)].all(axis=1) for subset in _SUBSETS]).T
    return Designs(
        values, np.array(matrices), np.array(scales), tuple(curves), np.array(breakpoints), valid
    )


def fit(designs: Designs, y: Array) -> tuple[Array, Array]:
    """Fit every design to every series by non-negative least squares on the relative error.

    The optimum under c >= 0 is the best unconstrained fit over those subsets of columns whose
    coefficients come out positive (Lawson and Hanson 1974); with three columns all are tried.

    Args:
        designs: Designs.
        y: float[series, n], positive.

    Returns:
        Coefficients float[series, designs, 3], and the sum of squared relative errors
        float[series, designs].
    """
    count, n = y.shape
    matrix = designs.matrix
    number = len(matrix)
    products = np.einsum("mnp,mnq->nmpq", matrix, matrix).reshape(n, -1)
    gram = ((1 / y**2) @ products).reshape(count, number, _TERMS, _TERMS)
    right = ((1 / y) @ matrix.transpose(1, 0, 2).reshape(n, -1)).reshape(count, number, _TERMS)
    best = np.zeros((count, number, _TERMS))
    explained = np.full((count, number), -np.inf)
    for index, subset in enumerate(_SUBSETS):
        rows = np.flatnonzero(designs.valid[:, index])
        if not rows.size:
            continue
        columns = list(subset)
        part = right[:, rows][:, :, columns]
        square = gram[:, rows][:, :, columns][..., columns]
        square = square + 1e-12 * np.trace(square, axis1=-2, axis2=-1)[..., None, None] * np.eye(
            len(columns)
        )
        solved = np.linalg.solve(square, part[..., None])[..., 0]
        gain = np.where((solved >= 0).all(axis=-1), (solved * part).sum(axis=-1), -np.inf)
        better = gain > explained[:, rows]
        full = np.zeros((count, len(rows), _TERMS))
        full[..., columns] = solved
        best[:, rows] = np.where(better[..., None], full, best[:, rows])
        explained[:, rows] = np.where(better, gain, explained[:, rows])
    return best, np.maximum(n - explained, 0.0)
