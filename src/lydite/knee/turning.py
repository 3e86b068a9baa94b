"""The turning point of a curve: the value after which more stops paying."""

from __future__ import annotations

from typing import Any

import numpy as np

GAIN = 0.05
"""Least share of the time that a step has to save to pay."""


def turning_index(y: np.ndarray[Any, Any], gain: float = GAIN) -> np.ndarray[Any, Any]:
    """Index of the turning point: the first value from which no later one pays.

    A later value j pays if the steps up to it save at least `gain` each, on average:
    y_j < y_i (1 - gain)^(j - i). Hence the index is that of the least y_i / (1 - gain)^i. Where
    each step gains less than the one before, it is the first value whose next step gains less than
    `gain`; on a staircase it looks beyond a tread.

    Args:
        y: float[..., n], time or cost at each value.
        gain: Share of the time.

    Returns:
        int[...]; n - 1 if even the last step pays.
    """
    steps = np.arange(y.shape[-1])
    return np.argmin(np.log(y) - steps * np.log1p(-gain), axis=-1)
