"""aten's backward operators, and other operators that only training steps of PyTorch run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lydite.graph.operators import split, training
from lydite.graph.operators.call import (
    DIVIDE,
    VIEW,
    Call,
    Cost,
    NotKnownError,
    WorkRule,
    at,
    per_input,
    per_output,
)
from lydite.graph.operators.missing import ATEN, BEHIND_SPLIT, SECOND_ORDER
from lydite.graph.operators.operator import ALIAS, RECORDED, VECTOR, ZERO, Family, Operator
from lydite.graph.operators.products import MatrixProduct, Products


def _convolution(call: Call) -> Cost:
    """Inputs dy, x, weight; the mask selects the gradients computed: of data, weights and bias."""
    data, weight, bias = call.integers("output_mask")
    taps = math.prod(call.shape(2)[1:])
    products = call.count(1) if call.attrs.get("transposed") else call.count(0)
    read = call.bytes_of(0) + data * call.bytes_of(2) + weight * call.bytes_of(1)
    return Cost((data + weight) * 2 * taps * products + bias * call.count(0), read)


def _attention(call: Call) -> Cost:
    """Inputs dy, query, key, value [..., heads, length, size]: five products (see `gradient`)."""
    query, key, value = call.shape(1), call.shape(2), call.shape(3)
    pairs = math.prod(query[:-1]) * at(key, -2)
    return Cost(training.attention_flops(pairs, query[-1], value[-1]))


def _put(call: Call) -> Cost:
    """Scatters dy into a tensor of zeros."""
    return Cost(0, call.bytes_of(0))


def _added_up(call: Call) -> Cost:
    return Cost(call.count(0), call.bytes_of(0, 1))


def _max_pool(call: Call) -> Cost:
    return Cost(call.count(0), call.bytes_of(0, 2))


def _average_pool(call: Call) -> Cost:
    window = call.integers("kernel_size")
    volume = math.prod(window) if len(window) > 1 else window[0] ** 2
    return Cost((volume + DIVIDE) * call.count(0))


def _resized(taps: int) -> WorkRule:
    return lambda call: Cost((2 * taps - 1) * call.count(0))


def _likelihood(call: Call) -> Cost:
    """One score is read per row."""
    rows = call.count(1)
    return Cost(2 * rows, call.bytes_of(1) + 4 * rows)


def _index_add(call: Call) -> Cost:
    if not call.has(2):
        raise NotKnownError
    return Cost(call.count(2))


def _each_special(name: str) -> bool:
    return training.FLOPS[name] >= DIVIDE and name not in training.HARD


def _each(name: str) -> WorkRule:
    return per_output(training.FLOPS[name])


_SAME = {
    "threshold_backward": "Relu",
    "sigmoid_backward": "Sigmoid",
    "tanh_backward": "Tanh",
    "gelu_backward": "Gelu",
    "leaky_relu_backward": "LeakyRelu",
    "elu_backward": "Elu",
    "hardswish_backward": "HardSwish",
    "hardsigmoid_backward": "HardSigmoid",
    "silu_backward": "Swish",
    "softplus_backward": "Softplus",
    "mish_backward": "Mish",
    "hardtanh_backward": "Clip",
    "_softmax_backward_data": "Softmax",
    "_log_softmax_backward_data": "LogSoftmax",
}

_family = Family(
    "aten training",
    {
        "types": RECORDED,
        "gradient": SECOND_ORDER,
        "split": BEHIND_SPLIT,
        "array": VECTOR,
        "torch": ATEN,
    },
)


def _rows(names: Iterable[str], work: WorkRule, **facets: Any) -> list[Operator]:
    return [_family.row(f"aten:{name}", work, **facets) for name in names]


def _conv_products(call: Call) -> Products:
    """Products of the gradients of data and weights, as far as the mask requests them."""
    data, weight, _ = call.integers("output_mask")
    dy, filters = call.shape(0), call.shape(2)
    groups, window = call.integer("groups", 1), math.prod(filters[1:])
    pixels = dy[0] * math.prod(dy[2:])
    products = [
        *([MatrixProduct(pixels, filters[0] // groups, window, groups)] if data else []),
        *([MatrixProduct(filters[0] // groups, pixels, window, groups)] if weight else []),
    ]
    if not products or call.attrs.get("transposed"):
        raise NotKnownError
    return Products(tuple(products))


def _attention_products(call: Call) -> Products:
    """Inputs dy, query, key: five products (see `lydite.graph.operators.products.attention`)."""
    query, key = call.shape(1), call.shape(2)
    pairs, queries, size = math.prod(query[:-2]), query[-2], query[-1]
    keys = at(key, -2)
    scores = MatrixProduct(queries, size, keys, pairs)
    other = MatrixProduct(queries, keys, size, pairs)
    return Products((scores, other, other, other, other), special_elements=pairs * queries * keys)


OPERATORS: tuple[Operator, ...] = (
    *(
        row
        for name, same in _SAME.items()
        for row in _rows([name], _each(same), special=_each_special(same))
    ),
    *_rows(["convolution_backward"], _convolution, array=_conv_products),
    *_rows(["native_batch_norm_backward"], per_input(training.NORM, 1), special=True),
    *_rows(
        ["native_layer_norm_backward", "native_group_norm_backward"],
        per_input(training.NORM + 2, 1),
        special=True,
    ),
    *_rows(
        (
            "_scaled_dot_product_flash_attention_for_cpu_backward",
            "_scaled_dot_product_flash_attention_backward",
            "_scaled_dot_product_efficient_attention_backward",
        ),
        _attention,
        array=_attention_products,
    ),
    *_rows(["max_pool2d_with_indices_backward"], _max_pool),
    *_rows(["avg_pool2d_backward"], _average_pool),
    *_rows(["embedding_dense_backward"], _added_up),
    *_rows(["select_backward", "slice_backward"], _put),
    *_rows(["index_add"], _index_add),
    *_rows(["upsample_nearest2d_backward"], _resized(1)),
    *_rows(["upsample_bilinear2d_backward"], _resized(4)),
    *_rows(["nll_loss_nd", "nll_loss", "nll_loss_forward", "nll_loss2d"], _likelihood),
    *_rows(
        ["nll_loss_backward", "nll_loss2d_backward"],
        lambda call: Cost(call.count(2), call.bytes_of(0, 2)),
    ),
    *_rows(["new_empty"], lambda _: VIEW, array=ALIAS, gradient=ZERO, split=split.source),
)
