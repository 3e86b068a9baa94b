"""What of a device's data sheet the learned families need, and what its power sustains.

A board that is short of power lowers its clock, and its voltage with it. In float32

    sustained = peak min(1, ((W - W0) / (e peak)) ** 0.85),   e = 15 pJ sqrt(process / 16 nm)

and on tensor cores, whose voltage follows the clock, so that power goes with its cube,

    sustained = peak min(1, cbrt((W - W0) / (e peak))),
    e = 2.34 pJ (clock / 2.52 GHz)^2.5 sqrt(process / 5 nm) for 16 bits, in proportion for others.

W is the board's power, W0 = 20 W what memory and leakage take. The constants of float32 were fitted
to what five GPUs sustain (NeuSight's rows of P4, P100, V100, T4 and A100), those of tensor cores to
A100 and L40S (AIConfigurator's rows).

GDDR memory has no room of its own for the bits of ECC: where ECC is on, as it is on data-centre
boards by default, every sixteenth byte holds them, and as much of the bandwidth (NVIDIA, "inline
ECC", 6.25 %). All GDDR boards that were learned from are such (P4, T4, L40S). GeForce boards run
without, so theirs is taken to be that of a sheet with a sixteenth more, less the bits.
"""

from __future__ import annotations

from lydite.errors import InputError
from lydite.hardware import Device
from lydite.records import dataclass

_IDLE_W = 20.0
_ENERGY_J, _PROCESS_M, _EXPONENT = 15e-12, 16e-9, 0.85
_TENSOR_ENERGY_J, _TENSOR_PROCESS_M, _TENSOR_CLOCK_HZ = 2.34e-12, 5e-9, 2.52e9
_TENSOR_RISE, _TENSOR_EXPONENT = 2.5, 1 / 3
_ASYNCHRONOUS_FLOPS = 3000.0
"""FLOPs of a multiprocessor per cycle in 16 bits from which tensor cores run asynchronously."""
_INLINE_ECC = 1 / 16
"""Share of GDDR memory, and of its bandwidth, that the bits of ECC take."""
_WITHOUT_ECC = "GeForce"
"""Boards on which ECC is off, by their titles."""
_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float8e4m3fn": 8}


@dataclass(frozen=True)
class Sheet:
    """What of a device's data sheet the features need.

    Attributes:
        peak: FLOP/s in the type of the arithmetic.
        bits: Bits of that type.
        bandwidth: Memory bandwidth in bytes/s, of a board whose memory has ECC on.
        units: Number of multiprocessors.
        l2_bytes: Bytes of the last cache.
        watts: Power limit of the board.
        process_m: Feature size of the process in metres.
        clock_hz: Clock at which the peak holds.
    """

    peak: float
    bits: int
    bandwidth: float
    units: int
    l2_bytes: float
    watts: float
    process_m: float
    clock_hz: float

    @property
    def sustained(self) -> float:
        """FLOP/s that the power sustains."""
        if self.bits == 32:
            energy = _ENERGY_J * (self.process_m / _PROCESS_M) ** 0.5
            exponent = _EXPONENT
        else:
            energy = _TENSOR_ENERGY_J * (self.clock_hz / _TENSOR_CLOCK_HZ) ** _TENSOR_RISE
            energy *= (self.process_m / _TENSOR_PROCESS_M) ** 0.5 * self.bits / 16
            exponent = _TENSOR_EXPONENT
        share = (self.watts - _IDLE_W) / (energy * self.peak)
        return self.peak * min(1.0, max(share, 0.01) ** exponent)

    @property
    def flops_per_cycle(self) -> float:
        """FLOPs of a multiprocessor per cycle at the peak."""
        return self.peak / (self.units * self.clock_hz)

    @property
    def asynchronous(self) -> bool:
        """Whether tensor cores read shared memory and run beside the other units.

        Hopper's wgmma and what followed it in data centres do (NVIDIA, Hopper Tuning Guide): their
        kernels have warps that only load, tiles in steps of eight columns, and more arithmetic per
        cycle than any other.
        """
        return self.flops_per_cycle * self.bits / 16 > _ASYNCHRONOUS_FLOPS


def sheet_of(device: Device, dtype: str) -> Sheet:
    """The sheet of a device.

    Raises:
        InputError: the device lacks a figure, or states one that no board has; says which.
    """
    l2_bytes = max((cache.size_bytes for cache in device.caches), default=0.0)
    figures = {
        f"peak for {dtype}": device.peak_flops.get(dtype),
        "power": device.power_w,
        "process": device.process_m,
        "clock": device.clock_hz,
        "cache": l2_bytes,
    }
    absent = [name for name, value in figures.items() if not value]
    if absent:
        raise InputError(
            f"states no {', no '.join(absent)}",
            where=device.name,
            hint="the maker's data sheet has them",
        )
    _check(device)
    return Sheet(
        float(figures[f"peak for {dtype}"] or 0),
        _BITS[dtype],
        device.memory_bandwidth / (1 - _INLINE_ECC * (_WITHOUT_ECC in device.title)),
        device.units,
        l2_bytes,
        float(device.power_w or 0),
        float(device.process_m or 0),
        float(device.clock_hz or 0),
    )


_POWER_W, _PROCESS_RANGE_M = (5.0, 5000.0), (1e-9, 1e-6)
"""Power limits and feature sizes beyond which a figure is in another unit."""


def _check(device: Device) -> None:
    """Refuse figures in another unit."""
    power_w, process_m = float(device.power_w or 0), float(device.process_m or 0)
    low, high = _POWER_W
    if not low <= power_w <= high:
        raise InputError(
            f"states a power of {power_w:,g} W",
            where=device.name,
            allowed=f"{low:g} to {high:,g} W",
            hint="give it in watts, as 'power: 700 W'",
        )
    low, high = _PROCESS_RANGE_M
    if not low <= process_m <= high:
        raise InputError(
            f"states a process of {process_m * 1e9:,g} nm",
            where=device.name,
            allowed=f"{low * 1e9:g} to {high * 1e9:,g} nm",
        )


def sheet_note(device: Device) -> str:
    """Why a GPU's operators are left to the roofline; "" where they are not."""
    if device.kind != "gpu" or device.vendor != "NVIDIA":
        return ""
    try:
        sheet_of(device, "float32")
    except InputError as error:
        return f"not predicted from other GPUs: {error}"
    return ""
