"""What GPUs reach of their peaks in matrix products and attention, by type, shape and device.

A product M x K by K x N runs in tiles of the result, one per multiprocessor at a time, so that it
takes whole waves of them (NVIDIA, Matrix Multiplication Background, section 4); a long K may be
split over several multiprocessors:

    t = min over tiles a x b and splits s of
        ceil(count ceil(M / a) ceil(N / b) s / units) 2 a b (K / s + fill) / (peak / units share)

`fill` is the part of a tile's time, in rows of K, that its first loads and its stores cost.
Attention reaches a share of the peak that grows with its keys: share / (1 + half / keys), of the
products that a causal mask leaves.

Fitted to public rows: 16-bit and 8-bit products and attention to those of A100 and H100 in
AIConfigurator (github.com/ai-dynamo/aiconfigurator, Apache-2.0), float32 to those of A100, V100 and
T4 in NeuSight (github.com/sitar-lab/NeuSight, MIT). Mean error over products whose roofline is
above 20 us: 9 % on the A100 and 6 % on the H100 in bfloat16 (14 and 9 with one share), 12 % on the
A100 in float32. FlashAttention-2's shares, which training has, are those of its paper
(arXiv:2307.08691, figures 4 to 7), forward and backward together.
"""

from __future__ import annotations

from math import ceil

from lydite.graph import OpKey
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.hardware import Device
from lydite.records import dataclass

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (16, 128), (128, 16))
SPLITS = (1, 2, 4, 8, 16)
_LEAST_DEPTH = 128
_LARGE = 256 * 128


@dataclass(frozen=True, slots=True)
class TileReach:
    """How products of one type run in tiles.

    Attributes:
        relative: What they reach of the peak, relative to 16-bit products.
        smaller: How much less a smaller tile reaches: its share is proportional to this power of
            its area.
        fill: Rows of K that filling and emptying a tile cost.
    """

    relative: float
    smaller: float
    fill: float


_SIXTEEN = TileReach(1.0, 0.03, 100.0)
_BY_DTYPE = {
    "float16": _SIXTEEN,
    "bfloat16": _SIXTEEN,
    "tf32": TileReach(1.0, 0.03, 50.0),
    "float32": TileReach(1.0, 0.05, 8.0),
    "float64": TileReach(1.0, 0.05, 8.0),  # assumed: as float32
    "float8e4m3fn": TileReach(0.7, 0.3, 0.0),
    "float8e5m2": TileReach(0.7, 0.3, 0.0),
    "int8": TileReach(0.7, 0.3, 0.0),
}
_BY_DEVICE = {("nvidia-t4", "float32"): 0.5, ("nvidia-v100", "float32"): 1.1}
"""Relative share of devices that differ, such as one that its power limit holds back."""

GROUPED = 0.6
"""What grouped products of experts keep (AIConfigurator's balanced rows of vLLM on the H100)."""


@dataclass(frozen=True, slots=True)
class AttentionReach:
    """Share of the peak that attention over very many keys reaches, and the keys for half of it."""

    share: float
    half: float


_HOPPER = ("nvidia-h100", "nvidia-h200")
_INFERENCE = AttentionReach(0.58, 650.0)
_TRAINING = AttentionReach(0.62, 700.0)
_INFERENCE_HOPPER = AttentionReach(0.65, 1500.0)
_TRAINING_HOPPER = AttentionReach(0.36, 850.0)


def attention_reach(device: Device, *, training: bool) -> AttentionReach:
    """What fused attention reaches on a device: FlashAttention-2 in training, else the newest."""
    if device.name.startswith(_HOPPER):
        return _TRAINING_HOPPER if training else _INFERENCE_HOPPER
    return _TRAINING if training else _INFERENCE


def causal_share(key: OpKey, queries: int, keys: int) -> float:
    """Share of attention's pairs that a causal mask leaves."""
    if not key.attrs.get("is_causal") or queries <= 1:
        return 1.0
    cached = len(key.inputs) > 4 and key.inputs[4].type is not None
    return 1 - queries / (2 * keys) if cached and keys > queries else 0.5


def tile_seconds(products: Products, device: Device, dtype: str, peak: float) -> float:
    """Seconds of products on a GPU whose tiles reached the whole peak while they run."""
    reach = _BY_DTYPE.get(dtype, _SIXTEEN)
    relative = reach.relative
    for (name, kind), factor in _BY_DEVICE.items():
        if kind == dtype and device.name.startswith(name):
            relative *= factor
    rate = peak * relative / device.units
    return sum(_tiled(product, device.units, reach) / rate for product in products.products)


def _tiled(product: MatrixProduct, units: int, reach: TileReach) -> float:
    """FLOPs that the busiest multiprocessor spends on a product."""
    best = float("inf")
    for rows, columns in TILES:
        tiles = product.count * ceil(product.m / rows) * ceil(product.n / columns)
        slower = (rows * columns / _LARGE) ** -reach.smaller
        for split in SPLITS:
            if split > 1 and product.k < split * _LEAST_DEPTH:
                break
            depth = product.k / split + reach.fill
            best = min(best, ceil(tiles * split / units) * 2 * rows * columns * depth * slower)
            if tiles * split >= 8 * units:
                break  # more parts gain nothing
    return best
