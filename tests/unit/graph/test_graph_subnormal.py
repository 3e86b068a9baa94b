"""Weights below the smallest normal number: found, kept in keys and files, drawn again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lydite.errors import LyditeError
from lydite.graph import Builder, Graph, Initializer, OpKey, keys_of, read_onnx, write_onnx
from lydite.graph.graph import subnormal_share
from lydite.graph.keys import graph_of_key

TINY = np.float32(1e-40)
SMALLEST_NORMAL = np.finfo(np.float32).smallest_normal


def by_lines(values: np.ndarray) -> float:
    """The share of lines of 16 numbers with a subnormal one, counted one by one."""
    flat = [float(x) for x in values.ravel()]
    lines = [flat[at : at + 16] for at in range(0, len(flat) - 15, 16)]
    hit = [any(0 < abs(x) < SMALLEST_NORMAL for x in line) for line in lines]
    return sum(hit) / len(lines)


@pytest.mark.parametrize("share", [0.0, 0.004, 0.03, 0.5])
def test_the_share_is_a_count_of_lines(share):
    rng = np.random.default_rng(1)
    values = rng.standard_normal((48, 100)).astype(np.float32)
    values[rng.random(values.shape) < share] = -TINY
    values[0, :3] = (0.0, -0.0, SMALLEST_NORMAL)
    assert subnormal_share(values) == pytest.approx(by_lines(values), rel=0.05)


def test_a_sample_of_a_large_weight_finds_dead_rows():
    values = np.ones((4096, 2048), np.float32)
    values[::4] = TINY
    assert subnormal_share(values) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    "values",
    [np.full(64, TINY), np.full((8, 8), 1e-6, np.float16), np.full((2, 2), TINY)],
    ids=["vector", "float16", "less than a line"],
)
def test_what_is_not_looked_at(values):
    assert subnormal_share(values) == 0.0


def product(share: float) -> Graph:
    g = Builder("product")
    x = g.input("x", (4, 64))
    graph = g.build(g.op("MatMul", x, g.weight((64, 64))))
    (name,) = graph.initializers
    marked = Initializer(graph.type_of(name), subnormal=share)
    return replace(graph, initializers={name: marked})


def test_the_key_holds_the_share_and_draws_it_again():
    (key,) = keys_of(product(0.25)).values()
    (plain,) = keys_of(product(0.0)).values()
    assert key.inputs[1].subnormal == key.subnormal == 0.25
    assert plain.subnormal == 0.0
    assert key != plain
    assert OpKey.parse(key.text) == key
    assert OpKey.parse(key.text).inputs == key.inputs
    (weight,) = graph_of_key(key).initializers.values()
    assert by_lines(weight.array(3)) == pytest.approx(0.25, abs=0.06)


def test_a_file_without_weights_keeps_the_share(tmp_path):
    path = write_onnx(product(0.25), tmp_path / "net.onnx", weights=False)
    assert keys_of(read_onnx(path)) == keys_of(product(0.25))


@pytest.mark.parametrize("text", ["much", "nan", "1.5", "-1"])
def test_a_file_whose_share_is_none(tmp_path, text):
    path = write_onnx(product(0.25), tmp_path / "net.onnx", weights=False)
    data = path.read_bytes()
    assert data.count(b"\x12\x040.25") == 1  # field 2, four characters
    path.write_bytes(data.replace(b"\x12\x040.25", b"\x12\x04" + text.ljust(4).encode()))
    with pytest.raises(LyditeError, match="is no share"):
        read_onnx(path)
