"""FLOPs of aten operators against PyTorch's own FlopCounterMode, operator by operator."""

from __future__ import annotations

import pytest

from lydite.graph import Operand, OpKey, TensorType, work_of_key

torch = pytest.importorskip("torch")
from torch.nn import functional as fn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


def randn(*dims):
    return torch.empty(dims, device="meta")


CASES = {
    "conv2d": (
        lambda x, w: fn.conv2d(x, w, stride=2, padding=1),
        [(2, 16, 15, 15), (32, 16, 3, 3)],
        {},
    ),
    "conv1d": (lambda x, w: fn.conv1d(x, w, groups=4), [(2, 16, 15), (32, 4, 3)], {}),
    "conv3d": (fn.conv3d, [(1, 3, 6, 7, 8), (4, 3, 3, 3, 3)], {}),
    "conv_transpose2d": (
        lambda x, w: fn.conv_transpose2d(x, w, stride=2),
        [(2, 8, 7, 7), (8, 4, 2, 2)],
        {},
    ),
    "mm": (torch.mm, [(5, 7), (7, 9)], {}),
    "bmm": (torch.bmm, [(3, 5, 7), (3, 7, 9)], {}),
    "matmul": (torch.matmul, [(2, 3, 5, 7), (7, 9)], {}),
    "linear": (fn.linear, [(6, 7), (9, 7)], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_an_aten_operator(name):
    function, shapes, attrs = CASES[name]
    tensors = [randn(*shape) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        out = function(*tensors)
    inputs = tuple(Operand(TensorType("float32", shape)) for shape in shapes)
    output = TensorType("float32", tuple(out.shape))
    work = work_of_key(OpKey(name, inputs, (output,), attrs, "aten"))
    assert work.flops == counter.get_total_flops()


def test_attention_without_its_softmax():
    shapes = [(2, 4, 6, 8), (2, 4, 9, 8), (2, 4, 9, 8)]
    tensors = [randn(*shape) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        out = fn.scaled_dot_product_attention(*tensors)
    inputs = tuple(Operand(TensorType("float32", shape)) for shape in shapes)
    output = TensorType("float32", tuple(out.shape))
    work = work_of_key(OpKey("scaled_dot_product_attention", inputs, (output,), {}, "aten"))
    per_score = 16
    assert work.flops - per_score * 2 * 4 * 6 * 9 == counter.get_total_flops()
