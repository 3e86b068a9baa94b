"""Distinct values, against Python's sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lydite.engine import distinct


@given(st.lists(st.integers(-5, 5)), st.sampled_from([np.int64, np.float64, np.complex128]))
def test_distinct_values_are_sorted_and_occur_once(values: list[int], dtype: type):
    found = distinct(np.array(values, dtype))
    assert found.dtype == dtype
    assert found.tolist() == [dtype(each) for each in sorted(set(values))]


def test_lists_and_grids_are_taken_too():
    assert distinct([3, 1, 3]).tolist() == [1, 3]
    assert distinct(np.array([[2, 1], [1, 2]])).tolist() == [1, 2]
