"""Tables turned round: by sorting and by the kernel, against one row at a time."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.engine import tables


@pytest.mark.parametrize("most_sorted", [0, 10**6])
@pytest.mark.parametrize("rows", [0, 1, 7, 300])
def test_each_item_lists_its_rows_in_order(monkeypatch, most_sorted, rows):
    monkeypatch.setattr(tables, "_SORTED", most_sorted)
    rng = np.random.default_rng(rows)
    count = rows + 3
    starts = np.concatenate(([0], np.cumsum(rng.integers(0, 5, rows)))).astype(np.int64)
    items = rng.integers(0, count, starts[-1]).astype(np.int32)
    owners, places = np.zeros(items.size + 4, np.int32), np.empty(items.size, np.int32)
    begins = tables.transposed(starts, items, count, owners, print, places)
    assert begins.dtype == np.int32
    owner = np.repeat(np.arange(rows), np.diff(starts))
    for item in range(count):
        assert owners[begins[item] : begins[item + 1]].tolist() == owner[items == item].tolist()
    assert begins[0] == 0
    assert begins[-1] == items.size
    assert np.array_equal(owners[places], owner)
    assert np.array_equal(np.sort(places), np.arange(items.size))
    assert not owners[items.size :].any()
