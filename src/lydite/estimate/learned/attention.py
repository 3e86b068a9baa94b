"""Attention in one kernel, in 16 bits with causal masks: prefill, and decode with a cache.

The kernels are FlashAttention's as serving engines call them, after a kernel of its own wrote the
tokens' keys and values to the cache (Dao, arXiv:2307.08691; Shah et al., arXiv:2407.08608). A tile
of queries walks over blocks of keys:

    block = rows keys (1.13 4 D / sustained FLOPs per cycle + c) cycles,

with c = 0.15 for exponentials and sums between the products, and 0.03 where asynchronous tensor
cores run beside them. In decode the queries that share a head of keys are one tile, the keys are
split over idle multiprocessors by FlashAttention's rule, and the parts are joined by a kernel more.
FlashAttention-2 shares keys among queries only without a window, and copies queries and results to
do so; FlashAttention-3, on asynchronous tensor cores, always shares them and plans its parts in a
kernel of its own.

A kernel costs 5,000 cycles to start, a tile 2.5 to 3.5 us of latency. The constants were fitted to
AIConfigurator's rows of vLLM on A100 and L40S; those of FlashAttention-3 were chosen in view of the
H100's.
"""

from __future__ import annotations

import numpy as np

from lydite.estimate.learned.physics import Problem, cache_bandwidth, moved_s, together
from lydite.estimate.learned.sheet import Sheet

_KERNEL_CYCLES = 5000.0
_LAUNCH_CYCLES = 2 * _KERNEL_CYCLES
_MEMORY_SHARE, _WRITE_SHARE = 0.87, 0.6
_PRODUCTS, _BETWEEN, _BETWEEN_ASYNCHRONOUS = 1.13, 0.15, 0.03
_EXPONENTIAL = 1 / 16
"""Cycles of a multiprocessor for an exponential: 16 a cycle (CUDA Programming Guide, table of
arithmetic instructions), which nothing hides where products are faster."""
_LOADED_PER_CYCLE = 32.0
_SMALL_MEMORY_FLOPS = 1500.0
"""FLOPs of a multiprocessor per cycle below which it has memory for tiles of 64 rows only."""
_ITEM = 2.0

DECODE_NAMES = (
    *("memory_launch", "chain_launch", "padded_launch", "body_launch", "memory_body"),
    *("chain_body", "bytes_l2", "split", "waves", "wave_fill", "blocks", "head", "shared"),
    *("keys", "kernels", "read_again", "base_launch"),
)
_DECODE_TILE_S, _BLOCK_S, _BLOCK_ASYNCHRONOUS = 3.5e-6, 2.4e-6, 0.4
_BLOCK_BYTES = 4 * 128 * 128.0
_DECODE_ROWS = 64.0


def decode_attention(
    batch: np.ndarray,
    heads: np.ndarray,
    groups: np.ndarray,
    keys: np.ndarray,
    size: np.ndarray,
    window: np.ndarray,
    sheet: Sheet,
) -> Problem:
    """One query of each sequence over its cached keys.

    Args:
        batch: Number of sequences, float64 [operators], as the others.
        heads: Number of heads of queries.
        groups: Number of heads of keys and values.
        keys: Number of keys, the new one included.
        size: Elements of a head.
        window: Number of keys that a query sees; 0 for all.
        sheet: Device.
    """
    far, clock = sheet.asynchronous, sheet.clock_hz
    shared = heads / groups
    seen = np.where(window > 0, np.minimum(keys, window), keys)
    packed = np.full(len(keys), True) if far else (shared > 1) & (window == 0)
    tiles = batch * np.where(packed, groups * np.ceil(shared / _DECODE_ROWS), heads)
    block = np.where(size <= 64, 256.0, np.where(size <= 128, 128.0, 64.0))
    blocks = np.ceil(seen / block)
    split = np.where(packed, _splits(tiles, blocks, sheet.units * (1.0 if far else 2.0)), 1.0)
    walked, waves = np.ceil(blocks / split), tiles * split / sheet.units

    cache = cache_bandwidth(sheet)
    small = 2 * _ITEM * batch * heads * size
    moved = 2 * _ITEM * batch * seen * groups * size + small
    through = 2 * _ITEM * tiles * seen * size + small
    memory_s = moved_s(moved, moved, sheet, _MEMORY_SHARE, (0.7, 1.1))
    memory_s = np.maximum(memory_s, through / cache)
    block_s = _BLOCK_S * (_BLOCK_ASYNCHRONOUS if far else 1.0)
    walk_s = walked * block_s * 2 * _ITEM * np.minimum(seen, block) * size / _BLOCK_BYTES
    crowded_s = _DECODE_TILE_S * (1 + shared * size / 8192) + 0.3 * walk_s
    chain_s = np.maximum(_DECODE_TILE_S + walk_s, waves * crowded_s)
    padded_s = 2 * 4 * _DECODE_ROWS * size * seen * tiles / sheet.peak
    joins = 1.0 if far else 2.0
    joined = joins * _KERNEL_CYCLES / clock + split * batch * heads * size * 8 / cache
    joining_s = np.where(split > 1, joined, 0.0)
    copies = np.where((groups > 1) & (batch > 1), 2.0, 0.5)
    kernels = 3.0 if far else 2.0 + np.where(packed, copies, 0.0)
    body_s = together(memory_s, chain_s, padded_s, sharpness=3.0)
    base_s = kernels * _KERNEL_CYCLES / clock + body_s + joining_s
    launch_s = _LAUNCH_CYCLES / clock
    features = [
        np.log2(memory_s / launch_s),
        np.log2(chain_s / launch_s),
        np.log2(padded_s / launch_s),
        np.log2(body_s / launch_s),
        np.log2(memory_s / body_s),
        np.log2(chain_s / body_s),
        np.log2(moved / sheet.l2_bytes),
        np.minimum(np.log2(split), 7),
        np.clip(np.log2(waves), -6, 6),
        waves / np.ceil(waves),
        np.minimum(walked, 64),
        np.log2(size),
        np.minimum(np.log2(shared), 6),
        np.minimum(np.log2(seen), 12),
        kernels + 0 * seen,
        np.log2(through / moved),
        np.log2(base_s / launch_s),
    ]
    bound_s = _bound(4 * batch * heads * seen * size, moved, sheet)
    return Problem(base_s, bound_s, np.stack(features, axis=1))


def _bound(flops: np.ndarray, moved: np.ndarray, sheet: Sheet) -> np.ndarray:
    """Seconds at the peak, or at the memory's bandwidth where the cache is too small."""
    memory_s = np.where(moved < sheet.l2_bytes, 0.0, moved / sheet.bandwidth)
    return np.maximum(flops / sheet.peak, memory_s)


_ENOUGH, _FULL, _MOST_SPLITS = 0.85, 0.8, 128


def _splits(tiles: np.ndarray, blocks: np.ndarray, units: float) -> np.ndarray:
    """Parts of the keys: the fewest whose waves are 0.85 as full as the fullest.

    FlashAttention's `num_splits_heuristic`: one part where tiles fill 0.8 of the multiprocessors,
    and no number that leaves the walk as long as one less does.
    """
    split = np.arange(1.0, _MOST_SPLITS + 1)
    walk = np.ceil(blocks[:, None] / split)
    shorter = np.diff(walk, axis=1, prepend=0.0) != 0
    waves = tiles[:, None] * split / units
    most = np.floor(np.minimum(blocks, min(units, _MOST_SPLITS)))
    fill = np.where(shorter & (split <= most[:, None]), waves / np.ceil(waves), 0.0)
    enough = (fill > 0) & (fill >= _ENOUGH * fill.max(1, keepdims=True))
    return np.where((tiles < _FULL * units) & enough.any(1), split[enough.argmax(1)], 1.0)


PREFILL_NAMES = (
    *("memory_launch", "chain_launch", "tile_launch", "base_launch", "write_base", "tile_chain"),
    *("bytes_l2", "waves", "blocks", "head", "queries", "packed", "arithmetic_body"),
    "products_share",
)
_PREFILL_TILE_S, _TAIL = 2.5e-6, 0.5
_HELD_SYNCHRONOUS, _HELD_SMALL = (0.4, 1.0), (0.8, 1.4)


def prefill_attention(
    batch: np.ndarray,
    heads: np.ndarray,
    groups: np.ndarray,
    queries: np.ndarray,
    keys: np.ndarray,
    size: np.ndarray,
    window: np.ndarray,
    causal: np.ndarray,
    sheet: Sheet,
) -> Problem:
    """Many queries of each sequence, with keys and values that are written to the cache.

    Args:
        batch: Number of sequences, float64 [operators], as the others.
        heads: Number of heads of queries.
        groups: Number of heads of keys and values.
        queries: Number of new tokens of a sequence.
        keys: Number of keys, the new ones included.
        size: Elements of a head.
        window: Number of keys that a query sees; 0 for all.
        causal: Whether a query sees no later keys; only such rows were learned from.
        sheet: Device.
    """
    far, clock = sheet.asynchronous, sheet.clock_hz
    shared = heads / groups
    seen = np.where(window > 0, np.minimum(keys, window), keys)
    tall = far or sheet.flops_per_cycle > _SMALL_MEMORY_FLOPS
    rows = np.where((size <= 64) | tall, 128.0, 64.0)
    block = np.where((size <= 64) | far, 128.0, 64.0)
    packed = (shared > 1) & ((queries < rows) if far else (queries == 1) & (window == 0))
    number = np.ceil(np.where(packed, queries * shared, queries) / rows)
    columns = batch * np.where(packed, groups, heads)
    waves = columns * number / sheet.units
    most = np.ceil(np.minimum(keys, seen + rows) / block)
    walked = np.where(causal, _causal_blocks(number, keys, seen, rows, block, most), number * most)
    walked = np.where(packed, number * np.ceil(seen / block), walked)

    flops_per_cycle = sheet.flops_per_cycle
    between = _BETWEEN_ASYNCHRONOUS if far else _BETWEEN
    products = _PRODUCTS * 4 * size / flops_per_cycle
    cycles = products * sheet.peak / sheet.sustained + between
    if far:
        cycles = np.maximum(cycles, _EXPONENTIAL + between)
    load_s = block * 2 * _ITEM * size / (_LOADED_PER_CYCLE * clock)
    alone_s = np.maximum(rows * block * (products + between) / clock, load_s)
    block_s = np.maximum(rows * block * cycles / clock, load_s / 2)
    tile_s = _PREFILL_TILE_S + most * alone_s
    hidden = 1.0 if far else 0.8
    work_s = columns * (walked * block_s + hidden * number * _PREFILL_TILE_S) / sheet.units
    chain_s = np.maximum(tile_s, work_s + _TAIL * tile_s * np.minimum(1, waves / 4))

    cached = 2 * _ITEM * batch * queries * groups * size
    old = 2 * _ITEM * batch * (keys - queries) * groups * size
    moved = 2 * _ITEM * batch * queries * heads * size + cached + old
    held = moved + cached
    limits = _HELD_SYNCHRONOUS if tall else _HELD_SMALL
    memory_s = moved_s(moved, held, sheet, _MEMORY_SHARE, limits)
    write_s = moved_s(2 * cached, held, sheet, _WRITE_SHARE, limits)
    body_s = together(memory_s, chain_s, sharpness=2.0)
    base_s = (3.0 if far else 2.0) * _KERNEL_CYCLES / clock + body_s + write_s
    launch_s = _LAUNCH_CYCLES / clock
    flops = 4 * batch * heads * size * _pairs(queries, keys, seen, causal)
    features = [
        np.log2(memory_s / launch_s),
        np.log2(chain_s / launch_s),
        np.log2(tile_s / launch_s),
        np.log2(base_s / launch_s),
        np.log2(write_s / base_s),
        np.log2(tile_s / chain_s),
        np.log2(moved / sheet.l2_bytes),
        np.clip(np.log2(waves), -6, 8),
        np.minimum(most, 64),
        np.log2(size),
        np.minimum(np.log2(queries), 12),
        packed * 1.0,
        np.log2(flops / sheet.peak / body_s),
        products / _PRODUCTS / cycles,
    ]
    return Problem(base_s, _bound(flops, moved, sheet), np.stack(features, axis=1))


def _causal_blocks(
    number: np.ndarray,
    keys: np.ndarray,
    seen: np.ndarray,
    rows: np.ndarray,
    block: np.ndarray,
    most: np.ndarray,
) -> np.ndarray:
    """Blocks of keys that all tiles of a head walk: more for each tile until the window is full."""
    before = np.maximum(0.0, keys - number * rows) / block
    growing = np.minimum(number, np.ceil(seen / rows))
    total = growing * np.minimum(before, most) + rows / block * growing * (growing + 1) / 2
    total = np.minimum(total, growing * most) + (number - growing) * most
    return np.maximum(np.where(number == 1, most, total), number)


def _pairs(
    queries: np.ndarray, keys: np.ndarray, seen: np.ndarray, causal: np.ndarray
) -> np.ndarray:
    """Pairs of a query and a key that the mask leaves, per head and sequence."""
    every = queries * seen
    growing = np.clip(seen - (keys - queries), 0, queries)
    return np.where(causal, every - growing * (growing - 1) / 2, every)
