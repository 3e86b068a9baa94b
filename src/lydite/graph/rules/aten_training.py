"""aten's backward operators, and what else a training step of PyTorch runs."""

from __future__ import annotations

import math

from lydite.graph.rules import gradient
from lydite.graph.rules.call import DIVIDE, VIEW, Call, Cost, NotKnownError, Rule, at, per_input


def _convolution(call: Call) -> Cost:
    """Gradient, input and weight; the mask says which of data, weight and bias are asked for."""
    data, weight, bias = call.integers("output_mask")
    taps = math.prod(call.shape(2)[1:])
    products = call.count(1) if call.attrs.get("transposed") else call.count(0)
    read = call.bytes_of(0) + data * call.bytes_of(2) + weight * call.bytes_of(1)
    return Cost((data + weight) * 2 * taps * products + bias * call.count(0), read)


def _attention(call: Call) -> Cost:
    """Gradient, query, key, value [..., heads, length, size]: five products (see `gradient`)."""
    query, key, value = call.shape(1), call.shape(2), call.shape(3)
    pairs = math.prod(query[:-1]) * at(key, -2)
    return Cost(gradient.attention_flops(pairs, query[-1], value[-1]))


def _put(call: Call) -> Cost:
    """dy into zeros."""
    return Cost(0, call.bytes_of(0))


def _added_up(call: Call) -> Cost:
    return Cost(call.count(0), call.bytes_of(0, 1))


def _max_pool(call: Call) -> Cost:
    return Cost(call.count(0), call.bytes_of(0, 2))


def _average_pool(call: Call) -> Cost:
    window = call.integers("kernel_size")
    volume = math.prod(window) if len(window) > 1 else window[0] ** 2
    return Cost((volume + DIVIDE) * call.count(0))


def _resized(taps: int) -> Rule:
    return lambda call: Cost((2 * taps - 1) * call.count(0))


def _likelihood(call: Call) -> Cost:
    """One score a row is read."""
    rows = call.count(1)
    return Cost(2 * rows, call.bytes_of(1) + 4 * rows)


def _index_add(call: Call) -> Cost:
    if not call.has(2):
        raise NotKnownError
    return Cost(call.count(2))


def _each(name: str) -> Rule:
    return gradient.RULES[f"lydite:{name}Grad"]


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

_ROWS: dict[str, Rule] = {
    **{name: _each(same) for name, same in _SAME.items()},
    "convolution_backward": _convolution,
    "native_batch_norm_backward": per_input(gradient.NORM, 1),
    **{
        f"native_{kind}_norm_backward": per_input(gradient.NORM + 2, 1)
        for kind in ("layer", "group")
    },
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu_backward",
            "_scaled_dot_product_flash_attention_backward",
            "_scaled_dot_product_efficient_attention_backward",
        ),
        _attention,
    ),
    "max_pool2d_with_indices_backward": _max_pool,
    "avg_pool2d_backward": _average_pool,
    "embedding_dense_backward": _added_up,
    "select_backward": _put,
    "slice_backward": _put,
    "index_add": _index_add,
    "upsample_nearest2d_backward": _resized(1),
    "upsample_bilinear2d_backward": _resized(4),
    **dict.fromkeys(("nll_loss_nd", "nll_loss", "nll_loss_forward", "nll_loss2d"), _likelihood),
    **dict.fromkeys(
        ("nll_loss_backward", "nll_loss2d_backward"),
        lambda call: Cost(call.count(2), call.bytes_of(0, 2)),
    ),
    "new_empty": lambda _: VIEW,
}

RULES: dict[str, Rule] = {f"aten:{name}": rule for name, rule in _ROWS.items()}
