"""The roofline model: an operator is bound by its arithmetic or by its memory traffic.

    t = max(FLOPs / peak, bytes / bandwidth) / efficiency + dispatch

(Williams, Waterman and Patterson, CACM 52(4), 2009.) The efficiency of each operator type is fitted
where the database holds measurements on the device; otherwise it is assumed, and the bounds say so.
On GPUs, products of matrices and attention reach what `lydite.estimate.reach` says of their shape.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from lydite.estimate.base import Estimate
from lydite.estimate.reach import GROUPED, attention_reach, causal_share, tile_seconds
from lydite.graph import OpKey
from lydite.graph.operators import operator
from lydite.graph.work import Work, products_of_key, work_of_key
from lydite.hardware import Device
from lydite.opkey import TensorType
from lydite.records import dataclass

ASSUMED = (0.02, 0.3, 1.5)
"""Efficiency assumed without measurements: low, likely, high (caches can exceed 1)."""
_L2_BYTES_PER_CYCLE = 32
"""Sustained bandwidth of a core's private cache (Intel Optimization Reference Manual)."""
ASSUMED_DISPATCH_S = 1e-6
_ENOUGH = 4


@dataclass(frozen=True, slots=True)
class AchievedEfficiency:
    """Efficiency of an accelerator without measured operators.

    Attributes:
        products: share of peak arithmetic that 16-bit products of matrices reach while their tiles
            fill the device; `lydite.estimate.reach` says what shape, type and device make of it.
            AIConfigurator's rows, each measured alone, reach 0.83 on A100 and H100; 0.78 is what
            Megatron's published steps (arXiv:2205.05198, table 5) leave of it under load.
        streams: share of memory bandwidth. Medians of NeuSight's float32 rows on five GPUs: 0.73
            element by element, 0.49 layer norms, 0.57 softmax; AIConfigurator's products of few
            rows reach 0.73 on an A100 and 0.81 on an H100.
        misaligned: what a product of matrices keeps of `products` where a row is no multiple of 16
            bytes, which tensor cores want (NVIDIA, Matrix Multiplication Background, section 3.1);
            1 knows of no such loss.
        kernel_s: the least that a kernel takes (assumed).
        product_bounds: what nine products of ten take, relative to the estimate.
        stream_bounds: share of memory bandwidth that nine streams of ten reach: 0.31 to 0.87 of
            NeuSight's rows whose roofline is above 20 us, rounded outwards.
        spread: bounds of a step's time over the time itself, where steps were measured; () where
            none were, and the bounds above hold.
        arithmetic: precision of products, one of `ARITHMETIC`.
        source: where the shares come from.
    """

    products: float = 0.78
    streams: float = 0.75
    misaligned: float = 1.0
    kernel_s: float = ASSUMED_DISPATCH_S
    product_bounds: tuple[float, float] = (0.4, 3.0)
    stream_bounds: tuple[float, float] = (0.3, 0.9)
    spread: tuple[float, ...] = ()
    arithmetic: str = "tf32-conv"
    source: str = "assumed"


ARITHMETIC = {
    "own": "in the type of the tensors",
    "tf32-conv": "convolutions in TF32, as PyTorch has it by default",
    "tf32": "products and convolutions in TF32",
    "fp8": "products in FP8, scaled per tensor",
    "fp8-block": "products in FP8, scaled per block of 128",
}
"""How products of matrices are computed; operators that a device cannot run so keep their type."""

_ROW_BYTES = 16


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Share of the roofline achieved: 5th percentile, median, 95th percentile, and row count."""

    low: float
    median: float
    high: float
    rows: int


def roofline_seconds(
    work: Work, device: Device, dtype: str, threads: int | None, *, caches: bool = True
) -> float:
    """Time in seconds that peak arithmetic and memory bandwidth allow, without dispatch.

    On a CPU, an operator whose bytes fit in the private caches moves them at cache speed, unless
    `caches` is off.
    """
    cores = min(threads or device.units, device.units) if device.kind == "cpu" else device.units
    bandwidth = device.memory_bandwidth * cores / device.units
    fits = 0 < work.bytes_moved <= device.private_cache_bytes * cores
    if caches and fits and device.clock_hz:
        bandwidth = max(bandwidth, cores * device.clock_hz * _L2_BYTES_PER_CYCLE)
    return max(work.flops / device.peak(dtype, threads), work.bytes_moved / bandwidth)


def key_dtype(key: OpKey) -> str:
    """Data type of the arithmetic: that of the first output, else of the first input."""
    return next((t.dtype for t in (*key.outputs, *key.operand_types()) if t), "float32")


def lacks_peak(key: OpKey, device: Device) -> bool:
    """Whether an operator computes in float64, of which the device's figures say nothing."""
    if key_dtype(key) != "float64" or "float64" in device.peak_flops:
        return False
    work = work_of_key(key)
    return work is not None and work.flops > 0


def peak_note(keys: Iterable[OpKey | None], device: Device) -> str:
    """That operators have no estimate for want of a peak; "" where none lacks it."""
    if not any(key is not None and lacks_peak(key, device) for key in keys):
        return ""
    return f"{device.name} states no peak for float64, so operators in it have no estimate"


def fit_efficiency(
    rows: Sequence[tuple[OpKey, float]], device: Device, threads: int | None, dispatch_s: float
) -> dict[str, Efficiency]:
    """Efficiency by operator type from (key, seconds); types with fewer than 4 rows are omitted."""
    ratios: dict[str, list[float]] = {}
    for key, seconds in rows:
        work = work_of_key(key)
        if work is None or seconds <= dispatch_s:
            continue
        bound = roofline_seconds(work, device, key_dtype(key), threads)
        if bound > 0:
            ratios.setdefault(key.qualified_type, []).append(bound / (seconds - dispatch_s))
    fitted: dict[str, Efficiency] = {}
    for kind, found in ratios.items():
        if len(found) >= _ENOUGH:
            low, median, high = (float(x) for x in np.percentile(found, [5, 50, 95]))
            fitted[kind] = Efficiency(low, median, high, len(found))
    return fitted


def _copy_seconds(key: OpKey, work: Work, device: Device) -> float:
    """Cost of a view in seconds if the backend copies it."""
    if work.bytes_moved:
        return 0.0
    return 2 * sum(t.nbytes or 0 for t in key.outputs) / device.memory_bandwidth


@dataclass(frozen=True, slots=True)
class _Facts:
    """What an operator needs of a GPU, whatever share of its peaks it reaches.

    Attributes:
        arithmetic_s: seconds at the peak, in whole waves of tiles where it is a product.
        moved_s: seconds of its traffic at the bandwidth.
        converted_s: seconds at the bandwidth of converting operands to a narrower type.
        relative: what products reach relative to large dense ones; 1 for other operators.
        misaligned: whether rows are no multiples of 16 bytes.
        own: share of peak arithmetic, where it does not follow from products (attention); or None.
        loose: factor by which bounds are wider: convolutions have Winograd's form and others.
    """

    arithmetic_s: float
    moved_s: float
    converted_s: float = 0.0
    relative: float = 1.0
    misaligned: bool = False
    own: float | None = None
    loose: float = 1.0

    def seconds(self, achieved: AchievedEfficiency) -> float:
        """The likely time."""
        kept = achieved.misaligned if self.misaligned else 1.0
        share = self.own or achieved.products * self.relative * kept
        moved = max(self.arithmetic_s / share, self.moved_s / achieved.streams)
        return moved + self.converted_s / achieved.streams


_CONVOLUTIONS = ("Conv", "ConvTranspose", "lydite:ConvInputGrad", "lydite:ConvWeightGrad")
_ATTENTION = ("Attention", "lydite:AttentionTraining", "lydite:AttentionGrad")
_LOOSE = 1.8
_NARROW = 8
"""Products of fewer columns run as streams of their operands, as depthwise convolutions do."""


def _facts(key: OpKey, work: Work, device: Device, arithmetic: str) -> _Facts:
    dtype = _dtype_of_products(key, device, arithmetic)
    moved_s = work.bytes_moved / device.memory_bandwidth
    products = products_of_key(key) if device.kind == "gpu" else None
    if products is None or not products.products:
        return _Facts(work.flops / device.peak(dtype), moved_s)
    peak, first = device.peak(dtype), products.products[0]
    if key.qualified_type in _ATTENTION:
        training = key.qualified_type != "Attention"
        reach = attention_reach(device, training=training)
        pairs = causal_share(key, first.m, first.n)
        share = reach.share / (1 + reach.half / first.n)
        return _Facts(pairs * work.flops / peak, moved_s, own=share)
    if first.count > 1 and min(first.n, first.m) < _NARROW:
        return _Facts(work.flops / device.peak("float32"), moved_s)
    tiles_s = tile_seconds(products, device, dtype, peak)
    grouped = GROUPED if "MoE" in key.op_type else 1.0
    converted_s = 0.0
    if dtype.startswith("float8") and not key_dtype(key).startswith("float8"):
        read = sum(t.nbytes or 0 for t in key.operand_types() if t is not None)
        converted_s = 1.5 * read / device.memory_bandwidth  # two bytes read, one written
        moved_s = max(0.0, moved_s - 0.5 * read / device.memory_bandwidth)
    loose = _LOOSE if key.qualified_type in _CONVOLUTIONS else 1.0
    return _Facts(tiles_s, moved_s, converted_s, grouped, _misaligned(key), loose=loose)


def _dtype_of_products(key: OpKey, device: Device, arithmetic: str) -> str:
    """The type in which the operator's products run."""
    dtype = key_dtype(key)
    convolution = key.qualified_type in _CONVOLUTIONS
    tf32 = arithmetic == "tf32" or (arithmetic == "tf32-conv" and convolution)
    if tf32 and dtype == "float32" and "tf32" in device.peak_flops:
        return "tf32"
    narrow = arithmetic.startswith("fp8") and dtype in ("float16", "bfloat16")
    if narrow and not convolution and key.qualified_type not in _ATTENTION:
        return "float8e4m3fn" if "float8e4m3fn" in device.peak_flops else dtype
    return dtype


def _misaligned(key: OpKey) -> bool:
    """Whether a row of a product's operands or result is not a multiple of 16 bytes."""
    row = operator(key.qualified_type)
    if row is None or row.family != "matmul" or products_of_key(key) is None:
        return False
    types = [t for t in (*key.operand_types(), *key.outputs) if t is not None and t.is_static]
    rows = [TensorType(t.dtype, (t.shape or ())[-1:]) for t in types]
    return any((row.nbytes or 0) % _ROW_BYTES for row in rows if row.shape and row.shape[0] != 1)


class Roofline:
    """Estimates from the roofline model, with fitted or assumed efficiency.

    Args:
        threads: Number of active cores (CPUs).
        dispatch_s: Time in seconds to dispatch one operator.
        efficiency: Fitted efficiency by operator type.
        achieved: Efficiency of an accelerator for operator types without a fitted one.
    """

    name = "roofline"

    def __init__(
        self,
        *,
        threads: int | None = None,
        dispatch_s: float = ASSUMED_DISPATCH_S,
        efficiency: Mapping[str, Efficiency] | None = None,
        achieved: AchievedEfficiency | None = None,
    ) -> None:
        self._achieved = achieved or AchievedEfficiency()
        self._threads, self._dispatch_s = threads, dispatch_s
        self._efficiency = dict(efficiency or {})

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Estimate every operator whose work is known."""
        peaks = tuple(sorted(device.peak_flops.items()))
        where = device.name, device.units, device.memory_bandwidth, peaks, self._achieved.arithmetic
        return [self._answer(key, device, where) for key in keys]

    def _answer(self, key: OpKey, device: Device, where: Hashable) -> Estimate | None:
        if lacks_peak(key, device):
            return None
        fitted = self._efficiency.get(key.qualified_type)
        if not fitted and device.kind != "cpu":
            return self._accelerated(key, device, where)
        work = work_of_key(key)
        if work is None:
            return None
        bound = roofline_seconds(work, device, key_dtype(key), self._threads)
        mark = ("roofline", key.qualified_type if fitted else None)
        if fitted:
            shares = fitted.median, fitted.high, fitted.low
            detail = f"efficiency {fitted.median:.2f} fitted over {fitted.rows} rows"
        else:
            shares = ASSUMED[1], ASSUMED[2], ASSUMED[0]
            detail = f"efficiency {ASSUMED[1]:.2f} assumed"
        likely, fastest, slowest = (bound / share for share in shares)
        return Estimate(
            likely + self._dispatch_s,
            fastest + self._dispatch_s * 0.2,
            slowest + _copy_seconds(key, work, device) + self._dispatch_s * 8,
            "roofline",
            detail,
            shared=mark,
        )

    def _accelerated(self, key: OpKey, device: Device, where: Hashable) -> Estimate | None:
        """On an accelerator of whose operators of this type too few were measured."""
        found = _KNOWN.get((key.digest, where))
        if found is None:
            work = work_of_key(key)
            if work is None:
                return None
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            facts = _facts(key, work, device, self._achieved.arithmetic)
            found = _KNOWN[key.digest, where] = facts, _copy_seconds(key, work, device)
        facts, copied_s = found
        achieved, mark = self._achieved, ("roofline", None)
        likely = facts.seconds(achieved)
        bound = max(facts.arithmetic_s, facts.moved_s)
        detail = f"efficiency {bound / likely if likely else 1.0:.2f} {achieved.source}"
        seconds = likely + self._dispatch_s
        if achieved.spread:
            low, high = (seconds * factor for factor in achieved.spread)
            return Estimate(seconds, low, high, "roofline", detail, shared=mark)
        (fast, slow), (least, most) = achieved.product_bounds, achieved.stream_bounds
        fastest = max(fast / facts.loose * facts.arithmetic_s, facts.moved_s / most)
        slowest = max(slow * facts.loose * likely, facts.moved_s / least)
        return Estimate(
            seconds,
            min(fastest, likely) + self._dispatch_s * 0.2,
            max(slowest, likely) + copied_s + self._dispatch_s * 8,
            "roofline",
            detail,
            shared=mark,
        )


_MOST_KNOWN = 1 << 16
_KNOWN: dict[tuple[str, Hashable], tuple[_Facts, float]] = {}
"""What operators need of a device, and the time of a copy: the same for all constants."""
