"""Mixtures of experts in 16 bits: two grouped products, routing, and the activations between.

Tokens are taken to spread evenly over experts; a router that prefers some makes it slower. The rows
are those of one fused kernel for each product, in Triton, on one device (AIConfigurator's of vLLM
without expert parallelism).
"""

from __future__ import annotations

import numpy as np

from lydite.estimate.learned.physics import Problem, cache_bandwidth
from lydite.estimate.learned.products import TENSOR_NAMES, tensor_products
from lydite.estimate.learned.sheet import Sheet

_KEPT = (
    *("tiled_launch", "memory_launch", "tiled_memory", "bytes_l2", "held_l2", "waves"),
    *("wave_fill", "tile_fill", "tiled_share", "narrow", "depth"),
)
_PLACES = [TENSOR_NAMES.index(name) for name in _KEPT]
EXPERT_NAMES = (*_KEPT, "base_launch", "second_first", "each", "experts", "used", "between_base")
_KERNELS, _KERNEL_CYCLES = 3.0, 5000.0


def experts(
    tokens: np.ndarray,
    hidden: np.ndarray,
    inner: np.ndarray,
    chosen: np.ndarray,
    number: np.ndarray,
    gated: np.ndarray,
    sheet: Sheet,
) -> Problem:
    """A layer of experts: up (and gate) and down.

    Args:
        tokens: Number of tokens, float64 [operators], as the others.
        hidden: Width of a token.
        inner: Width inside an expert.
        chosen: Experts of a token.
        number: Number of experts.
        gated: Whether a gate is computed beside the upward product.
        sheet: Device.
    """
    routed = tokens * chosen
    used = np.clip(number * (1 - (1 - 1 / np.maximum(number, 2)) ** routed), 1, number)
    each = np.maximum(1.0, routed / used)
    up = tensor_products(used, each, (1 + gated) * inner, hidden, sheet)
    down = tensor_products(used, each, hidden, inner, sheet)
    between_s = 2 * routed * ((2 + gated) * inner + 2 * hidden) / cache_bandwidth(sheet)
    launch_s = _KERNEL_CYCLES / sheet.clock_hz
    base_s = up.base_s + down.base_s + between_s + _KERNELS * launch_s
    columns = [
        np.log2(base_s / launch_s),
        np.log2(down.base_s / up.base_s),
        np.log2(each),
        np.log2(number),
        np.log2(used / number),
        np.log2(between_s / base_s),
    ]
    features = np.concatenate([up.features[:, _PLACES], np.stack(columns, axis=1)], axis=1)
    flops = 2 * routed * hidden * inner * (2 + gated)
    return Problem(base_s, flops / sheet.peak, features)
