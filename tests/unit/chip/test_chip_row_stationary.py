"""Row-stationary arrays: Eyeriss's published AlexNet, a loop nest walked by hand, properties."""

from __future__ import annotations

from dataclasses import replace
from itertools import product as every

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.chip import ChipEstimator, run_chip
from lydite.chip.figures import energy_of
from lydite.chip.operators import product_of
from lydite.chip.product import Product
from lydite.chip.row_stationary import (
    ROW_STATIONARY,
    LayerShape,
    PassMapping,
    array_of,
    flat_shape,
    mappings,
    run_on,
    shape_of,
)
from lydite.chip.sensitivity import sensitivity
from lydite.chip.sweep import designed, parse_vary, sweep
from lydite.errors import InputError
from lydite.graph import Builder, key_of
from lydite.hardware import find_device
from lydite.hardware.chip import read_chip
from lydite.models import build_model
from lydite.report.chip import write_chip_page

EYERISS = read_chip("eyeriss")
ARRAY = array_of(EYERISS)

CONVOLUTIONS = {  # channels, filters, kernel, stride, pad, groups, picture
    "CONV1": (3, 96, 11, 4, 0, 1, 227),
    "CONV2": (96, 256, 5, 1, 2, 2, 27),
    "CONV3": (256, 384, 3, 1, 1, 1, 13),
    "CONV4": (384, 384, 3, 1, 1, 2, 13),
    "CONV5": (384, 256, 3, 1, 1, 2, 13),
}
"""AlexNet of 2012, which Eyeriss was measured with."""

PUBLISHED = {"CONV1": 16.5, "CONV2": 39.2, "CONV3": 21.8, "CONV4": 16.0, "CONV5": 10.0}
"""Processing latency in ms of a batch of 4 at 200 MHz: Chen et al., JSSC 2017."""

ACTIVE = {"CONV1": 154, "CONV2": 135, "CONV3": 156, "CONV4": 156, "CONV5": 156}
"""Active processing elements of 168, from the same table."""


def alexnet_shape(name: str) -> LayerShape:
    channels, filters, kernel, stride, pad, groups, size = CONVOLUTIONS[name]
    g = Builder("one")
    x = g.input("x", (4, channels, size, size))
    graph = g.build(g.conv(x, filters, kernel, stride=stride, pad=pad, group=groups, bias=False))
    matrix = product_of(graph.ops[0], graph)
    assert matrix is not None
    return shape_of(graph.ops[0], graph, matrix)


def usual(shape: LayerShape) -> PassMapping:
    return ROW_STATIONARY.tiles(shape, EYERISS, "test", 1)[0]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_active_elements_are_those_of_the_paper(name):
    shape = alexnet_shape(name)
    assert run_on(ARRAY, shape, usual(shape)).active_pes == ACTIVE[name]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_latency_is_that_of_the_paper_within_twelve_per_cent(name):
    shape = alexnet_shape(name)
    cycles = float(run_on(ARRAY, shape, usual(shape)).cycles)
    assert cycles / EYERISS.clock_hz * 1e3 == pytest.approx(PUBLISHED[name], rel=0.12)


def test_latency_of_all_convolutions_is_that_of_the_paper_within_seven_per_cent():
    cycles = sum(float(run_on(ARRAY, s, usual(s)).cycles) for s in map(alexnet_shape, PUBLISHED))
    assert cycles / EYERISS.clock_hz * 1e3 == pytest.approx(sum(PUBLISHED.values()), rel=0.07)


@pytest.mark.parametrize(
    ("name", "mapping", "megabytes"),
    [
        ("CONV1", PassMapping(e=7, n=1, p=16, q=1, r=1, t=2, m=96), 18.5),
        ("CONV2", PassMapping(e=27, n=1, p=16, q=2, r=1, t=1, m=64), 77.6),
    ],
)
def test_accesses_of_the_global_buffer_are_those_of_the_paper(name, mapping, megabytes):
    """In the paper's own mapping of these two layers, at 16 bits a word."""
    words = float(run_on(ARRAY, alexnet_shape(name), mapping).buffer_words)
    assert 2 * words / 1e6 == pytest.approx(megabytes, rel=0.02)


def walked(shape: LayerShape, by: PassMapping) -> dict[str, float]:
    """The loop nest of a layer whose sizes its mapping divides, pass by pass."""
    found = dict.fromkeys(("cycles", "buffer", "ifmap", "filter"), 0.0)
    reach = (by.e - 1) * shape.stride + shape.r
    for _, _, _ in every(range(shape.count), range(shape.e // by.e), range(shape.n // by.n)):
        for start in range(0, shape.m, by.p * by.t):
            if start % by.m == 0:  # its sums take the buffer anew, and with them the ifmap
                found["ifmap"] += by.n * reach * shape.width * shape.c
            for channel in range(0, shape.c, by.q * by.r):
                filters = by.p * by.t * by.q * by.r * shape.r * shape.s
                ifmap = by.n * reach * shape.width * by.q * by.r
                sums = by.n * by.e * shape.f * by.p * by.t
                found["filter"] += filters
                found["buffer"] += filters + ifmap + sums * (1 if channel == 0 else 2)
                window = reach * shape.s * by.q * by.r
                compute = by.n * shape.f * by.p * by.q * shape.s
                stream = max(ifmap / ARRAY.ifmap_bus, sums / ARRAY.psum_bus, compute)
                found["cycles"] += filters / ARRAY.filter_bus + window + shape.r + stream
    return found


@pytest.mark.parametrize("count", [1, 3])
def test_the_closed_form_is_the_loop_nest(count):
    shape = LayerShape(n=4, e=12, f=10, r=3, s=3, c=16, m=64, height=14, width=12, count=count)
    for mapping in (
        PassMapping(e=12, n=2, p=16, q=2, r=2, t=2, m=64),
        PassMapping(e=6, n=4, p=8, q=4, r=1, t=4, m=32),
        PassMapping(e=4, n=1, p=4, q=1, r=1, t=1, m=4),  # streams are slower than computation
    ):
        run, by_hand = run_on(ARRAY, shape, mapping), walked(shape, mapping)
        assert run.cycles == pytest.approx(by_hand["cycles"])
        assert run.buffer_words == pytest.approx(by_hand["buffer"])
        assert run.ifmap_words == pytest.approx(by_hand["ifmap"])
        assert run.filter_words == pytest.approx(by_hand["filter"])


shapes = st.builds(
    lambda n, e, f, k, c, m, stride, count: LayerShape(
        n=n,
        e=e,
        f=f,
        r=k,
        s=k,
        c=c,
        m=m,
        stride=stride,
        height=(e - 1) * stride + k,
        width=(f - 1) * stride + k,
        count=count,
    ),
    st.integers(1, 8),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([1, 2, 3, 5, 7, 11, 13, 15]),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 4),
    st.integers(1, 3),
)
products = st.builds(
    lambda m, k, n: flat_shape(Product(m, k, n)), *(st.integers(1, 5000) for _ in range(3))
)


@settings(max_examples=60)
@given(st.one_of(shapes, products))
def test_every_mapping_fits_and_no_array_does_more_than_it_has(shape):
    found = mappings(ARRAY, shape, EYERISS)
    assert len(found.e)
    rows, taps = -(-shape.r // -(-shape.r // 12)), -(-shape.s // -(-shape.s // 12))
    run = run_on(ARRAY, shape, found)
    assert (np.asarray(run.active_pes) <= 168).all()
    assert (found.p <= 24).all() and (found.q * taps <= 12).all()
    assert (found.p * found.q * taps <= 224).all()
    high = np.maximum(found.e > 14, 1) * -(-found.e // 14)
    assert (rows * found.r * high <= 12).all()  # sums add up over sets that lie above each other
    sums = found.m * found.e * found.n * shape.f
    assert (2 * sums <= EYERISS.scratchpad("global").bytes).all()
    assert (np.asarray(run.compute_cycles) * run.active_pes >= shape.macs).all()
    assert np.asarray(run.filter_words).min() >= shape.count * shape.m * shape.c * shape.r * shape.s


def test_a_product_is_a_window_of_one():
    """1 x 1 convolutions and matrix products of the same sizes are the same to the array."""
    g = Builder("one")
    conv = g.build(g.conv(g.input("x", (2, 64, 14, 14)), 32, 1, bias=False))
    g = Builder("two")
    matrix = g.build(g.linear(g.input("x", (2 * 14 * 14, 64)), 32, bias=False))
    found = [run_chip(graph, EYERISS, soc=False).cycles for graph in (conv, matrix)]
    assert found[0] == found[1] > 0


def test_a_layer_that_does_not_fit_says_so():
    small = designed(EYERISS, {"spad": 256})
    with pytest.raises(InputError, match=r"eyeriss: no row of 55 sums .* fits; allowed: a"):
        run_chip(build_model("alexnet"), small)


@pytest.fixture(scope="module")
def alexnet():
    return run_chip(build_model("alexnet"), EYERISS)


def test_the_whole_network_adds_up(alexnet, tmp_path):
    spans = alexnet.soc.layer_spans_s()
    for parts, (start, end) in zip(alexnet.stalls(), spans, strict=True):
        assert sum(parts.values()) == pytest.approx((end - start) * EYERISS.clock_hz, abs=1)
    assert {"compute", "weight load", "array network"} <= alexnet.by_part().keys()
    used = energy_of(alexnet)
    assert used.by_component_j["PE scratchpads"] > 0
    assert used.area_by_component_mm2["PE scratchpads"] > 0
    page = write_chip_page(alexnet, tmp_path / "chip.html").read_text()
    assert "row-stationary, 12 x 14" in page
    assert "12 ifmap, 224 filter and 24 partial-sum words" in page


def test_tilings_sweeps_and_sensitivity(alexnet):
    graph = build_model("alexnet")
    best = run_chip(graph, EYERISS, tiling="best")
    assert best.seconds <= alexnet.seconds
    frugal = run_chip(graph, EYERISS, tiling="best-energy")
    assert energy_of(frugal).joules <= energy_of(alexnet).joules
    changes = sensitivity(graph, EYERISS)
    more = changes["processing elements (twice as many)"]
    assert more is not None and more["time"] < 0 < more["area"]
    rows = sweep(graph, EYERISS, parse_vary(["rows=6,12", "filter-words=56,224"], EYERISS))
    assert len({row["seconds"] for row in rows}) == 4
    assert rows[0]["area_mm2"] < rows[-1]["area_mm2"]


def test_two_accelerators_share_the_blocks():
    conv = build_model("resnet18")
    two = replace(EYERISS, accelerators=2)
    assert run_chip(conv, two, soc=False).cycles < 0.7 * run_chip(conv, EYERISS, soc=False).cycles


def test_it_is_a_device():
    device = find_device("eyeriss")
    assert device.peak_flops["float16"] == 2 * 168 * 200e6
    graph = build_model("alexnet")
    found = ChipEstimator(EYERISS).estimate([key_of(op, graph) for op in graph.ops[:3]], device)
    assert all(each is not None and each.source == "simulated" for each in found)
