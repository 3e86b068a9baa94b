"""LoadGen's random numbers, bit for bit: std::mt19937 with libstdc++'s distributions.

The C++ standard fixes the generator (section 26.6.4.2) but not the distributions nor
`std::shuffle`; these are the algorithms of libstdc++ since GCC 11 (`bits/uniform_int_dist.h`,
`bits/random.tcc`, `bits/stl_algo.h`), with which the Linux wheels of LoadGen are built. Tests
compare them with the wheel itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ALGORITHM = "mt19937, libstdc++ of GCC 11 and newer"
"""Tag of these algorithms; wheels for other systems use other libraries."""

_WORD = 1 << 32


class Words:
    """Words of 32 bits from a Mersenne twister."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.MT19937()
        state: Any = np.random.RandomState(seed & (_WORD - 1)).get_state(legacy=False)
        self._bits.state = state
        self._ahead = np.zeros(0, np.uint64)

    def take(self, count: int) -> np.ndarray:
        """The next words: uint64[count]."""
        if len(self._ahead) < count:
            more = self._bits.random_raw(max(count - len(self._ahead), 4096))
            self._ahead = np.concatenate([self._ahead, np.asarray(more, np.uint64)])
        words, self._ahead = self._ahead[:count], self._ahead[count:]
        return words

    def push_back(self, words: np.ndarray) -> None:
        """Return words that were taken too many."""
        self._ahead = np.concatenate([words, self._ahead])


def uniform(words: Words, bound: int, count: int) -> np.ndarray:
    """Integers below `bound`, by Lemire's multiplication with rejection: int64[count].

    A word w gives (w * bound) >> 32, unless the low half of the product is below
    2^32 mod bound (Lemire, Fast Random Integer Generation in an Interval, arXiv:1805.10941).
    """
    limit = (_WORD - bound) % bound
    parts: list[np.ndarray] = []
    missing = count
    while missing:
        taken = words.take(missing)
        products = taken * np.uint64(bound)
        kept = (products & np.uint64(_WORD - 1)) >= limit
        parts.append((products[kept] >> np.uint64(32)).astype(np.int64))
        missing -= len(parts[-1])
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def shuffled(values: np.ndarray, words: Words) -> np.ndarray:
    """The values in the order of `std::shuffle`: two swaps from one draw while n^2 fits a word."""
    count = len(values)
    order = list(range(count))
    if count > 1 and (_WORD - 1) // count >= count:
        start = 1
        if count % 2 == 0:
            _swap(order, 1, int(uniform(words, 2, 1)[0]))
            start = 2
        bounds = [(i + 1) * (i + 2) for i in range(start, count, 2)]
        for i, drawn in zip(range(start, count, 2), _each(words, bounds), strict=True):
            _swap(order, i, drawn // (i + 2))
            _swap(order, i + 1, drawn % (i + 2))
    else:
        for i, drawn in enumerate(_each(words, list(range(2, count + 1))), start=1):
            _swap(order, i, drawn)
    return np.asarray(values)[order]


def _swap(order: list[int], first: int, second: int) -> None:
    order[first], order[second] = order[second], order[first]


def _each(words: Words, bounds: list[int]) -> list[int]:
    """One integer below each bound."""
    drawn: list[int] = []
    taken: list[int] = []
    at = 0
    for bound in bounds:
        limit = (_WORD - bound) % bound
        while True:
            if at == len(taken):
                taken, at = words.take(max(1, len(bounds) - len(drawn))).tolist(), 0
            product = taken[at] * bound
            at += 1
            if product & (_WORD - 1) >= limit:
                break
        drawn.append(product >> 32)
    words.push_back(np.array(taken[at:], np.uint64))
    return drawn


def gaps_ns(words: Words, per_second: float, count: int) -> np.ndarray:
    """Gaps of a Poisson process in nanoseconds, each truncated: int64[count].

    `std::exponential_distribution` on `std::generate_canonical` with 53 bits: two words a number,
    the first being the low one.
    """
    pairs = words.take(2 * count).reshape(count, 2).astype(np.float64)
    canonical = (pairs[:, 0] + pairs[:, 1] * float(_WORD)) / float(_WORD) ** 2
    canonical = np.minimum(canonical, np.nextafter(1.0, 0.0))
    return (-np.log(1.0 - canonical) / per_second * 1e9).astype(np.int64)
