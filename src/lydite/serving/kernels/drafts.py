"""Speculation: how many drafted tokens the model accepts.

A token is accepted with a chance by its position, given that all before it were. One draw for each
verification decides: n tokens are accepted where it lies below the product of the first n chances.
The draw is a function of the seed, the request and its place in the answer alone, so that it is
the same for every layout and after a preemption.
"""

from __future__ import annotations

import numpy as np

from lydite.engine.kernels.jit import special

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_27, _30, _31, _11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


@special
def _mixed(word):
    """SplitMix64's mixing of the bits of a word (Steele, Lea and Flood, OOPSLA 2014)."""
    word = (word ^ (word >> _30)) * _FIRST
    word = (word ^ (word >> _27)) * _SECOND
    return word ^ (word >> _31)


@special
def draw(seed, request, place):
    """A number from 0 to 1, below 1, of a request's place."""
    word = _mixed((np.uint64(seed) + np.uint64(1)) * _STEP)
    word = _mixed(word ^ (np.uint64(request) + np.uint64(1)) * _STEP)
    word = _mixed(word ^ (np.uint64(place) + np.uint64(1)) * _STEP)
    return float(word >> _11) / 9007199254740992.0


@special
def accepted(rules, replica, request, generated, drafts):
    """Number of a request's drafted tokens that are accepted."""
    chance = draw(rules[replica].seed, request, generated)
    count = 0
    while count < drafts and chance < rules[replica].accepted[count]:
        count += 1
    return count
