"""Folded shape computations against ONNX's reference evaluator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.graph.op import Op
from lydite.graph.shapes.folds import in_numpy
from lydite.graph.shapes.propagate import _evaluated

TYPES = ("int32", "int64", "float32", "float64")
TO = {"float32": 1, "int32": 6, "int64": 7, "float64": 11}


def agree(op_type, *values, **attrs):
    names = tuple(f"x{number}" for number in range(len(values)))
    op = Op("n", op_type, names, ("y",), attrs)
    inputs = dict(zip(names, values, strict=True))
    (made,) = in_numpy(op, inputs)
    (wanted,) = _evaluated(op, inputs, 18)
    assert made.dtype == wanted.dtype
    assert made.shape == wanted.shape
    np.testing.assert_array_equal(made, wanted)


@st.composite
def pairs(draw):
    dtype = draw(st.sampled_from(TYPES))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    size = draw(st.sampled_from([(), (1,), (5,), (2, 3)]))
    other = draw(st.sampled_from([(), (1,), size]))
    return [rng.integers(-9, 10, shape).astype(dtype) for shape in (size, other)]


@given(pairs(), st.sampled_from(["Add", "Sub", "Mul"]))
def test_arithmetic(values, op_type):
    agree(op_type, *values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers(dtype):
    agree("Pow", np.array(10000.0, dtype), np.linspace(-1, 0, 64).astype(dtype))


@given(st.integers(-20, 20), st.integers(-20, 20), st.sampled_from([-3, -1, 1, 2, 7]))
def test_ranges(start, limit, step):
    agree("Range", *(np.array(value, np.int64) for value in (start, limit, step)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("to", TYPES)
def test_casts(dtype, to):
    value = np.array([0, 3, 2**24 + 1]).astype(dtype)
    if dtype.startswith("float") and to.startswith("int"):
        assert in_numpy(Op("n", "Cast", ("x",), ("y",), {"to": TO[to]}), {"x": value}) == []
    else:
        agree("Cast", value, to=TO[to])


def test_lists_of_sizes():
    sizes = np.array([4, 5, 6], np.int64)
    agree("Concat", sizes, sizes[:1], axis=0)
    for index in (1, -1, [0, 2], [[1], [2]]):
        agree("Gather", sizes, np.array(index, np.int64), axis=0)


@pytest.mark.parametrize(
    ("op_type", "values"),
    [
        ("Gather", [np.arange(3), np.array(3)]),
        ("Gather", [np.zeros((2, 2)), np.array(0)]),
        ("Add", [np.zeros(2, np.float16), np.zeros(2, np.float16)]),
        ("Add", [np.zeros(2, np.int32), np.zeros(2, np.int64)]),
        ("Range", [np.array(0), np.array(4), np.array(0)]),
        ("Mod", [np.array(3), np.array(2)]),
    ],
)
def test_the_unusual_is_left_to_the_evaluator(op_type, values):
    names = ("a", "b", "c")[: len(values)]
    assert in_numpy(Op("n", op_type, names, ("y",)), dict(zip(names, values, strict=True))) == []
