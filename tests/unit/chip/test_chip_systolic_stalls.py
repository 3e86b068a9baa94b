"""Stalls against SCALE-Sim's own runs, and against a memory of sets, element by element."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.chip.systolic import (
    DATAFLOWS,
    Array,
    OffChipMemory,
    Product,
    Window,
    run_on,
    stalled_run,
    unfolded,
)
from lydite.compat.scalesim import read_config, read_topology
from lydite.errors import InputError

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", Path(__file__).parents[4] / "shared" / "data"))
SMALL = OffChipMemory(1024, 1024, 1024, 10, 10, 10)
OVERLAPPING = Window((14, 14), 8, (3, 3), (1, 1), (12, 12))
BEYOND = Window((10, 10), 24, (1, 1), (2, 2), (6, 6))
"""Its last windows lie outside the picture, as in SCALE-Sim's ResNet-50."""


def window_product(window, filters):
    return Product(math.prod(window.ofmap), math.prod(window.kernel) * window.channels, filters)


def golden(name, layer):
    folder = DATA / "scalesim"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    settings = read_config(folder / name)
    found = next(one for one in read_topology(folder / "resnet50.csv") if one.name == layer)
    return settings.array, found.product, settings.memory, found.ifmap


@pytest.mark.parametrize(
    ("name", "layer", "cycles", "stalls"),
    [
        ("a32_ws_USER.cfg", "CB3a_1", 84255, 54336),
        ("a32_os_USER.cfg", "CB3a_1", 101439, 67096),
        ("a32_ws_USER.cfg", "CB4a_1", 90186, 49355),
    ],
)
def test_what_scale_sim_counts(name, layer, cycles, stalls):
    array, product, memory, ifmap = golden(name, layer)
    run = stalled_run(array, product, memory, ifmap=ifmap, compat=True)
    assert (run.cycles, run.stall_cycles) == (cycles, stalls)


@pytest.mark.parametrize(
    ("name", "stalls"), [("a32_ws_USER.cfg", 52310), ("a32_os_USER.cfg", 65344)]
)
def test_what_scale_sim_counts_without_its_doubled_line(name, stalls):
    array, product, memory, ifmap = golden(name, "CB3a_1")
    run = stalled_run(array, product, memory, ifmap=ifmap)
    assert run.stall_cycles == pytest.approx(stalls, rel=0.01)
    assert run.cycles == run_on(array, product).cycles + run.stall_cycles


@pytest.mark.parametrize(
    ("dataflow", "window", "filters", "cycles", "stalls"),
    [
        ("ws", OVERLAPPING, 20, 10959, 3670),
        ("ws", BEYOND, 17, 1593, 784),
        ("os", OVERLAPPING, 20, 16132, 8753),
        ("os", BEYOND, 17, 1585, 736),
        ("is", OVERLAPPING, 20, 14035, 1724),
        ("is", BEYOND, 17, 944, 0),
    ],
)
def test_small_layers_on_a_rectangular_array_as_scale_sim_runs_them(
    dataflow, window, filters, cycles, stalls
):
    """Run with SCALE-Sim 3.0.0 in USER mode: 8 x 4, SRAMs of 1 kB, 10 words a cycle everywhere."""
    run = stalled_run(
        Array(8, 4, dataflow),
        window_product(window, filters),
        SMALL,
        ifmap=unfolded(window),
        compat=True,
    )
    assert (run.cycles, run.stall_cycles) == (cycles, stalls)


@pytest.mark.parametrize(
    ("dataflow", "cycles", "stalls"),
    [("ws", 30247, 26818), ("os", 14718, 7803), ("is", 30276, 26137)],
)
def test_results_that_leave_slowly_as_scale_sim_lets_them(dataflow, cycles, stalls):
    """Run with SCALE-Sim 3.0.0: 6 x 10, SRAMs of 2, 2 and 1 kB, results a word a cycle."""
    window = Window((16, 16), 3, (2, 2), (1, 1), (15, 15))
    memory = OffChipMemory(2048, 2048, 1024, 10, 10, 1)
    run = stalled_run(
        Array(6, 10, dataflow),
        window_product(window, 70),
        memory,
        ifmap=unfolded(window),
        compat=True,
    )
    assert (run.cycles, run.stall_cycles) == (cycles, stalls)
    assert run.ofmap_stall_cycles == stalls


class SetMemory:
    """An operand's SRAM as sets of addresses."""

    def __init__(self, stream, words, rate, compat):
        piece = -(-words // 100)
        stream = [address for address in stream if address >= 0]
        self.sets = [
            set(stream[i * piece : (i + 1) * piece]) for i in range(len(stream) // piece + 1)
        ]
        serving = -(-words // 2)
        self.active = min(len(self.sets), -(-serving // piece))
        self.step = min(len(self.sets) - self.active, -(-(words - serving) // piece))
        coming = words - serving if compat else min(words - serving, self.step * piece)
        self.refill = -(-coming // rate) + 1
        self.begin, self.ready, self.moved, self.compat = 0, -1, -1, compat

    def holds(self, address):
        window = range(self.begin, self.begin + self.active)
        return any(address in self.sets[at % len(self.sets)] for at in window)

    def late(self, line, cycle):
        offset = 1
        for address in line:
            while address >= 0 and not self.holds(address):
                self.begin = (self.begin + self.step) % len(self.sets)
                begin = self.ready if self.compat else max(self.ready, self.moved)
                self.ready = begin + self.refill
                wait = self.ready - (cycle + offset)
                offset += wait + max(wait, 0) if self.compat else max(wait, 0)
                self.moved = cycle + offset
        return offset - 1


def skewed(block):
    rows, columns = block.shape
    out = np.full((rows + columns - 1, columns), -1)
    for column in range(columns):
        out[column : column + rows, column] = block[:, column]
    return out


def padded(block, rows, columns):
    return np.pad(
        block, ((0, rows - len(block)), (0, columns - block.shape[1])), constant_values=-1
    )


def diagonals(matrix):
    rows, columns = matrix.shape
    return [
        matrix[d - column, column]
        for d in range(rows + columns)
        for column in range(columns)
        if 0 <= d - column < rows
    ]


def pieces(matrix, width):
    blocks = [matrix[:, at : at + width] for at in range(0, matrix.shape[1], width)]
    return [padded(block, len(matrix), width) for block in blocks]


def by_element(array, ifmap, filters, memory, compat):
    """Stalls of reads alone, with demand and prefetch written out as matrices."""
    rows, columns, dataflow = array.rows, array.columns, array.dataflow
    if dataflow == "is":
        ifmap, filters = filters.T, ifmap.T
    words = [memory.ifmap_words, memory.filter_words]
    rates = [memory.ifmap_words_per_cycle, memory.filter_words_per_cycle]
    if dataflow == "is":
        words, rates = words[::-1], rates[::-1]
    if dataflow == "os":
        first, second = pieces(ifmap.T, rows), pieces(filters, columns)
        folds = [
            (
                skewed(np.pad(a, ((0, columns - 1), (0, 0)), constant_values=-1)),
                skewed(np.pad(b, ((0, rows - 1), (0, 0)), constant_values=-1)),
            )
            for b in second
            for a in first
        ]
        streams = diagonals(np.vstack(first)), diagonals(np.vstack(second))
    else:
        first, second = pieces(ifmap, rows), pieces(filters, columns)
        folds = []
        for block in second:
            for at, a in enumerate(first):
                fold = skewed(np.pad(a, ((rows, columns - 1), (0, 0)), constant_values=-1))
                load = padded(block[at * rows : (at + 1) * rows], rows, columns)[::-1]
                folds.append((fold, padded(load, len(fold), columns)))
        loads = np.vstack(second) if compat else np.vstack([b[:rows] for _, b in folds])
        streams = diagonals(np.vstack(first)), loads.ravel()
    one, two = (SetMemory(*each, compat) for each in zip(streams, words, rates, strict=True))
    cycle = stalls = 0
    for a, b in folds:
        for left, right in zip(a, b, strict=True):
            late = max(one.late(left, cycle), two.late(right, cycle), 0)
            stalls += late
            cycle += 1 + late
    return cycle, stalls


@settings(max_examples=300)
@given(
    st.sampled_from(DATAFLOWS),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(4, 8), st.integers(4, 8), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)),
    st.integers(1, 9),
    st.tuples(st.integers(2, 220), st.integers(2, 120)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.booleans(),
)
def test_any_convolution_as_element_by_element(
    dataflow, sides, picture, kernel, filters, words, rates, compat
):
    (height, wide, channels), (high, across, stride) = picture, kernel
    ofmap = (-(-(height - high + stride) // stride), -(-(wide - across + stride) // stride))
    window = Window((height, wide), channels, (high, across), (stride, stride), ofmap)
    product, ifmap = window_product(window, filters), unfolded(window)
    memory = OffChipMemory(*words, 10**6, *rates, 1)  # results never fill their buffer
    array = Array(*sides, dataflow)
    run = stalled_run(array, product, memory, ifmap=ifmap, compat=compat)
    weights = np.arange(product.k * product.n).reshape(product.k, product.n)
    cycles, stalls = by_element(array, ifmap, weights, memory, compat)
    assert run.stall_cycles == stalls
    if not compat:
        assert run.cycles == cycles


@settings(max_examples=60)
@given(
    st.sampled_from(DATAFLOWS),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(*[st.integers(2, 300)] * 3),
    st.tuples(*[st.integers(1, 20)] * 3),
)
def test_stalls_add_up_and_faster_reads_are_never_slower(dataflow, sides, sizes, words, rates):
    array, product = Array(*sides, dataflow), Product(*sizes)
    run = stalled_run(array, product, OffChipMemory(*words, *rates))
    by_port = run.ifmap_stall_cycles + run.filter_stall_cycles + run.ofmap_stall_cycles
    assert run.stall_cycles == by_port
    assert run.cycles == run_on(array, product).cycles + run.stall_cycles
    ifmap, filters, ofmap = rates
    wide = OffChipMemory(words[0], words[1], 10**6, *rates)
    base = stalled_run(array, product, wide)
    for more in ((ifmap + 1, filters, ofmap), (ifmap, filters + 3, ofmap), (2 * ifmap, filters, 1)):
        faster = stalled_run(array, product, OffChipMemory(words[0], words[1], 10**6, *more))
        assert faster.cycles <= base.cycles


@given(st.sampled_from(DATAFLOWS), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_operands_that_fit_never_stall(dataflow, m, k, n):
    run = stalled_run(
        Array(8, 8, dataflow), Product(m, k, n), OffChipMemory(4000, 4000, 10**6, 1, 1, 1)
    )
    assert (run.stall_cycles, run.ifmap_refills, run.filter_refills) == (0, 0, 0)


def test_a_slow_port_for_results_holds_the_array():
    """1,600 results at one a cycle, of which at most a buffer and a half is still on its way."""
    run = stalled_run(
        Array(8, 8, "os"), Product(40, 1, 40), OffChipMemory(100, 100, 64, 100, 100, 1)
    )
    assert run.ofmap_stall_cycles == run.stall_cycles > 0
    assert 1600 - 96 <= run.cycles <= 1600 + 64


def test_repetitions_take_as_long_each():
    one, three = (stalled_run(Array(8, 4), Product(50, 40, 30, count), SMALL) for count in (1, 3))
    assert (three.cycles, three.ifmap_refills) == (3 * one.cycles, 3 * one.ifmap_refills)
    assert one.stall_cycles > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: OffChipMemory(1, 8, 8, 1, 1, 1),
            "ifmap_words is 1; allowed: whole numbers from 2",
        ),
        (lambda: OffChipMemory(8, 8, 8, 1, 0, 1), "filter_words_per_cycle is 0"),
        (lambda: OffChipMemory(8, 8, 8, 1, 1, 2.5), "ofmap_words_per_cycle is 2.5"),
        (
            lambda: stalled_run(Array(4, 4, overlap="preload"), Product(4, 4, 4), SMALL),
            "not known for fold overlap 'preload'",
        ),
        (
            lambda: stalled_run(Array(4, 4), Product(np.array([4, 5]), 4, 4), SMALL),
            "one product on one array",
        ),
        (
            lambda: stalled_run(Array(4, 4), Product(4, 4, 4), SMALL, ifmap=np.zeros((3, 4))),
            r"shape \(3, 4\); allowed: \(4, 4\)",
        ),
        (
            lambda: stalled_run(Array(4, 4), Product(10**5, 10**5, 4), SMALL),
            "too large to track its elements",
        ),
    ],
)
def test_bad_input_is_refused_with_what_is_allowed(make, words):
    with pytest.raises(InputError, match=words):
        make()
