"""Helpers of kernels: compiled once, whatever integers they are called with."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.engine.kernels.jit import called, inlined


@pytest.mark.parametrize("decorator", [inlined, called])
def test_a_helper_is_compiled_once_for_integers_of_any_width(decorator):
    from numba import njit

    @decorator
    def half(items, at, more):
        return (items[at] + more) // 2

    @njit
    def total(items):
        whole = half(items, 0, 1)  # two literals
        for i in range(len(items)):  # int64 and a literal, int32 and int32
            whole += half(items, i, 1) + half(items, items[0], items[i])
        return whole

    items = np.array([1, 2, 7], np.int32)
    expected = 1 + sum((x + 1) // 2 + (2 + x) // 2 for x in (1, 2, 7))
    assert total(items) == expected
    assert len(half.overloads) == 1


def test_a_number_beyond_32_bits_is_not_cut_short():
    from numba import njit

    @inlined
    def more(number):
        return number + 2**40

    @njit
    def both(narrow):
        return more(narrow[0]) + more(2**41)

    assert both(np.array([5], np.int32)) == 5 + 2**40 + 2**41 + 2**40
