"""Operators as matrix products: the same work as the rules count, the same numbers as numpy's."""

import numpy as np
import pytest

from lydite.chip.systolic import (
    Array,
    Product,
    Window,
    product_of,
    products_of,
    run_on,
    stacked,
    unfolded,
)
from lydite.errors import GraphError
from lydite.graph import Builder
from lydite.graph.work import work_of
from lydite.models import build_model


def only(build, **inputs):
    """The product of the graph's last operator."""
    g = Builder("one")
    tensors = [g.input(name, shape) for name, shape in inputs.items()]
    graph = g.build(build(g, *tensors))
    return product_of(graph.ops[-1], graph)


def test_a_convolution_has_padding_and_batch_in_its_rows():
    found = only(lambda g, x: g.conv(x, 64, 7, stride=2, pad=3, bias=False), x=(5, 3, 224, 224))
    assert found == Product(5 * 112 * 112, 147, 64)


def test_groups_are_products_one_after_the_other():
    grouped = only(lambda g, x: g.conv(x, 32, 3, pad=1, group=4, bias=False), x=(1, 16, 9, 9))
    assert grouped == Product(81, 36, 8, 4)
    depthwise = only(lambda g, x: g.conv(x, 16, 3, pad=1, group=16, bias=False), x=(1, 16, 9, 9))
    assert depthwise == Product(81, 9, 1, 16)


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ((7, 5), (5, 3), Product(7, 5, 3)),
        ((2, 4, 7, 5), (5, 3), Product(56, 5, 3)),
        ((2, 4, 7, 5), (1, 1, 5, 3), Product(56, 5, 3)),
        ((2, 4, 7, 5), (2, 4, 5, 3), Product(7, 5, 3, 8)),
        ((2, 1, 7, 5), (4, 5, 3), Product(14, 5, 3, 4)),
        ((7, 5), (6, 5, 3), Product(7, 5, 3, 6)),
        ((5,), (5, 3), Product(1, 5, 3)),
        ((7, 5), (5,), Product(7, 5, 1)),
        ((4, 7, 5), (5,), Product(28, 5, 1)),
        ((5,), (6, 5, 3), Product(1, 5, 3, 6)),
    ],
)
def test_matrix_products_of_any_rank(left, right, found):
    assert only(lambda g, a, b: g.op("MatMul", a, b), a=left, b=right) == found


def test_a_gemm_may_be_transposed():
    for sides in ({"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1}, {}):
        a = (5, 7) if "transA" in sides else (7, 5)
        b = (3, 5) if "transB" in sides else (5, 3)
        found = only(lambda g, a, b, sides=sides: g.op("Gemm", a, b, **sides), a=a, b=b)
        assert found == Product(7, 5, 3)


def test_other_operators_are_none():
    assert only(lambda g, x: g.relu(x), x=(1, 8)) is None


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "bert-base"])
def test_a_model_s_products_are_the_work_of_its_matrix_operators(name):
    graph = build_model(name)
    found = products_of(graph)
    kinds = {"Conv", "Gemm", "MatMul"}
    assert list(found) == [op.name for op in graph.ops if op.op_type in kinds]
    for op in graph.ops:
        if op.name in found:
            work, macs = work_of(op, graph), found[op.name].macs
            outputs = np.prod(graph.output_types(op)[0].shape)
            assert work is not None
            assert 2 * macs <= work.flops <= 2 * macs + 3 * outputs  # bias, and a fused activation
    run = run_on(Array(128, 128), stacked(list(found.values())))
    assert len(run.cycles) == len(found)
    assert np.all(run.utilisation_percent <= 100)


def test_open_sizes_are_refused():
    with pytest.raises(GraphError, match="allowed: known sizes"):
        only(lambda g, a: g.op("MatMul", a, a), a=("batch", 5, 5))


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((5, 2), (2, 3), (2, 0), (1, 2)),
        ((1, 1), (2, 2), (0, 0), (1, 1)),
    ],
)
def test_an_unfolded_picture_times_the_filters_is_the_convolution(kernel, stride, pad, dilation):
    picture = np.random.default_rng(1).integers(-9, 9, (9, 8, 3))
    ofmap = tuple(
        (picture.shape[i] + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    window = Window((9, 8), 3, kernel, stride, ofmap, pad, dilation)
    filters = np.random.default_rng(2).integers(-9, 9, (*kernel, 3, 4))
    at = unfolded(window)
    values = np.where(at < 0, 0, picture.ravel()[at])
    found = (values @ filters.reshape(-1, 4)).reshape(*ofmap, 4)
    wide = np.pad(picture, ((pad[0], 9), (pad[1], 9), (0, 0)))
    for y, x in np.ndindex(*ofmap):
        taps = wide[y * stride[0] :: dilation[0], x * stride[1] :: dilation[1]]
        taps = taps[: kernel[0], : kernel[1]]
        assert np.array_equal(found[y, x], np.einsum("yxc,yxcn->n", taps, filters))
