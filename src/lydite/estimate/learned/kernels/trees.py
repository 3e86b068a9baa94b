"""The compiled loop over boosted trees, for many rows."""

from __future__ import annotations

from lydite.engine.kernels.jit import kernel
from lydite.engine.kernels.layout import Array


@kernel
def evaluate(
    table: Array,
    feature: Array,
    threshold: Array,
    left: Array,
    right: Array,
    roots: Array,
    total: Array,
) -> None:
    """Add the values of all trees for each row of `table` to `total`; the rest are of `Trees`."""
    for row in range(len(table)):
        found = 0.0
        for root in roots:
            node = root
            while feature[node] >= 0:
                goes_left = table[row, feature[node]] <= threshold[node]
                node = left[node] if goes_left else right[node]
            found += threshold[node]
        total[row] = found
