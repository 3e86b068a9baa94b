"""Closed forms against SCALE-Sim's and ONNXim's own runs, and an array simulated by register."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.chip.systolic import DATAFLOWS, Array, Product, edge_cycles, run_on
from lydite.errors import InputError

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[4] / "shared" / "data"))
SIDE = st.integers(1, 12)
SIZE = st.integers(1, 60)
DATAFLOW = st.sampled_from(DATAFLOWS)


def rows_of(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no reference data in {path}: set LYDITE_REFERENCE_DATA")
    with path.open() as file:
        return list(csv.DictReader(file))


def product_from(row, dataflow):
    on_rows, on_columns, time = (int(row[name]) for name in ("SR", "SC", "T"))
    order = {"ws": (time, on_rows, on_columns), "is": (on_columns, on_rows, time)}
    return Product(*order.get(dataflow, (on_rows, time, on_columns)))


def test_every_row_that_scale_sim_was_run_on():
    rows = rows_of("scalesim/cycles.csv")
    for row in rows:
        side = int(row["array"])
        array = Array(side, side, row["dataflow"])
        run = run_on(array, product_from(row, row["dataflow"]), compat=True)
        assert run.cycles == int(row["simulated_cycles"] or row["total_cycles"])
        assert run.folds == int(row["folds"])
        assert round(run.utilisation_percent, 4) == float(row["overall_util_pct"])
        assert round(run.mapping_percent, 4) == float(row["mapping_eff_pct"])
    assert len(rows) == 354


@pytest.mark.parametrize("net", ["alexnet", "resnet50"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_all_that_scale_sim_reports_of_a_layer(net, dataflow):
    for row in rows_of(f"scalesim/measured_{net}_128_{dataflow}.csv"):
        run = run_on(Array(128, 128, dataflow), product_from(row, dataflow), compat=True)
        counts = (run.cycles, run.ifmap_reads, run.filter_reads, run.ofmap_writes)
        names = ("total_cycles", "ifmap_sram_rd", "filt_sram_rd", "of_sram_wr")
        assert counts == tuple(int(row[name]) for name in names)
        # SCALE-Sim adds percentages up fold by fold, which rounds in the 15th digit
        shares = (run.utilisation_percent, run.mapping_percent, run.compute_percent)
        names = ("overall_util_pct", "mapping_eff_pct", "compute_util_pct")
        assert shares == pytest.approx(tuple(float(row[name]) for name in names), rel=1e-14)


@pytest.mark.parametrize(("side", "cycles"), [(512, 9337), (1024, 67192), (2048, 526968)])
def test_onnxim_on_one_core(side, cycles):
    """128 x 128, 16 ports of 32 bytes a cycle, fp16: 256 words a cycle (ONNXim a1e8629)."""
    array, product = Array(128, 128, overlap="preload"), Product(side, side, side)
    found = run_on(array, product).cycles + edge_cycles(array, product, 256)
    assert found == pytest.approx(cycles, rel=0.01)


def by_register(array, a, b):
    """Cycles and result of A x B in one fold, moving every operand through registers."""
    if array.dataflow == "is":
        cycles, result = by_register(Array(array.rows, array.columns), b.T, a.T)
        return cycles, result.T
    (m, k), n = a.shape, b.shape[1]
    streams, kept, sums = (np.zeros((array.rows, array.columns)) for _ in range(3))
    down = np.zeros((array.rows, array.columns))
    out, cycle = np.zeros((m, n)), 0
    if array.dataflow == "ws":
        kept[:k, :n], cycle = b, array.rows  # a row a cycle, moving down
        for t in range(m + array.rows + array.columns - 2):
            left = [a[t - i, i] if i < k and 0 <= t - i < m else 0.0 for i in range(array.rows)]
            streams = np.hstack([np.array(left)[:, None], streams[:, :-1]])
            sums = np.vstack([np.zeros(array.columns), sums[:-1]]) + kept * streams
            for j in range(n):
                if 0 <= t - (array.rows - 1) - j < m:
                    out[t - (array.rows - 1) - j, j] = sums[-1, j]
            cycle += 1
        return cycle, out
    for t in range(k + array.rows + array.columns - 2):  # outputs stay
        left = [a[i, t - i] if i < m and 0 <= t - i < k else 0.0 for i in range(array.rows)]
        top = [b[t - j, j] if j < n and 0 <= t - j < k else 0.0 for j in range(array.columns)]
        streams = np.hstack([np.array(left)[:, None], streams[:, :-1]])
        down = np.vstack([np.array(top), down[:-1]])
        sums += streams * down
        cycle += 1
    return cycle, sums[:m, :n]


@given(DATAFLOW, st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_fold_takes_what_moving_every_operand_takes(dataflow, rows, columns, data):
    at_most = {"ws": (7, rows, columns), "is": (columns, rows, 7), "os": (rows, 7, columns)}
    m, k, n = (data.draw(st.integers(1, most)) for most in at_most[dataflow])
    a, b = np.arange(1.0, m * k + 1).reshape(m, k), np.arange(2.0, k * n + 2).reshape(k, n)
    array = Array(rows, columns, dataflow)
    cycles, result = by_register(array, a, b)
    assert np.array_equal(result, a @ b)
    run = run_on(array, Product(m, k, n))
    assert (run.cycles, run.folds) == (cycles, 1)


@given(DATAFLOW, st.sampled_from(["none", "preload"]), SIDE, SIDE, SIZE, SIZE, SIZE)
def test_no_array_does_more_than_it_has(dataflow, overlap, rows, columns, m, k, n):
    if (dataflow, overlap) == ("os", "preload"):
        overlap = "none"
    run = run_on(Array(rows, columns, dataflow, overlap), Product(m, k, n))
    parts = run.weight_load_cycles + run.fill_drain_cycles + run.compute_cycles
    assert run.cycles == parts
    assert run.cycles * rows * columns >= m * k * n
    assert run.utilisation_percent == pytest.approx(100 * m * k * n / (run.cycles * rows * columns))
    assert 0 < run.utilisation_percent <= run.mapping_percent <= 100
    assert run.compute_percent <= run.mapping_percent
    if overlap == "none":  # then every fold is alike, and the two are one
        assert run.compute_percent == pytest.approx(run.utilisation_percent)


@given(st.sampled_from(["none", "preload"]), SIDE, SIDE, SIZE, SIZE, SIZE)
def test_inputs_held_are_weights_held_with_the_operands_swapped(overlap, rows, columns, m, k, n):
    weights = run_on(Array(rows, columns, "ws", overlap), Product(m, k, n))
    inputs = run_on(Array(rows, columns, "is", overlap), Product(n, k, m))
    assert (weights.cycles, weights.compute_percent) == (inputs.cycles, inputs.compute_percent)
    assert (weights.ifmap_reads, weights.filter_reads) == (inputs.filter_reads, inputs.ifmap_reads)
    assert weights.ofmap_writes == inputs.ofmap_writes


@given(DATAFLOW, SIDE, SIDE, SIZE, SIZE, SIZE)
def test_twice_an_array_is_never_slower_where_it_halves_the_folds(dataflow, rows, columns, m, k, n):
    product = Product(m, k, n)
    one = run_on(Array(rows, columns, dataflow), product)
    for more in (Array(2 * rows, columns, dataflow), Array(rows, 2 * columns, dataflow)):
        found = run_on(more, product)
        if 2 * found.folds == one.folds:
            assert found.cycles <= one.cycles


@given(st.sampled_from(["ws", "is"]), SIDE, SIDE, SIZE, SIZE, SIZE)
def test_the_same_with_preload_where_rows_outlast_the_pipe(dataflow, rows, columns, m, k, n):
    product = Product(m + 8 * 12, k, n + 8 * 12)  # a fold lasts longer than filling twice the rows
    one = run_on(Array(rows, columns, dataflow, "preload"), product)
    for more in ((2 * rows, columns), (rows, 2 * columns)):
        found = run_on(Array(*more, dataflow, "preload"), product)
        if 2 * found.folds == one.folds:
            assert found.cycles <= one.cycles


def test_a_larger_array_can_be_slower():
    """What it adds lies idle, and takes longer to fill."""
    for overlap in ("none", "preload"):
        small, large = (Array(side, side, "ws", overlap) for side in (8, 9))
        product = Product(20, 8, 8)
        assert run_on(large, product).cycles > run_on(small, product).cycles


@given(st.sampled_from(["ws", "is"]), SIDE, SIDE, SIZE, SIZE, SIZE)
def test_preload_costs_one_more_load_and_saves_on_every_fold(dataflow, rows, columns, m, k, n):
    apart, over = (
        run_on(Array(rows, columns, dataflow, overlap), Product(m, k, n))
        for overlap in ("none", "preload")
    )
    assert over.cycles <= apart.cycles + rows - 1 + 3 * over.folds
    assert over.compute_cycles == apart.compute_cycles


def test_columns_give_what_numbers_give():
    sides, m = np.array([[4], [7], [16]]), np.array([3, 50, 1000])
    product = Product(m, 9, np.array([8, 1, 17]), np.array([1, 5, 1]))
    for dataflow in DATAFLOWS:
        table = run_on(Array(sides, 8, dataflow), product)
        assert np.shape(table.cycles) == (3, 3)
        for i, side in enumerate((4, 7, 16)):
            for j, (n, count) in enumerate(((8, 1), (1, 5), (17, 1))):
                one = run_on(Array(side, 8, dataflow), Product(int(m[j]), 9, n, count))
                assert table.cycles[i, j] == one.cycles
                assert table.utilisation_percent[i, j] == pytest.approx(one.utilisation_percent)
                assert np.broadcast_to(table.ofmap_writes, (3, 3))[i, j] == one.ofmap_writes


def test_groups_run_one_after_the_other():
    one, many = (run_on(Array(8, 8), Product(49, 9, 1, count)) for count in (1, 32))
    assert (many.cycles, many.ifmap_reads) == (32 * one.cycles, 32 * one.ifmap_reads)
    assert many.utilisation_percent == pytest.approx(one.utilisation_percent)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Array(4, 4, "rs"), "unknown dataflow 'rs'; allowed: is, os, ws"),
        (lambda: Array(4, 4, overlap="half"), "unknown fold overlap 'half'"),
        (lambda: Array(4, 4, "os", "preload"), "no operand to preload"),
        (lambda: Array(0, 4), "systolic array: rows is 0; allowed: at least 1"),
        (lambda: Array(4, 2.5), "columns is 2.5; allowed: whole numbers"),
        (lambda: Product(1, np.array([3, -1]), 1), "matrix product: k is -1"),
        (
            lambda: run_on(Array(4, 4, overlap="preload"), Product(1, 1, 1), compat=True),
            "no fold overlap 'preload'",
        ),
        (lambda: edge_cycles(Array(4, 4, "os"), Product(1, 1, 1), 8), "do not overlap"),
    ],
)
def test_bad_input_is_refused_with_what_is_allowed(make, words):
    with pytest.raises(InputError, match=words):
        make()
