"""Products in tiles and attention on GPUs, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lydite.estimate import AchievedEfficiency, Roofline
from lydite.estimate.reach import attention_reach, causal_share, tile_seconds
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.hardware import find_device
from lydite.opkey import Operand, OpKey, TensorType

A100, H100, V100 = (find_device(name) for name in ("a100", "h100", "v100"))


def matmul(m, k, n, dtype="float16"):
    left, right, out = (TensorType(dtype, shape) for shape in ((m, k), (k, n), (m, n)))
    return OpKey("MatMul", (Operand(left), Operand(right, const=True)), (out,))


def seconds(key, device=A100, **achieved):
    (answer,) = Roofline(dispatch_s=0, achieved=AchievedEfficiency(**achieved)).estimate(
        [key], device
    )
    assert answer is not None
    return answer.seconds


def test_one_wave_of_large_tiles():
    """108 tiles of 256 x 128 on 108 multiprocessors: K and 100 rows of filling each."""
    product = Products((MatrixProduct(256 * 108, 4096, 128),), inside=False)
    wave = 2 * 256 * 128 * (4096 + 100) / (312e12 / 108)
    assert tile_seconds(product, A100, "float16", 312e12) == pytest.approx(wave)


def test_a_tile_more_is_a_wave_more():
    full, over = matmul(256 * 12, 4096, 128 * 9), matmul(256 * 12 + 1, 4096, 128 * 9)
    assert 1.05 < seconds(over) / seconds(full) <= 2


@pytest.mark.parametrize("k", [256, 1024, 8192])
def test_a_deeper_product_reaches_more(k):
    def share(k):
        return 2 * 4096 * 4096 * k / 312e12 / seconds(matmul(4096, k, 4096))

    assert share(k) < share(2 * k) < 0.78


def test_no_product_beats_peak_or_bandwidth():
    for m in (1, 17, 300, 5000):
        key = matmul(m, 2048, 3000)
        moved = 2 * (m * 2048 + 2048 * 3000 + m * 3000)
        least = max(2 * m * 2048 * 3000 / 312e12, moved / A100.memory_bandwidth)
        assert seconds(key) > least


def test_tf32_is_for_convolutions_unless_asked_for():
    shapes = ((8, 64, 56, 56), (64, 64, 3, 3), (8, 64, 56, 56))
    data, weight, out = (TensorType("float32", shape) for shape in shapes)
    attrs = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    conv = OpKey("Conv", (Operand(data), Operand(weight, const=True)), (out,), attrs=attrs)
    assert seconds(conv) < 0.5 * seconds(conv, arithmetic="own")
    assert seconds(conv, V100) == seconds(conv, V100, arithmetic="own")  # has no TF32
    product = matmul(4096, 4096, 4096, "float32")
    assert seconds(product) == seconds(product, arithmetic="own")
    assert seconds(product, arithmetic="tf32") < 0.25 * seconds(product)


def test_fp8_products_are_faster_where_there_are_any():
    product = matmul(8192, 8192, 8192, "bfloat16")
    assert 0.5 < seconds(product, H100, arithmetic="fp8") / seconds(product, H100) < 0.9
    assert seconds(product, A100, arithmetic="fp8") == seconds(product, A100)


def test_attention_grows_into_its_share():
    """FlashAttention-2 on an H100, forward and backward: 335 TFLOP/s of 989 (its paper)."""
    reach = attention_reach(H100, training=True)
    assert reach.share / (1 + reach.half / 16384) == pytest.approx(335 / 989, rel=0.02)
    assert (
        attention_reach(A100, training=False).share
        > attention_reach(A100, training=False).half / 2e3
    )


def test_a_causal_mask_halves_the_pairs():
    key = OpKey("Attention", attrs={"is_causal": 1})
    assert causal_share(key, 1024, 1024) == 0.5
    assert causal_share(key, 1, 1024) == 1.0
    assert causal_share(replace(key, attrs={}), 1024, 1024) == 1.0
