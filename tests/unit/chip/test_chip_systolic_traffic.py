"""DRAM bytes: worked examples, and what more SRAM can do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.chip.systolic import (
    DATAFLOWS,
    Array,
    Buffers,
    Product,
    edge_cycles,
    run_on,
    traffic_of,
)
from lydite.errors import InputError

PRODUCT = Product(100, 40, 30)  # on 8 x 8: ws 5 x 4 folds, is 5 x 13, os 13 x 4
AMPLE = 10**9


def bytes_of(dataflow, ifmap, filters, ofmap, product=PRODUCT, **more):
    buffers = Buffers(ifmap, filters, ofmap, element_bytes=2, partial_sum_bytes=4)
    found = traffic_of(Array(8, 8, dataflow), product, buffers, **more)
    return tuple(
        float(column)
        for column in (
            found.ifmap_read_bytes,
            found.filter_read_bytes,
            found.ofmap_write_bytes,
            found.ofmap_read_bytes,
        )
    )


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_what_fits_moves_once(dataflow):
    assert bytes_of(dataflow, AMPLE, AMPLE, AMPLE) == (8000, 2400, 6000, 0)


@pytest.mark.parametrize(
    ("dataflow", "sizes", "moved"),
    [
        ("ws", (15998, AMPLE, AMPLE), (4 * 8000, 2400, 6000, 0)),  # half of 16,000 would do
        ("ws", (16000, 1, AMPLE), (8000, 2400, 6000, 0)),  # weights come once anyhow
        ("ws", (AMPLE, 1, 6398), (8000, 2400, 6000 + 4 * 12000, 4 * 12000)),  # 100 x 8 sums
        ("is", (1, 4798, AMPLE), (8000, 13 * 2400, 6000, 0)),
        ("is", (1, 4800, 1918), (8000, 2400, 6000 + 4 * 12000, 4 * 12000)),  # 30 x 8 sums
        ("os", (15998, 1280, 1), (4 * 8000, 2400, 6000, 0)),  # 40 x 8 weights
        ("os", (16000, 1278, 1), (8000, 13 * 2400, 6000, 0)),
    ],
)
def test_what_does_not_fit_moves_at_each_pass(dataflow, sizes, moved):
    assert bytes_of(dataflow, *sizes) == moved


def test_an_ifmap_that_fits_comes_as_it_lies_and_else_as_it_is_unfolded():
    assert bytes_of("ws", 1000, AMPLE, AMPLE, ifmap_elements=250)[0] == 500
    assert bytes_of("ws", 998, AMPLE, AMPLE, ifmap_elements=250)[0] == 4 * 8000


@given(
    st.sampled_from(DATAFLOWS),
    st.tuples(*[st.integers(1, 200)] * 4),
    st.tuples(*[st.integers(1, 20000)] * 3),
    st.integers(0, 2),
)
def test_more_sram_never_moves_more(dataflow, sizes, sram, which):
    product = Product(*sizes)
    more = [2 * size if at == which else size for at, size in enumerate(sram)]
    small, large = bytes_of(dataflow, *sram, product), bytes_of(dataflow, *more, product)
    least = bytes_of(dataflow, AMPLE, AMPLE, AMPLE, product)
    assert all(a >= b >= c for a, b, c in zip(small, large, least, strict=True))
    # the array never reads less of its SRAM than DRAM brings
    run = run_on(Array(8, 8, dataflow), product)
    assert small[0] <= 2 * run.ifmap_reads
    assert small[1] <= 2 * run.filter_reads


def test_the_first_fold_comes_and_the_last_one_leaves():
    """Of 100 x 40 by 40 x 30 on 8 x 8: 8 x 8 weights, 100 x 8 inputs; 100 x 6 results."""
    assert edge_cycles(Array(8, 8), PRODUCT, 10) == -(-(64 + 800 + 600) // 10)
    assert edge_cycles(Array(8, 8), Product(100, 40, 30, 3), 10) == 3 * 147


def test_a_buffer_of_nothing_is_refused():
    with pytest.raises(InputError, match="filter_bytes is 0; allowed: more than 0"):
        Buffers(1, 0, 1)
