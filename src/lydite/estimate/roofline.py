"""The roofline model: an operator is bound by its arithmetic or by its memory traffic.

    t = max(FLOPs / peak, bytes / bandwidth) / efficiency + dispatch

(Williams, Waterman and Patterson, CACM 52(4), 2009.) The efficiency of each operator type is fitted
where the database holds measurements on the device; otherwise it is assumed, and the bounds say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lydite.estimate.base import Estimate
from lydite.graph import OpKey
from lydite.graph.operators import operator
from lydite.graph.work import Work, products_of_key, work_of_key
from lydite.hardware import Device
from lydite.opkey import TensorType

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
        products: Share of peak arithmetic. Medians of NeuSight's float32 rows by a weight whose
            roofline is above 20 us (github.com/sitar-lab/NeuSight, MIT): 0.69 on an A100, 0.74 on a
            V100, less on smaller GPUs.
        streams: Share of memory bandwidth. Medians of the same rows on five GPUs: 0.73 element by
            element, 0.49 layer norms, 0.57 softmax.
        misaligned: Factor on `products` for matrix products with rows that are not a multiple of 16
            bytes, as tensor cores require (NVIDIA, Matrix Multiplication Background, section 3.1);
            1 for no such loss.
        kernel_s: Minimum time of a kernel in seconds (assumed).
        product_bounds, stream_bounds: Shares that nine of ten products and streams reach. From
            NeuSight's rows whose roofline is above 20 us: 0.17 to 0.81 for matrices, 0.15 to 1.28
            for convolutions (fewer multiplications in Winograd's form), 0.31 to 0.87 for streams.
            Rounded outwards, and down to 0.1 for tensor cores, which are harder to feed (assumed).
        spread: Bounds of a step's time over the time itself, from measured steps; () without
            measured steps, where the bounds above apply.
        source: Source of the shares.
    """

    products: float = 0.7
    streams: float = 0.7
    misaligned: float = 1.0
    kernel_s: float = ASSUMED_DISPATCH_S
    product_bounds: tuple[float, float] = (0.1, 1.3)
    stream_bounds: tuple[float, float] = (0.3, 0.9)
    spread: tuple[float, ...] = ()
    source: str = "assumed"


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


def _achieved_shares(
    work: Work, device: Device, key: OpKey, achieved: AchievedEfficiency, bound: float
) -> tuple[float, float, float]:
    """Shares of an accelerator's roofline without measurements: likely, highest and lowest."""
    worse = achieved.misaligned if _misaligned(key) else 1.0
    arithmetic = work.flops / device.peak(key_dtype(key))
    moved = work.bytes_moved / device.memory_bandwidth

    def share(products: float, streams: float) -> float:
        seconds = max(arithmetic / products, moved / streams)
        return bound / seconds if seconds else 1.0

    likely = share(achieved.products * worse, achieved.streams)
    (least, most), (slow, fast) = achieved.product_bounds, achieved.stream_bounds
    return likely, max(likely, share(most, fast)), min(likely, share(least * worse, slow))


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
        achieved: AchievedEfficiency = AchievedEfficiency(),
    ) -> None:
        self._achieved = achieved
        self._threads, self._dispatch_s = threads, dispatch_s
        self._efficiency = dict(efficiency or {})

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """Estimate every operator whose work is known."""
        return [self._answer(key, device) for key in keys]

    def _answer(self, key: OpKey, device: Device) -> Estimate | None:
        work = work_of_key(key)
        if work is None:
            return None
        bound = roofline_seconds(work, device, key_dtype(key), self._threads)
        fitted = self._efficiency.get(key.qualified_type)
        mark = ("roofline", key.qualified_type if fitted else None)
        if fitted:
            shares = fitted.median, fitted.high, fitted.low
            detail = f"efficiency {fitted.median:.2f} fitted over {fitted.rows} rows"
        elif device.kind == "cpu":
            shares = ASSUMED[1], ASSUMED[2], ASSUMED[0]
            detail = f"efficiency {ASSUMED[1]:.2f} assumed"
        else:
            shares = _achieved_shares(work, device, key, self._achieved, bound)
            detail = f"efficiency {shares[0]:.2f} {self._achieved.source}"
            if self._achieved.spread:
                seconds = bound / shares[0] + self._dispatch_s
                low, high = (seconds * factor for factor in self._achieved.spread)
                return Estimate(seconds, low, high, "roofline", detail, shared=mark)
        likely, fastest, slowest = (bound / share for share in shares)
        return Estimate(
            likely + self._dispatch_s,
            fastest + self._dispatch_s * 0.2,
            slowest + _copy_seconds(key, work, device) + self._dispatch_s * 8,
            "roofline",
            detail,
            shared=mark,
        )
