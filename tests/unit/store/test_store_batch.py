"""Rows of many measurements at once, against the records and NumPy, one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from store_contract import measurements
from store_samples import measured

from lydite.store import schema
from lydite.store.batch import measurement_rows

_COLUMNS = [column.name for column in schema.measurements.c]


def _as_dicts(items):
    digests = [item.software.digest for item in items]
    rows = measurement_rows(items, digests)
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


@given(st.lists(measurements(), max_size=8))
def test_each_row_says_what_its_record_does(items):
    for item, row in zip(items, _as_dicts(items), strict=True):
        assert row["id"] == item.id
        assert (row["op"], row["software"]) == (item.key.digest, item.software.digest)
        held = item.conditions
        assert (row["threads"], row["cache"], row["scope"]) == (
            held.threads,
            held.cache,
            held.scope,
        )
        for name in ("device", "run", "status", "error", "energy_j", "source", "measured_at"):
            assert row[name] == getattr(item, name)
        assert row["n_samples"] == item.samples_s.size
        assert np.array_equal(np.frombuffer(row["samples"], "<f8"), item.samples_s)


def test_quantiles_of_rows_with_unequally_many_samples_are_numpys():
    rng = np.random.default_rng(0)
    items = [
        measured(n, samples_s=rng.lognormal(-8, 1, size)) for n, size in enumerate([1, 30, 2, 30])
    ]
    items.insert(2, measured(9, samples_s=rng.random(30), status="timeout", error="too slow"))
    items.append(measured(10, samples_s=np.array([]), status="crash"))
    for item, row in zip(items, _as_dicts(items), strict=True):
        found = (row["low_s"], row["median_s"], row["high_s"])
        if item.status != "ok":
            assert found == (None, None, None)
            continue
        assert found == item.quantiles_s()
        np.testing.assert_allclose(found, np.quantile(item.samples_s, (0.05, 0.5, 0.95)))
