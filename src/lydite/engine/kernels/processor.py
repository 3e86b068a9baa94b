"""Instructions of the processor that a loop can ask for, which Python has no words for."""

from __future__ import annotations

from lydite.engine.helpers import instruction
from lydite.engine.kernels.layout import Array


@instruction
def pick(condition: bool, one: int, other: int) -> int:
    """`one` if the condition holds, otherwise `other`, without a branch that could be mispredicted.

    Both are computed, so both must be valid to compute.
    """
    return one if condition else other


@instruction
def nearest(number: float) -> float:
    """The nearest whole number, the even one of two equally near, as `np.rint`."""
    return float(round(number))


@instruction
def prefetch(items: Array, at: int) -> None:
    """Begin to load the cache line of an item that will be used soon."""
